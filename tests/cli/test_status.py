from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from compute_executor.cli import status
from compute_executor.cli.local_service import LocalService
from compute_executor.errors import ServiceUnavailable
from compute_executor.local.embedded import ServiceAddress

Command = Callable[..., Result]

OVERVIEW: dict[str, Any] = {
    "uptime": 3725.2,
    "durability": "process",
    "tasks": {"queued": 1200, "leased": 3, "began": 2, "done": 7, "ended_since_start": 3600},
    "storing": "ok",
    "connections": 1,
    "workers": [
        {"pid": 41, "pool": "ab" * 16, "state": "running", "task": "a-task"},
        {"pid": 42, "pool": "ab" * 16, "state": "idle", "task": None},
    ],
    "pools": [
        {
            "pool": "ab" * 16,
            "label": "sweep \x1b[31mx",
            "max_workers": 2,
            "open_tasks": 1,
            "clients": 1,
            "state": "open",
            "container": "a-container",
        }
    ],
    "environments": [{"environment": "cd" * 16, "state": "building"}],
}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> None:
    found = LocalService(ServiceAddress("http://127.0.0.1:5", "secret", "i"), 99, Path("/state"))
    monkeypatch.setattr(status, "running", lambda _folder: found)


def test_it_shows_service_tasks_workers_and_pools(
    command: Command, service: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalService, "ask", lambda *_: OVERVIEW)
    done = command("status")
    assert done.exit_code == 0
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        "service  http://127.0.0.1:5, version 0.1.0, pid 99, up 1:02:05",
        "state    /state, survives the death of any process",
        "clients  1 connected",
        "tasks    1,200 queued, 3 leased, 2 began, 3,600 ended since start",
        "workers  2 in all, 1 idle, 1 running",
        "         pid 41 running a-task",
        "         pid 42 idle",
        "pool     sweep  [31mx: open, 1 open task, up to 2 workers, 1 client, in container a-container",
        f"built    {'cd' * 16}: building",
    ]
    assert "secret" not in done.output


def test_a_service_that_cannot_store_is_told(
    command: Command, service: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalService, "ask", lambda *_: {**OVERVIEW, "storing": "stalled"})
    assert "results cannot be stored at the moment" in command("status").stdout


def test_a_service_that_does_not_answer_is_one_line(
    command: Command, service: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise ServiceUnavailable("the service does not answer")

    monkeypatch.setattr(LocalService, "ask", silent)
    done = command("status")
    assert (done.exit_code, done.stderr) == (1, "Error: the service does not answer\n")


def test_none_running_is_said_plainly_and_none_is_started(command: Command, state_home: Path) -> None:
    done = command("status")
    assert done.exit_code == 1
    assert done.stdout.startswith("No service is running")
    assert list(state_home.iterdir()) == []
