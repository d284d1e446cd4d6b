"""Messages that are almost right: made from the message types, so that a new field cannot be forgotten.

`every_bad_message(kind)` gives encoded messages of which one value, at any depth, is impossible or odd: of another
type, out of every range, too long or too short, not UTF-8, an extension, nested too deeply, or left out.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect

ODD_INTS = [-(2**63), -1, 0, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1]
ODD_TEXTS = ["", "\0", "a\0b", "\ud7ff", "../../etc/passwd", "x" * 300, "\x1b[2J", "=1+1", "\u202e"]

NOT_JSON = [
    msgspec.Raw(b"\xa2\xff\xfe"),  # text that is not UTF-8
    msgspec.Raw(b"\x81\xa2\xff\xfe\x01"),  # the same as a key
    msgspec.msgpack.Ext(5, b"ext"),
    msgspec.Raw(b"\xd6\xff" + bytes(4)),  # a timestamp
    msgspec.Raw(b"\x91" * 1_000 + b"\xc0"),
    msgspec.Raw(b"\x91" * 50_000 + b"\xc0"),
    msgspec.Raw(b"\x81\xa1a" * 1_000 + b"\xc0"),
    {1: 2},
    {None: 1},
    {b"bytes": 1},
    {1.5: 1},
    float("nan"),
    float("inf"),
    b"\xff" * 12,
    msgspec.Raw(b"\xdd\xff\xff\xff\xff"),  # an array that says that it is long
    msgspec.Raw(b"\xdf\xff\xff\xff\xff"),
    msgspec.Raw(b"\xc1"),
]
"""Only msgpack can say these. `msgspec.Raw` is put into a message as it is."""

ODD_JSON = [
    msgspec.Raw(b'"\xff\xfe"'),
    msgspec.Raw(b'"\\ud800"'),
    msgspec.Raw(b"[" * 1_000 + b"]" * 1_000),
    msgspec.Raw(b"[" * 50_000 + b"]" * 50_000),
    msgspec.Raw(b'{"a":' * 1_000 + b"1" + b"}" * 1_000),
    msgspec.Raw(b"1" * 5_000),
    msgspec.Raw(b"1e999"),
    msgspec.Raw(b"NaN"),
    msgspec.Raw(b'{"a": 1, "a": 2}'),
    msgspec.Raw(b"\xef\xbb\xbf1"),
]

ODD_BYTES = [b"", b"x", b"y" * 11, b"z" * 17, b"\xff" * 70_000]
ODD_BLOBS = [["../" * 10, 5], ["0" * 32, -1], ["0" * 32, 2**63], ["", 0], ["0" * 32, 1]]

PLAIN = [None, True, 1.5, [], {}, [None], {"a": {"b": [1]}}, "text", *ODD_INTS, *ODD_TEXTS, *ODD_BLOBS]


def every_bad_message(kind: Any, *, as_json: bool, **fixed: Any) -> list[bytes]:
    """Encoded messages of a type, each with one bad value, in order. ``fixed``: right values of fields, by name."""
    odd = [*PLAIN, *ODD_JSON] if as_json else [*PLAIN, *NOT_JSON, *ODD_BYTES]
    encode = msgspec.json.encode if as_json else msgspec.msgpack.encode
    whole = _good(inspect.type_info(kind), fixed)
    return [encode(_replaced(whole, place, value)) for place in _places(whole) for value in odd]


def _good(info: inspect.Type, fixed: dict[str, Any]) -> Any:
    """A right value of a type, as lists, dicts and plain values."""
    if isinstance(info, inspect.StructType):
        return _good_struct(info, fixed)
    if isinstance(info, inspect.UnionType):
        rest = [one for one in info.types if not isinstance(one, inspect.NoneType)]
        return _good(rest[0], fixed)
    if isinstance(info, inspect.BytesType):
        return b"b" * (info.min_length or info.max_length or 16)
    if isinstance(info, inspect.ListType):
        return [_good(info.item_type, fixed)]
    if isinstance(info, inspect.TupleType):
        return [_good(one, fixed) for one in info.item_types]
    if isinstance(info, inspect.DictType):
        return {"key": _good(info.value_type, fixed)}
    if isinstance(info, inspect.Metadata):
        return _good(info.type, fixed)
    return _SIMPLE[type(info)]


_SIMPLE: dict[type, Any] = {
    inspect.IntType: 1,
    inspect.FloatType: 1.0,
    inspect.BoolType: False,
    inspect.StrType: "text",
    inspect.AnyType: {"any": [1]},
    inspect.RawType: [],
    inspect.NoneType: None,
    inspect.UUIDType: "00000000-0000-4000-8000-000000000000",
    inspect.LiteralType: "text",
    inspect.CustomType: None,
}


def _good_struct(info: inspect.StructType, fixed: dict[str, Any]) -> Any:
    values = {
        field.encode_name: fixed[field.name] if field.name in fixed else _good(field.type, fixed)
        for field in info.fields
    }
    if info.array_like:
        return [*([] if info.tag is None else [info.tag]), *values.values()]
    return values


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values inside a value, and to itself."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(place for key, part in parts for place in _places(part, (*above, key)))]


def _replaced(value: Any, place: tuple[Any, ...], by: Any) -> Any:
    if not place:
        return by
    copy = value.copy()
    copy[place[0]] = _replaced(value[place[0]], place[1:], by)
    return copy
