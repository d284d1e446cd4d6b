"""groups, tasks, task, cancel: what they ask a service, and how they show what it answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from compute_executor.cli import chosen_service
from compute_executor.cli.chosen_service import ChosenService
from compute_executor.errors import ComputeError, InvalidRequest, NotFound, ServiceUnavailable

Command = Callable[..., Result]
GROUP = {
    "id": "11111111-2222-4333-8444-555555555555",
    "owner": "local",
    "name": "fit.py",
    "label": "",
    "program": "/home/ann/fit.py",
    "host": "desk",
    "pid": 4711,
    "started": 0.0,
    "clients": 0,
    "queued": 1_000,
    "running": 2,
    "succeeded": 3,
    "failed": 4,
    "lost": 5,
    "cancelled": 6,
    "ended": None,
}
TASK = {
    "id": "01234567-89ab-8def-8123-beef00000102",
    "short": "01234567.258",
    "group": GROUP["id"],
    "label": "fit",
    "program": "/home/ann/fit.py",
    "host": "desk",
    "pid": 4711,
    "function": "simulate",
    "submitted": 100.0,
    "state": "failed",
    "attempt": 1,
    "began": 100.5,
    "ended": 103.0,
    "error": "ValueError: no \x1b[31mroot",
    "size": 12,
    "traceback": "Traceback (most recent call last):\n  File \x1b[2J\nValueError: no root\n",
}


class Service:
    """Answers by path; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sent: list[object] = []
        self.answers: dict[str, Any] = {
            "/v3/groups": {"groups": [GROUP]},
            "/v3/tasks": {"tasks": [TASK], "next": None},
            f"/v3/tasks/{TASK['id']}": TASK,
            "/v3/resolve": {"task": TASK["id"]},
            "POST": {"withdrawn": 2, "stopped": 0, "left": 1},
        }

    def ask(self, method: str, path: str, document: object = None) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        self.sent.append(document)
        answer = self.answers["POST" if method == "POST" else path.partition("?")[0]]
        if isinstance(answer, ComputeError):
            raise answer
        return dict(answer)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    scripted = Service()
    monkeypatch.setattr(chosen_service, "choose", lambda *_: scripted)
    return scripted


def rows(done: Result) -> list[list[str]]:
    assert done.exit_code == 0, done.output
    return [line.split("\t") for line in done.stdout.splitlines()]


def test_groups_are_rows(command: Command, service: Service) -> None:
    head, row = rows(command("groups"))
    shown = dict(zip(head, row, strict=True))
    assert shown["id"] == "11111111"
    assert (shown["name"], shown["client"], shown["queued"], shown["cancelled"]) == (
        "fit.py",
        "no",
        "1,000",
        "6",
    )
    assert service.asked == ["GET /v3/groups?limit=20"]


def test_an_operator_sees_those_of_everybody(command: Command, service: Service) -> None:
    command("groups", "--everybody", "--limit", "5")
    assert service.asked == ["GET /v3/groups?limit=5&everybody=true"]


def test_tasks_are_asked_for_by_what_is_wanted(command: Command, service: Service) -> None:
    service.answers["/v3/resolve"] = {"group": GROUP["id"]}
    given = ("--group", "fit", "--state", "failed", "--function", "a b&c", "--limit", "7")
    head, row = rows(command("tasks", *given))
    assert dict(zip(head, row, strict=True))["took"] == "2.5 s"
    assert service.asked == [
        "GET /v3/resolve?name=fit",
        f"GET /v3/tasks?limit=7&state=failed&function=a+b%26c&group={GROUP['id']}",
    ]


def test_what_others_wrote_is_shown_and_not_executed(command: Command, service: Service) -> None:
    for done in (command("tasks"), command("task", "01234567.258")):
        assert done.exit_code == 0
        assert "\x1b" not in done.output


def test_everything_about_a_task(command: Command, service: Service) -> None:
    done = command("task", "01234567.258")
    assert "program   /home/ann/fit.py (process 4711 on desk)" in done.stdout
    assert "began 500 ms later, took 2.5 s" in done.stdout
    assert done.stdout.endswith("ValueError: no root\n")


@pytest.mark.parametrize("arguments", [("groups",), ("tasks",), ("task", "x"), ("cancel", "x")])
def test_json_is_json(command: Command, service: Service, arguments: tuple[str, ...]) -> None:
    assert json.loads(command(*arguments, "--json").stdout)


def test_cancelling_says_how_much(command: Command, service: Service) -> None:
    done = command("cancel", "01234567.258")
    assert done.stdout == "2 tasks withdrawn, 0 stopped, 1 still running (--running stops them).\n"
    assert service.asked[-1] == f"POST /v3/tasks/{TASK['id']}/cancel"
    assert service.sent[-1] == {"running": False}


def test_cancelling_everything_names_the_groups_with_open_tasks(command: Command, service: Service) -> None:
    service.answers["/v3/groups"] = {"groups": [GROUP, {**GROUP, "id": "other", "queued": 0, "running": 0}]}
    done = command("cancel", "--all", "--running")
    assert done.exit_code == 0
    assert service.asked[1:] == [f"POST /v3/groups/{GROUP['id']}/cancel"]
    assert service.sent[-1] == {"running": True}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cancel",), "name what to cancel"),
        (("cancel", "x", "--all"), "name what to cancel"),
        (("tasks", "--state", "gone"), "no state of tasks"),
        (("tasks", "--state", "failed", "--state", "lost"), "one state"),
        (("tasks", "--since", "yesterday"), "no duration"),
        (("tasks", "--since", "-5m"), "0 or more"),
        (("tasks", "--limit", "0"), "1<=x<=10000"),
        (("tasks", "--group", "x"), "is a task, not a task group"),
    ],
)
def test_wrong_words(command: Command, service: Service, arguments: tuple[str, ...], told: str) -> None:
    done = command(*arguments)
    assert done.exit_code != 0
    assert told in done.output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("there is no task x for you"), 2),
        (InvalidRequest("'x' names more than one thing"), 2),
        (ServiceUnavailable("away"), 1),
    ],
)
def test_what_a_service_refuses_ends_the_command_with_its_message(
    command: Command, service: Service, error: ComputeError, code: int
) -> None:
    service.answers["/v3/resolve"] = error
    done = command("task", "x")
    assert (done.exit_code, str(error) in done.output) == (code, True)


def test_a_group_is_no_task(command: Command, service: Service) -> None:
    service.answers["/v3/resolve"] = {"group": GROUP["id"]}
    assert "tasks --group fit" in command("task", "fit").output


def test_what_a_task_printed(command: Command, service: Service) -> None:
    written = base64.b64encode(b"one\n\x1b[31mtwo\n").decode()
    streams = {"stdout": {"start": 0, "bytes": written}, "stderr": {"start": 0, "bytes": ""}}
    printed = {"parts": [{"task": TASK["id"], "attempt": 1, **streams}], "after": 4, "open": 0}
    for kind, one in (("tasks", TASK), ("groups", GROUP)):
        service.answers[f"/v3/{kind}/{one['id']}/output"] = printed
    done = command("logs", "01234567.258")
    assert done.stdout == "one\n\\x1b[31mtwo\n"
    service.answers["/v3/resolve"] = {"group": GROUP["id"]}
    done = command("logs", "fit", "--limit", "5")
    assert done.stdout == f"== {TASK['id']}\none\n\\x1b[31mtwo\n"
    assert json.loads(command("logs", "fit", "--json").stdout) == {TASK["id"]: "one\n\x1b[31mtwo\n"}


def test_nothing_was_printed(command: Command, service: Service) -> None:
    service.answers[f"/v3/tasks/{TASK['id']}/output"] = {"parts": [], "after": 0, "open": 0}
    done = command("logs", "x")
    assert (done.stdout, "Nothing was printed" in done.stderr) == ("", True)


def test_nothing_stored_starts_nothing(command: Command, state_home: Path) -> None:
    assert "No task groups" in command("groups").output
    assert "No such tasks" in command("tasks").output
    assert "there is no task" in command("task", "x").output
    assert command("cancel", "--all").output == "0 tasks withdrawn, 0 stopped, 0 still running.\n"
    assert list(state_home.iterdir()) == []


def test_a_service_is_named_in_one_way(command: Command, tmp_path: Path) -> None:
    done = command("groups", "--url", "http://127.0.0.1:1", "--profile", "lab")
    assert (done.exit_code, "give one of them" in done.output) == (2, True)


def test_a_service_that_is_away(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_TOKEN", "secret")
    done = command("groups", "--url", "http://127.0.0.1:1")
    assert (done.exit_code, "does not answer" in done.output, "secret" in done.output) == (1, True, False)


@pytest.mark.parametrize("url", ["ftp://x", "localhost:80", "http://", ""])
def test_an_address_that_is_none(command: Command, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_TOKEN", "secret")
    assert "is no http or https URL of a service" in command("groups", "--url", url).output


def test_a_service_without_such_a_route_is_older() -> None:
    old = ChosenService("http://x", "t")._refusal(NotFound("there is no route /v3/groups"))
    assert "older than this command" in str(old)
    assert isinstance(ChosenService("http://x", "t")._refusal(NotFound("there is no task")), NotFound)
