"""Exceptions that ride in the text of their own traceback, from processes that know nothing of this package."""

from __future__ import annotations

import base64
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compute_executor.serialization import carrier, strategies

ENDPOINT = """
import sys, traceback, dill, codecs
assert not any("compute_executor" in name for name in sys.modules)
sys.modules["compute_executor"] = None  # importing it fails
buffer = sys.stdin.read()
function = dill.loads(codecs.decode(buffer[3:].encode(), "base64"))
try:
    print(function(2))
except Exception:
    traceback.print_exc(file=sys.stdout)
"""
"""What a stock endpoint's worker does with a function buffer."""


def on_an_endpoint(source: str, tmp_path: Path) -> str:
    """What an endpoint without this package prints after running ``function(2)``."""
    script: dict[str, Any] = {"__name__": "a_script_of_the_user"}
    exec(source, script)
    buffer = strategies.dumps(carrier.carrying(script["function"]))
    command = [sys.executable, "-I", "-c", ENDPOINT]
    done = subprocess.run(command, input=buffer, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_value_is_a_value(tmp_path: Path) -> None:
    assert on_an_endpoint("function = lambda x: x + 1", tmp_path) == "3\n"


def test_an_exception_comes_back_as_itself(tmp_path: Path) -> None:
    text = on_an_endpoint("def function(x):\n    return x / 0\n", tmp_path)
    error = carrier.unload(text)
    assert isinstance(error, ZeroDivisionError)
    assert error.args == ("division by zero",)
    assert "in function" in str(error.__cause__)
    assert carrier.MARK not in str(error.__cause__)


def raised_by(function: Callable[..., Any]) -> str:
    try:
        carrier.carrying(function)()
    except Exception:
        return traceback.format_exc()
    raise AssertionError("it raised nothing")


class OfThisModule(Exception):
    """With attributes, and an ``__init__`` that breaks pickling."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


def test_attributes_and_classes_by_value() -> None:
    def fail() -> None:
        raise OfThisModule(7, "seven")

    error = carrier.unload(raised_by(fail))
    assert isinstance(error, OfThisModule)
    assert (error.code, str(error)) == (7, "7: seven")


def test_what_is_no_literal_rides_as_its_text() -> None:
    def fail() -> None:
        raise ValueError(object, b"bytes", {1, 2}, float("nan"))

    error = carrier.unload(raised_by(fail))
    assert isinstance(error, ValueError)
    assert error.args == ("<class 'object'>", b"bytes", {1, 2}, "nan")


class Undescribable(Exception):
    """Whose args are not to be had."""

    @property
    def args(self) -> Any:  # type: ignore[override]
        raise RuntimeError


@pytest.mark.parametrize("error", [Undescribable(), ValueError("x" * carrier.MAX_DESCRIPTION)])
def test_what_cannot_ride_is_raised_as_it_is(error: Exception) -> None:
    def fail() -> None:
        raise error

    text = raised_by(fail)
    assert carrier.unload(text) is None
    assert type(error).__name__ in text


def described(*parts: object) -> str:
    return base64.b64encode(repr(parts).encode()).decode()


UNLOADABLE = {
    "nothing": "",
    "no base64": "!!",
    "cut base64": "KCdidWlsdGlucycs",
    "no text": base64.b64encode(b"\xff").decode(),
    "no literal": base64.b64encode(b"__import__('os').system('true')").decode(),
    "no description": described(1),
    "nesting": base64.b64encode(b"(" * 100_000).decode(),
    "a class that is none": described("os", "system", ("true",), {}),
    "no exception": described("builtins", "int", (), {}),
    "one that ends programs": described("builtins", "SystemExit", (), {}),
    "a module that is not loaded": described("antigravity", "Error", (), {}),
    "attributes that are none": described("builtins", "ValueError", (), 5),
    "a name that is no text": described("builtins", 5, (), {}),
    "a name that is none": described("builtins", "ValueError.args.<locals>", (), {}),
}


@pytest.mark.parametrize("tail", UNLOADABLE.values(), ids=UNLOADABLE)
def test_anything_else_at_the_end_of_a_text_is_only_text(tail: str) -> None:
    """Also what somebody has put there who wants it to be executed."""
    assert carrier.unload(f"Traceback\n  ...\n{carrier.MARK} {tail}") is None
    assert "antigravity" not in sys.modules


def test_the_function_keeps_its_name() -> None:
    def named() -> None:
        pass

    assert carrier.carrying(named).__name__ == "named"
