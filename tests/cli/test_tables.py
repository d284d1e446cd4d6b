"""Tables: aligned where they fit, blocks where the terminal is narrow, lines for other programs."""

from __future__ import annotations

import io
import sys

import pytest

from compute_executor.cli.tables import show

COLUMNS = ("id", "state", "error")
ROWS = [
    ("0a1b.1", "failed", "ValueError: [bold]no root\x1b[31m in this interval, which is long"),
    ("0a1b.0", "ok", ""),
]


class Terminal(io.TextIOWrapper):
    """A terminal of this encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict")

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, width: int, encoding: str = "utf-8") -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal(encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    show(COLUMNS, ROWS)
    terminal.flush()
    lines = terminal.buffer.getvalue().decode(encoding).splitlines()  # type: ignore[attr-defined]  # BytesIO
    assert all(len(line) <= width for line in lines)
    return [line.rstrip() for line in lines]


def test_a_table_that_fits_is_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    head, first, second = shown(monkeypatch, 60)
    assert head.split() == ["id", "state", "error"]
    assert first.startswith("0a1b.1  failed  ValueError: [bold]no root [31m")
    assert first.endswith("…")
    assert second == "0a1b.0  ok"


def test_a_terminal_without_utf_8_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ValueError: [bold]no" in shown(monkeypatch, 60, "ascii")[1]


def test_a_narrow_terminal_gets_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 20) == [
        "id    0a1b.1",
        "state failed",
        "error ValueError: [b",
        "",
        "id    0a1b.0",
        "state ok",
    ]


def test_other_programs_get_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show(COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines()[2] == "0a1b.0\tok\t"
