"""When the service hears of an endpoint, and of whom it is for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute_executor import Client
from compute_executor.local.embedded import find_or_start
from tests.contract.work import wait_until
from tests.endpoint.agent.running import command, environment, run, running

pytestmark = pytest.mark.slow

STRANGER = "5d1c1f0e-7c1b-4bb1-8a6c-0d1f5f3f9d11"

FAILING = [
    (["--gpus", "all"], "sees no device"),
    (["--gpus", "0", "--engine", "dask", "--scheduler", "tcp://127.0.0.1:1"], "--gpus is for"),
    (["--folder", "/nowhere/at/all"], "does not exist"),
    (["--engine", "{here}/pools.py:five"], "int"),
    (["--engine", "{here}/pools.py:fails"], "no such cluster"),
    (["--min-blocks", "3", "--max-blocks", "2", "--engine", "{here}/pools.py:make"], "more than max_blocks"),
    (["--address", "192.0.2.1", "--engine", "{here}/pools.py:make"], "cannot listen"),
]

POOLS = """
from concurrent.futures import ThreadPoolExecutor

def five():
    return 5

def fails():
    raise OSError("no such cluster")

def make():
    return ThreadPoolExecutor(1)
"""


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("endpoint")


@pytest.fixture(autouse=True)
def state_home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One state folder for all tests here, and so one service."""
    monkeypatch.setenv("COMPUTE_EXECUTOR_HOME", str(shared_home))
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "10")
    return shared_home


@pytest.fixture
def elsewhere(tmp_path: Path, state_home: Path) -> Iterator[dict[str, str]]:
    """The environment of another machine's endpoints, with the same service: that of a profile."""
    del state_home
    address = find_or_start()
    configuration = tmp_path / "config.toml"
    (tmp_path / "token").write_text(address.token)
    configuration.write_text(f'[profiles.lab]\nurl = "{address.url}"\ntoken_file = "{tmp_path / "token"}"\n')
    with Client():  # so that the service stays
        yield {
            "COMPUTE_EXECUTOR_HOME": str(tmp_path / "elsewhere"),
            "COMPUTE_EXECUTOR_CONFIG": str(configuration),
        }


def listed() -> list[str]:
    """The endpoints that the service knows."""
    return [one["name"] for one in json.loads(run("list", "--json").stdout)]


def shown(name: str) -> tuple[str, bool, list[str] | None]:
    """Whom the service says that an endpoint is for."""
    found = json.loads(run("status", name, "--json").stdout)
    return found["description"], found["public"], found["allowed_functions"]


def settings(home: Path, name: str) -> str:
    return (home / "endpoints" / name / "endpoint.toml").read_text()


@pytest.mark.parametrize(
    ("options", "said"), [*FAILING, (["--gpus", "all", "--detach"], "sees no device")], ids=str
)
def test_a_start_that_fails_leaves_nothing(options: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "pools.py").write_text(POOLS)
    before = listed()
    ended = run("start", "other", *(one.format(here=tmp_path) for one in options))
    assert ended.returncode in (1, 2)
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert listed() == before
    assert "other" not in run("list").stderr, "nor on this machine"
    assert "there is no endpoint" in run("restart", "other").stderr
    assert said in run("logs", "other").stdout, "why it failed can be looked up"


def test_a_start_that_fails_leaves_what_was_there(state_home: Path, tmp_path: Path) -> None:
    with running("known", "--description", "as it was"):
        pass
    before = settings(state_home, "known")
    assert "as it was" in before
    ended = run("start", "known", "--gpus", "all", "--description", "new", "--public")
    assert ended.returncode in (1, 2)
    assert settings(state_home, "known") == before
    assert shown("known") == ("as it was", False, None)
    with running("known"):
        assert "known" in listed()


def test_one_that_is_ended_while_its_engine_starts_leaves_nothing(tmp_path: Path) -> None:
    started = tmp_path / "started"
    (tmp_path / "slow.py").write_text(
        f"import pathlib, time\ndef make():\n    pathlib.Path({str(started)!r}).touch()\n    time.sleep(600)\n"
    )
    with subprocess.Popen(
        command("start", "slow", "--engine", f"{tmp_path}/slow.py:make"),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until(started.exists)
        process.send_signal(signal.SIGINT)
    assert "slow" not in listed()


def test_another_machine_that_joins_changes_nothing_that_it_does_not_say(elsewhere: dict[str, str]) -> None:
    options = ("--description", "ours", "--public", "--allow", STRANGER)
    with running("farm", *options):
        refused = run("start", "farm", "--profile", "lab", "--private", **elsewhere)
        assert refused.returncode == 1
        assert "--join" in refused.stderr
        assert shown("farm") == ("ours", True, [STRANGER])
        with running("farm", "--join", "--profile", "lab", **elsewhere):
            assert shown("farm") == ("ours", True, [STRANGER])
        with running("farm", "--join", "--profile", "lab", "--private", **elsewhere):
            assert shown("farm") == ("ours", False, [STRANGER])


def test_what_is_taken_out_of_the_file_is_taken_back(state_home: Path) -> None:
    with running("shared", "--public", "--description", "ours"):
        assert shown("shared") == ("ours", True, None)
    file = state_home / "endpoints" / "shared" / "endpoint.toml"
    file.write_text(file.read_text().replace("public = true\n", ""))
    with running("shared"):
        assert shown("shared") == ("ours", False, None)


def test_paths_are_those_of_the_start(
    state_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run("start", "placed", "--folder", "data", "--workers", "1", "--detach").returncode == 0
    assert run("stop", "placed").returncode == 0
    assert f'folder = "{os.path.realpath(tmp_path / "data")}"' in settings(state_home, "placed")


def test_a_token_of_the_user_that_is_refused_costs_the_endpoint_nothing(
    elsewhere: dict[str, str], tmp_path: Path
) -> None:
    with running("mine", "--profile", "lab", **elsewhere):
        pass
    token = (tmp_path / "token").read_text()
    (tmp_path / "token").write_text("not-this-one")
    refused = run("start", "mine", "--public", **elsewhere)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    with running("mine", **elsewhere):
        pass
    (tmp_path / "token").write_text(token)
