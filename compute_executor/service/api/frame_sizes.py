"""Bounds of messages, looked at before they are read: reading a message is one step that nothing can interrupt.

What costs time are many small parts: a million of them take longer to read than others may be kept waiting. A message
that is large enough to have as many is first taken apart into its fields, which costs little, and the size of each
and the number of its entries are looked at. Code, bodies and text are one part each, and as large as they like.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from compute_executor.errors import InvalidRequest
from compute_executor.protocol import frames
from compute_executor.protocol.msgpack_header import entries

SMALL = 64 * 1024
"""Bytes of a message that cannot have too many parts."""
LARGEST = 4 * 1024 * 1024
"""Bytes of one list or mapping: four million positions of a Cancel are read in 40 ms."""
SMALLER: Mapping[str, int] = {"metadata": SMALL, "options": 4 * SMALL}
"""The same of what holds free values, which are looked at one by one."""
MANY = 20_000
"""Entries of one list or mapping: paths, environment variables, functions of a batch, batches of a Cancel."""
FIELDS = 64
"""Of one message, at most; there may be some that only a later version knows."""

_KINDS: Mapping[int, type[msgspec.Struct]] = {
    typing.cast(int, kind.__struct_config__.tag): kind for kind in typing.get_args(frames.ToService)
}
_parts = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_number = msgspec.msgpack.Decoder(int).decode


def check_frame(frame: bytes) -> None:
    """Raise InvalidRequest for a frame that would take long to read, msgspec.DecodeError for what is no msgpack. What
    else may be wrong with it is found when it is read."""
    if len(frame) <= SMALL:
        return
    tag, *fields = _fields(frame)
    kind = _KINDS.get(_number(tag))
    if kind is not None:
        _check_fields(kind, fields)


def check_message(body: bytes, kind: Any) -> None:
    """Check the same for the body of a request that is a ``kind``: a message of the stream without its tag or a
    list."""
    if len(body) <= SMALL:
        return
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        tagged = kind.__struct_config__.tag is not None
        _check_fields(kind, _fields(body)[tagged:])
    else:
        _check_size(body, "the list")


def _fields(message: bytes) -> list[msgspec.Raw]:
    count = entries(message)
    if count is None or not 0 < count <= FIELDS:
        raise InvalidRequest(f"a message is a list of 1 to {FIELDS} fields")
    return _parts(message)


def _check_fields(kind: type[msgspec.Struct], values: list[msgspec.Raw]) -> None:
    for name, value in zip(kind.__struct_fields__, map(bytes, values), strict=False):
        if len(value) <= SMALL or entries(value) is None or (kind, name) == (frames.Submit, "tasks"):
            continue
        nested = _nested(kind).get(name)
        if nested is None or name in SMALLER:
            _check_size(value, name)
        else:
            _check_fields(nested, _fields(value))


def _check_size(value: bytes, name: str) -> None:
    most = SMALLER.get(name, LARGEST)
    if len(value) > most:
        raise InvalidRequest(f"{name} has {len(value)} bytes; such a list or mapping has {most} at most")
    count = entries(value)
    if count is not None and count > MANY:
        raise InvalidRequest(f"{name} has {count} entries; the limit is {MANY}: send them in parts")


@cache
def _nested(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    """Return the fields that are messages themselves."""
    hints = typing.get_type_hints(kind)
    return {
        name: hint
        for name, hint in hints.items()
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct)
    }
