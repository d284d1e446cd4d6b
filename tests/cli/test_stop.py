"""stop: idle, with open tasks, forced, with everything discarded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from compute_executor.cli import chosen_service, stop
from compute_executor.cli.chosen_service import RunningService
from compute_executor.cli.local_service import LocalService
from compute_executor.errors import ServiceUnavailable
from compute_executor.local.embedded import ServiceAddress

Command = Callable[..., Result]


class Service:
    """Answers for a service; remembers what it was asked."""

    def __init__(self, **tasks: int) -> None:
        self.url = "http://127.0.0.1:5"
        self.tasks = tasks
        self.asked: list[str] = []
        self.ended = False

    def ask(self, method: str, path: str) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        if path == "/v2/version" and self.ended:
            raise ServiceUnavailable("it does not answer")
        self.ended = self.ended or "shutdown" in path
        done = {"withdrawn": 3, "stopped": 1, "left": 0} if "discard" in path else {}
        return {"tasks": self.tasks, "status": "ending", **done}


@pytest.fixture
def run(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``run(service, "--force", ended=True)``: stop that service, which is on this machine if ``here``."""

    def with_service(service: Service, *arguments: str, ended: bool = True, here: bool = True) -> Result:
        local = LocalService(ServiceAddress(service.url, "secret", "i"), 99, Path("/state"))
        found: Any = RunningService(service, local if here else None)  # type: ignore[arg-type]  # a stand-in
        monkeypatch.setattr(chosen_service, "look", lambda *_: found)
        monkeypatch.setattr(stop, "ended", lambda _: ended)
        monkeypatch.setattr(stop, "PATIENCE", 0.0)
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


def test_what_is_open_is_discarded_first(run: Callable[..., Result]) -> None:
    service = Service(queued=3, began=1)
    done = run(service, "--discard")
    assert service.asked == ["POST /v3/shutdown?discard=true"]
    assert done.stdout == "3 tasks withdrawn, 1 stopped, 0 still running. Stopped (pid 99).\n"
    told = json.loads(run(Service(), "--discard", "--json").stdout)
    assert told == {"stopped": True, "tasks": {"withdrawn": 3, "stopped": 1, "left": 0}}


def test_one_elsewhere_has_ended_when_it_does_not_answer(run: Callable[..., Result]) -> None:
    service = Service()
    done = run(service, here=False)
    assert (done.exit_code, done.stdout) == (0, "Stopped.\n")
    assert service.asked[-1] == "GET /v2/version"


def test_one_that_does_not_end_is_told(run: Callable[..., Result]) -> None:
    done = run(Service(), ended=False)
    assert done.exit_code == 1
    assert "process 99 has been told to end and still runs" in done.stderr


def test_none_running_is_what_was_wanted(command: Command, state_home: Path) -> None:
    for arguments in ((), ("--discard",)):
        done = command("stop", *arguments)
        assert (done.exit_code, done.stdout) == (0, "No service is running.\n")
    assert json.loads(command("stop", "--json").stdout) == {"stopped": False}
    assert list(state_home.iterdir()) == []
