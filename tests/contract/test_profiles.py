"""Executor and Client of a profile; an Executor by its name: with a service of its own, in other processes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute_executor import Client, Executor
from compute_executor.errors import InvalidRequest, NotAuthorized
from compute_executor.local.state import read_announcement
from tests.sdk.conftest import CREDENTIALS

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("COMPUTE_EXECUTOR_CONFIG", str(path))
    for name in (*CREDENTIALS, "COMPUTE_EXECUTOR_PROFILE", "COMPUTE_EXECUTOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture
def lab(tmp_path: Path, config: Path) -> Iterator[str]:
    """The URL of a service, which the configuration calls lab."""
    state = tmp_path / "served"
    arguments = ["serve", "--port", "0", "--state", str(state), "--durability", "process"]
    with subprocess.Popen(
        [sys.executable, "-m", "compute_executor", *arguments], stdout=subprocess.DEVNULL
    ) as process:
        try:
            while (found := read_announcement(state)) is None:
                assert process.poll() is None
            token = tmp_path / "token"
            token.write_text(found.token + "\n")
            config.write_text(f'[profiles.lab]\nurl = "{found.url}"\ntoken_file = "{token}"\n')
            yield found.url
        finally:
            process.terminate()


def test_a_profile_names_service_and_token(lab: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(profile="lab") as client:
        assert client.web_service_address == lab
        assert client.get_endpoints()
    with Executor(1, profile="lab") as executor:
        assert executor.submit(pow, 2, 10).result(30) == 1024
        group = executor.task_group_id
    monkeypatch.setenv("COMPUTE_EXECUTOR_PROFILE", "lab")
    with Client() as client:
        assert client.web_service_address == lab
    with Executor(1, task_group_id=group) as executor:
        assert [future.result(30) for future in executor.reload_tasks()] == [1024]


def test_what_cannot_be_meant_is_refused(lab: str, config: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no profile .lap.*did you mean lab"):
        Executor(profile="lap")
    with pytest.raises(InvalidRequest, match="exclude each other"):
        Client(profile="lab", base_url=lab, token="t")
    with Client(profile="lab") as client, pytest.raises(TypeError, match="client and profile"):
        Executor(client=client, profile="lab")
    config.write_text(f'[profiles.lab]\nurl = "{lab}"\n')
    with pytest.raises(NotAuthorized, match="no token for"):
        Client(profile="lab")
    config.write_text(f'[profiles.lab]\nurl = "{lab}"\ntoken_command = "echo t"\ncertificate = "/none"\n')
    with pytest.raises(InvalidRequest, match="certificate /none"):
        Client(profile="lab")


def test_a_later_program_finds_the_tasks_by_name(lab: str, config: Path, tmp_path: Path) -> None:
    config.write_text(f'profile = "lab"\n{config.read_text()}')
    script = """
        import os
        from compute_executor import Executor
        executor = Executor(1, name="fit")
        futures = [executor.submit(pow, 2, n) for n in range(4)]
        futures[-1].result(30)
        os._exit(0)
    """
    for _ in range(2):
        subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
    with Executor(1, name="fit") as again:
        assert again.label == "fit"
        assert sorted(future.result(30) for future in again.reload_tasks()) == [1, 1, 2, 2, 4, 4, 8, 8]
        assert again.submit(pow, 2, 5).result(30) == 32
    for wrong in ({"label": "other"}, {"task_group_id": again.task_group_id}):
        with pytest.raises(TypeError, match="name stands for"):
            Executor(name="fit", **wrong)


def test_defaults_of_the_file_hold_where_the_call_says_nothing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text('[defaults]\nmax_workers = 3\noutput = "log"\n')
    with Executor() as executor, Executor(2, output="program") as other:
        assert (executor._max_workers, other._max_workers) == (3, 2)
        executor.submit(print, "to the log").result(30)
        other.submit(print, "to the program").result(30)
    assert capsys.readouterr().out == "to the program\n"
