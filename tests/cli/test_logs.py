"""logs --follow: what is new of each task's output, once, in the order in which it comes."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from compute_executor.cli import chosen_service, logs
from compute_executor.cli.logs import Seen

Command = Callable[..., Result]


def part(task: str, start: int, text: bytes, attempt: int = 1, err: bytes = b"") -> dict[str, Any]:
    return {
        "task": task,
        "attempt": attempt,
        "stdout": {"start": start, "bytes": base64.b64encode(text).decode()},
        "stderr": {"start": 0, "bytes": base64.b64encode(err).decode()},
    }


def test_what_was_shown_is_not_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen(named=False)
    seen.show([part("a", 0, b"one\ntw")])
    seen.show([part("a", 0, b"one\ntwo\n")])
    seen.show([part("a", 2, b"e\ntwo\nthree\n")])
    seen.show([part("a", 100, b"later\n", err=b"oh\n")])
    seen.show([part("a", 0, b"another attempt\n", attempt=2)])
    assert capsys.readouterr().out == (
        "one\ntwo\nthree\n[86 bytes before this are not kept]\nlater\noh\nanother attempt\n"
    )


def test_signs_come_whole_and_none_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen(named=False)
    written = "é\x1b[2J\n".encode()
    seen.show([part("a", 0, written[:1])])
    seen.show([part("a", 0, written)])
    assert capsys.readouterr().out == "é\\x1b[2J\n"


def test_a_line_says_of_which_task_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen(named=True)
    seen.show([part("a", 0, b"1\n"), part("b", 0, b"2\n")])
    seen.show([part("b", 0, b"2\n3\n")])
    assert capsys.readouterr().out == "== a\n1\n== b\n2\n3\n"


class Service:
    """A group with one task that has ended, and one that ends at the third look."""

    def __init__(self) -> None:
        self.looks = 0
        self.asked: list[str] = []

    def ask(self, _method: str, path: str) -> dict[str, Any]:
        self.asked.append(path)
        if path.startswith("/v3/resolve"):
            return {"group": "g"}
        if path.startswith("/v3/tasks?"):
            return {"tasks": [{"id": "new", "ended": None}, {"id": "old", "ended": 1.0}]}
        if path == "/v3/tasks/old/output":
            return {"parts": [part("old", 0, b"before\n")], "open": 0, "after": 0}
        self.looks += 1
        text = b"running\n" * self.looks
        return {"parts": [part("new", 0, text)], "open": int(self.looks < 3), "after": 10 + self.looks}


def test_a_group_is_followed_to_its_end(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()
    monkeypatch.setattr(chosen_service, "choose", lambda *_: service)
    monkeypatch.setattr(logs, "PERIOD", 0.0)
    done = command("logs", "fit", "-f")
    assert done.exit_code == 0
    assert done.stdout == "== old\nbefore\n== new\nrunning\nrunning\nrunning\n"
    assert service.asked[-2:] == ["/v3/groups/g/output?after=11", "/v3/groups/g/output?after=12"]


def test_ctrl_c_ends_it_in_order(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(chosen_service, "choose", lambda *_: Service())
    monkeypatch.setattr(time, "sleep", interrupted)
    assert command("logs", "fit", "-f").exit_code == 0
    assert command("logs", "fit", "-f", "--json").exit_code == 2
