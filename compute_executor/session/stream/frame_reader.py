"""Frames of the service, decoded. What is wrong with one result is the trouble of one task. No I/O.

A frame of results in which one cannot be read is read again result by result: the unreadable one becomes an outcome
that says so, and its neighbours keep theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from compute_executor.errors import ResultDecodeError
from compute_executor.protocol.frames import EXCEPTION, Result, Results, ToClient
from compute_executor.protocol.ids import task_uuid
from compute_executor.serialization import exceptions

log: logging.Logger = logging.getLogger(__name__)

UNREADABLE = (ValueError, RecursionError)
"""What msgspec raises for bytes that make no message: bad UTF-8 is a UnicodeDecodeError, deep nesting the other."""


class _RawResults(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """A `Results` frame whose results are still encoded."""

    group: bytes
    results: list[msgspec.Raw]


class _RawResult(msgspec.Struct, array_like=True, frozen=True):
    """As much of a `Result` as its task is found by."""

    seq: int
    prefix: bytes
    position: int


_decode: Callable[[bytes], ToClient] = msgspec.msgpack.Decoder(ToClient).decode
_decode_raw = msgspec.msgpack.Decoder(_RawResults).decode
_decode_result = msgspec.msgpack.Decoder(Result).decode
_decode_place = msgspec.msgpack.Decoder(_RawResult).decode


def read_frame(frame: bytes) -> ToClient:
    """Return the message in a frame. Raises msgspec.DecodeError for what is none."""
    try:
        return _decode(frame)
    except UNREADABLE as error:
        try:
            raw = _decode_raw(frame)
        except UNREADABLE:
            raise msgspec.DecodeError(str(error)) from None
    results = [_result(bytes(one)) for one in raw.results]
    return Results(raw.group, [one for one in results if one is not None])


def _result(encoded: bytes) -> Result | None:
    """Return one result. None for one that does not even say whose it is."""
    try:
        return _decode_result(encoded)
    except UNREADABLE as error:
        why = error
    try:
        place = _decode_place(encoded)
        task_id = task_uuid(place.prefix, place.position)
    except (*UNREADABLE, OverflowError):
        log.warning("a result of %d bytes cannot be read, and names no task: %s", len(encoded), why)
        return None
    trouble = ResultDecodeError(
        f"the outcome of task {task_id} ({len(encoded)} bytes) cannot be read: {why}", task_id=task_id
    )
    return Result(place.seq, place.prefix, place.position, EXCEPTION, exceptions.encode(trouble))
