from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from compute_executor.cli import stop
from compute_executor.cli.local_service import LocalService
from compute_executor.local.embedded import ServiceAddress

Command = Callable[..., Result]


class Service:
    """Answers for a service; remembers what it was asked."""

    def __init__(self, **tasks: int) -> None:
        self.tasks = tasks
        self.asked: list[str] = []

    def ask(self, _service: LocalService, method: str, path: str) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        return {"tasks": self.tasks}


@pytest.fixture
def run(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``run(service, "--force", ended=True)``: stop that service."""

    def with_service(service: Service, *arguments: str, ended: bool = True) -> Result:
        found = LocalService(ServiceAddress("http://127.0.0.1:5", "secret", "i"), 99, Path("/state"))
        monkeypatch.setattr(stop, "running", lambda _folder: found)
        monkeypatch.setattr(stop, "ended", lambda _: ended)
        monkeypatch.setattr(stop, "PATIENCE", 0.0)
        monkeypatch.setattr(LocalService, "ask", lambda *asked: service.ask(*asked))
        return command("stop", *arguments)

    return with_service


def test_an_idle_service_is_stopped(run: Callable[..., Result]) -> None:
    service = Service(queued=0, began=0, ended_since_start=5)
    done = run(service)
    assert (done.exit_code, done.stdout) == (0, "Stopped (pid 99).\n")
    assert service.asked == ["GET /v3/overview", "POST /v3/shutdown"]


def test_a_service_with_open_tasks_is_left_alone(run: Callable[..., Result]) -> None:
    service = Service(queued=3, leased=1, began=1)
    done = run(service)
    assert done.exit_code == 1
    assert "5 tasks open, 1 of them running: not stopped" in done.stderr
    assert service.asked == ["GET /v3/overview"]


def test_forced_it_is_stopped_with_a_warning(run: Callable[..., Result]) -> None:
    service = Service(queued=1)
    done = run(service, "--force")
    assert done.exit_code == 0
    assert "1 task open, 0 of them running" in done.stderr
    assert service.asked[-1] == "POST /v3/shutdown"


def test_one_that_does_not_end_is_told(run: Callable[..., Result]) -> None:
    done = run(Service(), ended=False)
    assert done.exit_code == 1
    assert "process 99 has been told to end and still runs" in done.stderr


def test_none_running_is_what_was_wanted(command: Command, state_home: Path) -> None:
    done = command("stop")
    assert (done.exit_code, done.stdout) == (0, "No service is running.\n")
    assert list(state_home.iterdir()) == []
