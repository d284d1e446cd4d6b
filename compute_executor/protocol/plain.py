"""The fields of messages that a client fills as it likes (metadata, configuration): JSON, of a bounded depth. No I/O.

msgpack can hold more than JSON: keys that are no text, bytes, times, extensions, NaN. What is stored as JSON, shown
in lists and sent on to other programs must not hold any of that, so it is refused where it comes in. Which fields
these are is read from the message types, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import math
import typing
from functools import cache
from typing import Any, NamedTuple

import msgspec

from compute_executor.errors import InvalidRequest

DEEPEST = 64
"""Nested lists and objects in one field. JSON readers differ in what they can read beyond some hundred."""

LARGEST_INT = (1 << 63) - 1
"""Whole numbers of JSON that every reader here, SQLite among them, takes."""


class _Fields(NamedTuple):
    """Names of the fields of a message that hold free values, and of those that hold another message."""

    free: tuple[str, ...]
    nested: tuple[str, ...]


def check_free_fields(message: Any) -> None:
    """Raise InvalidRequest if a field of the message, or of one inside it, holds what is no JSON."""
    if not isinstance(message, msgspec.Struct):
        return
    fields = _fields(type(message))
    for name in fields.free:
        _check(getattr(message, name), name, DEEPEST)
    for name in fields.nested:
        check_free_fields(getattr(message, name))


@cache
def _fields(kind: type[msgspec.Struct]) -> _Fields:
    hints = typing.get_type_hints(kind)
    free = tuple(name for name, hint in hints.items() if _is_free(hint))
    nested = tuple(name for name, hint in hints.items() if _is_message(hint))
    return _Fields(free, nested)


def _is_free(hint: Any) -> bool:
    return hint is Any or any(_is_free(part) for part in typing.get_args(hint))


def _is_message(hint: Any) -> bool:
    if isinstance(hint, type) and not typing.get_args(hint):
        return issubclass(hint, msgspec.Struct)
    return any(_is_message(part) for part in typing.get_args(hint))


def _check(value: Any, field: str, depth: int) -> None:
    if value is None or isinstance(value, (str, bool)):
        return
    if isinstance(value, (dict, list)):
        _check_parts(value, field, depth)
    elif not _is_number(value):
        raise InvalidRequest(
            f"{field} holds {_shown(value)}, which JSON cannot hold (or not every reader of it)"
        )


def _check_parts(value: dict[Any, Any] | list[Any], field: str, depth: int) -> None:
    if depth == 0:
        raise InvalidRequest(f"{field} is nested more than {DEEPEST} levels deep")
    if isinstance(value, list):
        for part in value:
            _check(part, field, depth - 1)
        return
    for key, part in value.items():
        if not isinstance(key, str):
            raise InvalidRequest(f"{field} has the key {_shown(key)}; keys are text")
        _check(part, field, depth - 1)


def _is_number(value: object) -> bool:
    if isinstance(value, int):
        return -LARGEST_INT <= value <= LARGEST_INT
    return isinstance(value, float) and math.isfinite(value)


def _shown(value: object) -> str:
    return f"{type(value).__name__} {value!r:.50}"
