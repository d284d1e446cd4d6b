"""status: what it says of what a service answers, once, again and again, and when there is none."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from compute_executor.cli import chosen_service
from compute_executor.cli.chosen_service import ChosenService, RunningService
from compute_executor.cli.local_service import LocalService
from compute_executor.cli.status_lines import Look, lines, one_line_of, rate
from compute_executor.errors import ComputeError, NotFound, ServiceUnavailable
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
    "disk": {"used": 2_340_000, "budget": 12_000_000_000, "free": 21_000_000_000},
}
FIGURES: dict[str, Any] = {
    "tasks": {"queued": 1203, "running": 2, "succeeded": 3500, "failed": 90, "lost": 6, "cancelled": 4},
    "functions": [
        {
            "function": "fit",
            "succeeded": 3500,
            "failed": 90,
            "lost": 6,
            "cancelled": 0,
            "mean": 0.25,
            "longest": 61.0,
        },
        {
            "function": "never",
            "succeeded": 0,
            "failed": 0,
            "lost": 0,
            "cancelled": 4,
            "mean": None,
            "longest": None,
        },
    ],
    "rate": 60.0,
}
OPEN = {
    "id": "f" * 36,
    "label": "fit",
    "program": "/home/ann/fit.py",
    "clients": 0,
    "queued": 1203,
    "running": 2,
}
ENDPOINT = {
    "name": "hpc",
    "online": True,
    "engine": "slurm",
    "workers": 2,
    "running": 2,
    "open": 1300,
    "machines": [
        {
            "host": "login1",
            "connected": True,
            "trouble": "",
            "state": {
                "blocks": [
                    {"slot": "ab", "job": "17", "state": "running", "reason": ""},
                    {"slot": "cd", "job": "18", "state": "pending", "reason": "PENDING Priority"},
                ],
                "pilots": [{"host": "n1", "slot": "ab", "workers": 2, "leased": 4}],
            },
        }
    ],
}
GROUPS = {"groups": [OPEN, {**OPEN, "queued": 0, "running": 0}]}


class Service:
    """Answers by path; an error as an answer is raised."""

    def __init__(self) -> None:
        self.url = "http://127.0.0.1:5"
        self.answers: dict[str, Any] = {
            "/v3/overview": OVERVIEW,
            "/v3/figures": FIGURES,
            "/v3/groups": GROUPS,
            "/v3/agents": {"endpoints": [ENDPOINT]},
            "/v2/version": {"api": "1", "compute_executor": "0.1.0"},
        }
        self.asked: list[str] = []

    def ask(self, _method: str, path: str) -> Any:
        self.asked.append(path)
        answer = self.answers[path.partition("?")[0]]
        if isinstance(answer, ComputeError):
            raise answer
        return copy.deepcopy(answer)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    scripted = Service()
    local = LocalService(ServiceAddress(scripted.url, "secret", "i"), 99, Path("/state"))
    found: Any = RunningService(scripted, local)  # type: ignore[arg-type]  # a stand-in
    monkeypatch.setattr(chosen_service, "look", lambda *_: found)
    return scripted


def test_it_shows_service_tasks_functions_workers_and_pools(command: Command, service: Service) -> None:
    done = command("status")
    assert done.exit_code == 0
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        "service  http://127.0.0.1:5, version 0.1.0, pid 99, up 1:02:05",
        "state    /state, survives the death of any process",
        "clients  1 connected",
        "disk     2.3 MB of large arguments and results, 12 GB are allowed, 21 GB free",
        "tasks    1,203 queued, 2 running, 3,500 succeeded, 90 failed, 6 lost, 4 cancelled",
        "rate     60 tasks/s in the last minute",
        "group    ffffffff fit /home/ann/fit.py: 1,203 queued, 2 running, its program is not there",
        "function fit: 3,500 succeeded, 90 failed, 6 lost, 250 ms each, 61 s the longest",
        "function never: 4 cancelled",
        "endpoint hpc: online, slurm, 2 workers, 2 running, 1,300 open, blocks: 1 pending, 1 running "
        "(PENDING Priority)",
        "workers  2 in all, 1 idle, 1 running",
        "         pid 41 running a-task",
        "         pid 42 idle",
        "pool     sweep  [31mx: open, 1 open task, up to 2 workers, 1 client, in container a-container",
        f"built    {'cd' * 16}: building",
    ]
    assert "secret" not in done.output
    assert "/v3/figures?everybody=true" in service.asked


def test_who_is_no_operator_sees_their_own(command: Command, service: Service) -> None:
    service.answers["/v3/overview"] = NotFound("there is no overview for you")
    done = command("status")
    assert done.exit_code == 0
    assert "1,203 queued" in done.stdout
    assert "workers " not in {line[:8] for line in done.stdout.splitlines()}
    assert "/v3/figures?everybody=false" in service.asked


def test_another_program_gets_every_field(command: Command, service: Service) -> None:
    found = json.loads(command("status", "--json").stdout)
    assert found["counts"] == FIGURES["tasks"]
    assert found["functions"][0]["longest"] == 61.0
    assert [group["queued"] for group in found["groups"]] == [1203]
    assert found["pid"] == 99


def test_a_service_that_cannot_store_is_told(command: Command, service: Service) -> None:
    service.answers["/v3/overview"] = {**OVERVIEW, "storing": "stalled"}
    assert "results cannot be stored at the moment" in command("status").stdout


def test_a_service_that_does_not_answer_is_one_line(command: Command, service: Service) -> None:
    service.answers["/v3/overview"] = ServiceUnavailable("the service does not answer")
    done = command("status")
    assert (done.exit_code, done.stderr) == (1, "Error: the service does not answer\n")


def test_none_running_is_said_plainly_and_none_is_started(command: Command, state_home: Path) -> None:
    done = command("status")
    assert done.exit_code == 1
    assert done.stdout.startswith("No service is running")
    assert (command("status", "--json").stdout, command("status", "--json").exit_code) == ("{}\n", 1)
    assert list(state_home.iterdir()) == []


def test_it_is_watched_until_ctrl_c_also_over_a_gap(
    command: Command, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = copy.deepcopy(FIGURES)
    later["tasks"]["succeeded"] += 30
    steps: Iterator[Any] = iter([ServiceUnavailable("gone for a moment"), later])

    def pause(_seconds: float) -> None:
        service.answers["/v3/figures"] = next(steps, None)
        if service.answers["/v3/figures"] is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    done = command("status", "--watch")
    assert done.exit_code == 0
    first, second = done.stdout.splitlines()
    assert "3,500 succeeded, 90 failed, 6 lost, 4 cancelled, 60 tasks/s" in first
    assert "3,530 succeeded" in second
    assert done.stderr == "gone for a moment\n"


def at(now: float, succeeded: int) -> Look:
    figures = {**FIGURES, "tasks": {**FIGURES["tasks"], "succeeded": succeeded}}
    return Look("http://x", None, {}, None, figures, [OPEN] * 7, now, [])


def test_the_rate_is_that_between_two_looks() -> None:
    assert rate(at(10.0, 100), None) == 60.0
    assert rate(at(12.0, 300), at(10.0, 100)) == 100.0
    assert rate(at(12.0, 50), at(10.0, 100)) == 0.0, "a clean-up deletes"
    assert "rate     100 tasks/s now" in lines(at(12.0, 300), at(10.0, 100))
    assert one_line_of(at(12.0, 300), at(10.0, 299)).endswith("0.5 tasks/s")


def test_many_groups_are_shortened() -> None:
    shown = lines(at(10.0, 1))
    assert sum(line.startswith("group") for line in shown) == 5
    assert "         and 2 groups more: compute-executor groups" in shown


def test_a_service_elsewhere_is_not_looked_for_here(
    monkeypatch: pytest.MonkeyPatch, state_home: Path
) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_TOKEN", "t")
    found = chosen_service.look(None, None, "http://host:1")
    assert found == RunningService(ChosenService("http://host:1", "t"), None)
    assert chosen_service.look(None, None, None) is None
