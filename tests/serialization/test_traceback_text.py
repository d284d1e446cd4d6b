"""Which exception the text of a traceback is of, and what is said of it in one line."""

from __future__ import annotations

import builtins
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.serialization.traceback_text import raised_by, summary

GROUP: Any = getattr(builtins, "ExceptionGroup", None)
HEAD = "Traceback (most recent call last):\n  File ...\n"


@pytest.mark.parametrize(
    ("text", "raised"),
    [
        (HEAD + "ZeroDivisionError: division by zero\n", ("ZeroDivisionError", "division by zero")),
        ("\n Traceback (most recent call last):\n   File ...\n lib.Odd: a\n b: c\n", ("lib.Odd", "a\nb: c")),
        (HEAD + "KeyboardInterrupt\n", ("KeyboardInterrupt", "")),
        (HEAD + "ValueError: \nbegins below\n", ("ValueError", "\nbegins below")),
        (HEAD + "ValueError: table\n  a  b\n\n  1  2\n", ("ValueError", "table\n  a  b\n\n  1  2")),
        (HEAD + "work.<locals>.Odd: 5\n", ("work.<locals>.Odd", "5")),
        (HEAD + "? what: is this\n", None),
        ("Traceback (most recent call last):", None),
        ("it failed", None),
        ("", None),
    ],
)
def test_what_a_traceback_says(text: str, raised: tuple[str, str] | None) -> None:
    assert raised_by(text) == raised


def written(work: Callable[[], object]) -> str:
    """The text that this interpreter writes of what a call raises."""
    try:
        work()
    except BaseException:
        return traceback.format_exc()
    raise AssertionError("it raised nothing")


def again() -> None:
    try:
        raise KeyError("first")
    except KeyError:
        raise ValueError("a\n  second:\nTraceback (most recent call last): no") from None


def because() -> None:
    try:
        again()
    except ValueError as error:
        raise OSError(2, "gone\nfor ever") from error


def test_the_last_of_a_chain_counts() -> None:
    assert raised_by(written(again)) == ("ValueError", "a\n  second:\nTraceback (most recent call last): no")
    assert raised_by(written(because)) == ("FileNotFoundError", "[Errno 2] gone\nfor ever")


def test_a_syntax_error_is_told_behind_its_source() -> None:
    found = raised_by(written(lambda: compile("a b", "<cell>", "exec")))
    assert found is not None
    assert found[0] == "SyntaxError"


@pytest.mark.skipif(GROUP is None, reason="exception groups came with Python 3.11")
def test_a_group_is_told_without_its_members() -> None:
    def fail() -> None:
        inner = GROUP("inner", [KeyError(1)])
        raise GROUP("two\nlines", [ValueError("x\ny"), inner])

    text = written(fail)
    assert raised_by(text) == ("ExceptionGroup", "two\nlines (2 sub-exceptions)")
    assert summary(text) == "ExceptionGroup: two\nlines (2 sub-exceptions)"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")))
def test_any_message_comes_back(message: str) -> None:
    def fail() -> None:
        raise ValueError(message)

    assert raised_by(written(fail)) == ("ValueError", message.rstrip("\n"))


def test_text_that_is_no_traceback_is_told_by_its_last_line() -> None:
    assert summary("slurmstepd: error\nout of memory\n") == "out of memory"
    assert summary(HEAD + "KeyboardInterrupt\n") == "KeyboardInterrupt"
