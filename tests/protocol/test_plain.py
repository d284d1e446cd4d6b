"""What clients may put into the free fields of messages."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.protocol import frames
from compute_executor.protocol.plain import DEEPEST, LARGEST_INT, check_free_fields


def register(metadata: Any) -> frames.Register:
    return frames.Register(bytes(32), "f", b"", "", {"a": metadata})


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value", [None, True, "text", 1.5, LARGEST_INT, -LARGEST_INT, [1, {"b": []}], nested(DEEPEST - 1)]
)
def test_json(value: Any) -> None:
    check_free_fields(register(value))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (msgspec.msgpack.Ext(1, b""), "Ext"),
        (b"bytes", "bytes b'bytes'"),
        (float("nan"), "float nan"),
        (LARGEST_INT + 1, "int 9223372036854775808"),
        ({1: 2}, "the key int 1"),
        ([{"b": {None: 1}}], "the key NoneType None"),
        (nested(DEEPEST), "more than 64 levels"),
    ],
)
def test_what_is_no_json_is_named(value: Any, says: str) -> None:
    with pytest.raises(InvalidRequest, match=f"metadata .*{says}"):
        check_free_fields(register(value))


def test_fields_of_a_message_inside() -> None:
    options = frames.Options(user_endpoint_config={"a": b""})
    frame = frames.Submit(b"", b"", b"", None, [], msgspec.Raw(), 1, options)
    with pytest.raises(InvalidRequest, match="user_endpoint_config"):
        check_free_fields(frame)


def test_what_is_no_message_has_no_fields() -> None:
    check_free_fields([b"prefix", [1]])
