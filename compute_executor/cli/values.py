"""Text to parameter values and back: what ``--grid``, ``--params`` and ``--resume`` have in common.

A value is an int, a float or a string. Text that looks like a number but would not come back as written
(``007``, ``1_000``) stays a string: it is an identifier. The values of one parameter are of one type, so that a
function does not get an int here and a float there: one float makes all numbers floats, one word makes all words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

Value = int | float | str

_INT = re.compile(r"[+-]?(0|[1-9]\d*)")
_ZEROS = re.compile(r"[+-]?0\d")
_KINDS: tuple[type, ...] = (int, float, str)


def typed(text: str) -> Value:
    """The value that one text stands for.

    >>> [typed("5"), typed("0.5"), typed("1e3"), typed("007"), typed(" fast ")]
    [5, 0.5, 1000.0, '007', 'fast']
    """
    text = text.strip()
    try:
        if _INT.fullmatch(text):
            return int(text)
        return text if "_" in text or _ZEROS.match(text) else float(text)
    except ValueError:  # a word; or an int of more digits than int() reads
        return text


def kind_of(values: Iterable[Value]) -> type:
    """The one type that can hold all of ``values``: the last needed of int, float, str."""
    return _KINDS[max((_KINDS.index(type(value)) for value in values), default=0)]


def as_kind(text: str, kind: type) -> Value:
    """``text`` as a value of a parameter of this ``kind``; its text must allow that."""
    text = text.strip()
    return text if kind is str else kind(text)


def typed_alike(texts: Sequence[str]) -> list[Value]:
    """The values of one parameter.

    >>> typed_alike(["1", "2", "5"]), typed_alike(["1", "2.5"]), typed_alike(["1", "many"])
    ([1, 2, 5], [1.0, 2.5], ['1', 'many'])
    """
    kind = kind_of(map(typed, texts))
    return [as_kind(text, kind) for text in texts]


def cell(value: Any) -> str:
    """How a value is written into a table; a float in the shortest form that reads back as the same float. A text
    file has no NUL, and csv readers stumble over one (Python's own until 3.11)."""
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value).replace("\0", "\ufffd")


def key(values: Iterable[Any]) -> tuple[Value, ...]:
    """What two rows share if their parameters are equal, whether read from a file or about to be run.

    >>> key(["1", "fast"]) == key([1.0, "fast"])
    True
    """
    return tuple(_comparable(typed(cell(value))) for value in values)


def _comparable(value: Value) -> Value:
    return "nan" if isinstance(value, float) and math.isnan(value) else value
