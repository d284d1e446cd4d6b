"""A parameter study on another machine: a service with tokens, an endpoint of ours, and the command line between."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute_executor.local.state import read_announcement
from tests.endpoint.agent.running import running

MODEL = """
import os

import beside


def square(n: int):
    return {"square": beside.square(n), "where": os.environ.get("WHERE")}
"""


def command(*words: str, folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "compute_executor", *words],
        cwd=folder,
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """The URL of a service and the token of a user who has an endpoint there; the configuration calls it lab."""
    state = tmp_path / "served"
    options = ["--port", "0", "--state", str(state), "--auth", "token", "--durability", "process"]
    with subprocess.Popen(
        [sys.executable, "-m", "compute_executor", "serve", *options], stdout=subprocess.DEVNULL
    ) as process:
        try:
            while (found := read_announcement(state)) is None:
                assert process.poll() is None
            for words in (["user", "add", "anna"], ["token", "new", "anna"]):
                done = command(*words, "--state", str(state), folder=tmp_path)
                assert done.returncode == 0, done.stderr
            token = done.stdout.strip()
            (tmp_path / "token").write_text(f"{token}\n")
            (tmp_path / "token").chmod(0o600)
            config = tmp_path / "config.toml"
            config.write_text(f'[profiles.lab]\nurl = "{found.url}"\ntoken_file = "{tmp_path / "token"}"\n')
            monkeypatch.setenv("COMPUTE_EXECUTOR_CONFIG", str(config))
            home = str(tmp_path / "elsewhere")
            changes = {"COMPUTE_EXECUTOR_TOKEN": token, "COMPUTE_EXECUTOR_HOME": home, "WHERE": "endpoint"}
            with running("desk", "--url", found.url, **changes):
                yield found.url, token
        finally:
            process.terminate()


def test_it_runs_on_an_endpoint_of_a_service_with_tokens(lab: tuple[str, str], tmp_path: Path) -> None:
    url, token = lab
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "beside.py").write_text("def square(n):\n    return n * n\n")
    sweep = ["sweep", "model.py:square", "--grid", "n=1..5", "--out"]
    ways: dict[str, tuple[list[str], dict[str, str]]] = {
        "url.csv": (["--url", url], {"COMPUTE_EXECUTOR_TOKEN": token}),
        "profile.csv": (["--profile", "lab"], {}),
        "chosen.csv": ([], {"COMPUTE_EXECUTOR_PROFILE": "lab"}),
    }
    for name, (options, changes) in ways.items():
        done = command(*sweep, name, "--endpoint", "desk", *options, folder=tmp_path, **changes)
        assert done.returncode == 0, done.stderr
        with (tmp_path / name).open(newline="") as file:
            rows = [(row["n"], row["square"], row["where"]) for row in csv.DictReader(file)]
        assert rows == [(str(n), str(n * n), "endpoint") for n in range(1, 6)]
    refused = command(*sweep, "no.csv", "--url", url, "--endpoint", "desk", folder=tmp_path)
    assert refused.returncode == 1
    assert "no token for" in refused.stderr
    absent = command(*sweep, "no.csv", "--profile", "lab", "--endpoint", "attic", folder=tmp_path)
    assert absent.returncode == 1
    assert "there is no endpoint 'attic'" in absent.stderr
    assert "there are: desk" in absent.stderr
    program = ["--", "sh", "-c", "echo '{{\"n\": {n}}}'"]
    on_desk = ["--profile", "lab", "--endpoint", "desk", "--grid", "n=1,2"]
    done = command("sweep", *on_desk, "--out", "program.jsonl", *program, folder=tmp_path)
    assert done.returncode == 0, done.stderr
