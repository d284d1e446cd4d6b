"""logs --follow: what is new of each task's output, once, in the order in which it comes."""

from __future__ import annotations

import base64
import json
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
    """A group of a store with ten outcomes, of which one answer tells five: tasks 2 to 9 have printed and ended.
    Another one runs; from the third look at the end of the store on, it has ended too."""

    def __init__(self) -> None:
        self.looks = 0
        self.asked: list[str] = []

    def ask(self, _method: str, path: str) -> dict[str, Any]:
        if path.startswith("/v3/resolve"):
            return {"group": "g"}
        self.asked.append(path.removeprefix("/v3/groups/g/output"))
        after = int(path.partition("?after=")[2] or 10)
        until = max(after, min(10, after + 5))
        self.looks += after >= 10
        parts = [part(f"t{seq}", 0, b"%d\n" % seq) for seq in range(max(2, after + 1), min(10, until + 1))]
        running = part("new", 0, b"running\n" * max(1, self.looks))
        return {"parts": [*parts, running], "open": int(self.looks < 3), "after": until}


def test_a_group_is_followed_to_its_end(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()
    monkeypatch.setattr(chosen_service, "choose", lambda *_: service)
    monkeypatch.setattr(logs, "PERIOD", 0.0)
    done = command("logs", "fit", "-f", "--limit", "3")
    assert done.exit_code == 0
    assert done.stdout == "== t8\n8\n== t9\n9\n== new\nrunning\nrunning\nrunning\n"
    assert service.asked == ["", "?after=0", "?after=5", "?after=10", "?after=10"]


def test_what_a_group_printed_is_found_however_many_tasks_printed_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen_service, "choose", lambda *_: Service())
    done = command("logs", "fit", "--json")
    assert json.loads(done.stdout) == {**{f"t{seq}": f"{seq}\n" for seq in range(2, 10)}, "new": "running\n"}
    assert command("logs", "fit", "--limit", "2").stdout == "== t9\n9\n== new\nrunning\n"


def test_what_is_not_kept_of_a_text_is_said(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    class One(Service):
        def ask(self, _method: str, path: str) -> dict[str, Any]:
            if path.startswith("/v3/resolve"):
                return {"task": "t"}
            assert path == "/v3/tasks/t/output"
            return {"parts": [part("t", 7, b"end\n", err=b"oh\n")], "open": 0, "after": 0}

    monkeypatch.setattr(chosen_service, "choose", lambda *_: One())
    assert command("logs", "t").stdout == "[7 bytes before this are not kept]\nend\noh\n"


def test_ctrl_c_ends_it_in_order(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(chosen_service, "choose", lambda *_: Service())
    monkeypatch.setattr(time, "sleep", interrupted)
    assert command("logs", "fit", "-f").exit_code == 0
    assert command("logs", "fit", "-f", "--json").exit_code == 2
