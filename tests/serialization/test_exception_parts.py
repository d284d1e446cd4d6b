"""Exceptions are made again from their parts, not by calling their classes."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from compute_executor.serialization import exception_parts, exceptions, native
from tests.serialization.conftest import Script


class TextOfItsOwn(Exception):
    """Called with its args it would have another text."""

    def __init__(self, why: str, code: int = 2) -> None:
        super().__init__(f"{why} ({code})")
        self.code = code


class NoFile(FileNotFoundError):
    def __init__(self, name: str) -> None:
        super().__init__(2, "not there", name)


class Decoding(UnicodeDecodeError):
    def __init__(self) -> None:
        super().__init__("utf-8", b"\xff", 0, 1, "no text")


class SaysHow(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(a + b)
        self.pair = a, b

    def __reduce__(self) -> Any:
        return SaysHow, self.pair


def there(error: Any) -> Any:
    return native.loads(native.dumps(error))


def test_the_text_is_the_one_that_it_had() -> None:
    found = there(TextOfItsOwn("closed", 5))
    assert (str(found), found.code, type(found)) == ("closed (5)", 5, TextOfItsOwn)
    assert (str(there(NoFile("a"))), there(NoFile("a")).filename) == ("[Errno 2] not there: 'a'", "a")
    assert (there(Decoding()).object, there(Decoding()).reason) == (b"\xff", "no text")
    assert there(SaysHow(1, 2)).pair == (1, 2)


def test_one_that_says_how_it_is_pickled_or_needs_nothing_is_left_to_pickle() -> None:
    assert exception_parts.reduce(SaysHow(1, 2)) is None
    assert exception_parts.reduce(ValueError(1)) is None
    assert exception_parts.reduce(KeyError("k")) is None


def test_notes_and_causes_of_one_that_says_how_it_is_pickled() -> None:
    error = SaysHow(1, 2)
    error.__notes__ = ["seen"]  # type: ignore[attr-defined]  # Python 3.11; an attribute as any other before
    error.__cause__ = TextOfItsOwn("first")
    found = there(error)
    assert (found.pair, found.__notes__, str(found.__cause__)) == ((1, 2), ["seen"], "first (2)")
    raised = exceptions.decode(exceptions.encode(error))
    assert (raised.pair, raised.__notes__, str(raised.__cause__)) == ((1, 2), ["seen"], "first (2)")  # type: ignore[attr-defined]


def test_causes_of_a_value_come_along() -> None:
    try:
        try:
            raise TextOfItsOwn("first")
        except TextOfItsOwn as first:
            raise ValueError("second") from first
    except ValueError as second:
        found = there([second, second])
    assert found[0] is found[1]
    assert str(found[0].__cause__) == "first (2)"
    assert found[0].__context__ is found[0].__cause__
    hidden = ValueError(1)
    hidden.__suppress_context__ = True
    assert there(hidden).__suppress_context__


def test_one_that_holds_itself() -> None:
    error = TextOfItsOwn("ring")
    error.me = error  # type: ignore[attr-defined]
    found = there(error)
    assert found.me is found


@pytest.mark.skipif(not hasattr(builtins, "ExceptionGroup"), reason="groups came with Python 3.11")
def test_a_group_as_a_value(script: Script) -> None:
    script.run(
        "class Own(ExceptionGroup):\n def __new__(cls, why, members):\n"
        "  made = super().__new__(cls, why, members)\n  made.why = why\n  return made\n"
        " def __init__(self, *args): pass\n"
        "def use(group): return group, [str(one) for one in group.exceptions]\n"
    )
    group = script.names["Own"]("all", [TextOfItsOwn("a", 1), KeyError("k")])
    back, texts = script.call("use", group)
    assert (type(back), back.why, texts) == (script.names["Own"], "all", ["a (1)", "'k'"])
