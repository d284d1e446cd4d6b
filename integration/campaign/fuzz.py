"""Changed messages for all that reads what others wrote: the answer is a value, or an error that it may raise.

The inputs are real messages in which bits are turned, bytes are cut out or replaced by values that are known to hurt,
or that are put together from two. Chance is seeded, so that what is found can be found again.
"""

from __future__ import annotations

import json
import random
import struct
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from compute_executor.durations import seconds_of
from compute_executor.endpoint.worker import messages, result_ring
from compute_executor.errors import ComputeError, StoreDamaged
from compute_executor.local import state
from compute_executor.protocol import frames
from compute_executor.serialization import native, packing
from compute_executor.service.api import documents
from compute_executor.service.api.error_responses import Refusal
from compute_executor.service.api.request_bodies import parse_uuid, read_msgpack, strict_json
from compute_executor.service.globus_compute import messages as stock
from compute_executor.session.hosted import messages as hosted
from compute_executor.session.stream.frame_reader import read_frame

HURTFUL = (
    b"\x00",
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
    b"\x80" + b"\x00" * 7,
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdf\x7f\xff\xff\xff",
    b"\x91" * 2000,
    b"[" * 2000,
    b'{"a":' * 500,
    b"1e999",
    b"NaN",
    b"9" * 5000,
    b"\\ud800",
    b"\xed\xa0\x80",
    b"\xf8\x88\x80\x80\x80",
    b"../../etc/passwd\x00",
    b"-1",
    b"\r\n\r\n",
)
"""Bytes that parsers stumble over: lengths beyond the end, depth, numbers without bound, halves of characters."""

_encode = msgspec.msgpack.Encoder().encode
GROUP, PREFIX = b"g" * 16, b"123456\x80\x00\x80abc"


class Parser(NamedTuple):
    """``may_raise``: what it says that it raises."""

    name: str
    parse: Callable[[bytes], Any]
    may_raise: tuple[type[BaseException], ...]
    samples: list[bytes]


def _to_service(data: bytes) -> Any:
    return msgspec.msgpack.Decoder(frames.ToService).decode(data)


def _calls(data: bytes) -> Any:
    return read_msgpack(data, list[tuple[int, frames.Body]])


def _announcement(data: bytes) -> Any:
    return state._announced(Path("service.json"), data)


_BEFORE = 64
"""Bytes before the first record of a ring."""


def _record(data: bytes) -> Any:
    return result_ring._record(data, 0, len(data) - _BEFORE)


def _recorded(body: bytes) -> bytes:
    record = result_ring.RECORD.pack(1, 2, 1, frames.VALUE, 0, 0, len(body), 1.0, 2.0)
    return bytes(_BEFORE) + record + struct.pack("<I", crc32(body, crc32(record))) + body


def _text(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    return lambda data: parse(data.decode("utf-8", "replace"))


_RESULT_OF_STOCK = b"""\x01{"message_type": "result", "data": {
    "task_id": "4b116d3c-1703-4f8f-9f6f-39921e5864df", "data": "x", "details": {"os": "linux"}}}"""
SUBMIT = frames.Submit(
    PREFIX, GROUP, b"", None, [b"f" * 16], msgspec.Raw(_encode([(0, b"x"), (0, b"y" * 40)])), 2
)
RESULT = frames.Result(7, PREFIX, 1, frames.VALUE, native.dumps((1, "two")), 1.0, 2.0)
REASON = frames.Result(8, PREFIX, 0, frames.LOST, _encode(frames.Reason("it died", -9)), 1.0, 2.0)
_BODY = packing.call_to_text(native.dumps_call((1, "two"), {"a": 3}))
_UNREADABLE = (msgspec.MsgspecError, RecursionError, ValueError)
_REFUSED = (ComputeError, Refusal)

PARSERS = (
    Parser(
        "frames to the service",
        _to_service,
        _UNREADABLE,
        [
            _encode(one)
            for one in (
                SUBMIT,
                frames.Ack(GROUP, 5),
                frames.Cancel(1, [(PREFIX, [1, 2])]),
                frames.Subscribe(GROUP, 3),
                frames.Register(b"d" * 32, "f", b"code", "text", {"a": [1, None]}),
                frames.OpenPool(GROUP, frames.PoolSpec(2, "python", ["/a"], "/", {"A": "b"})),
                frames.ClosePool(GROUP),
            )
        ],
    ),
    Parser("arguments of a batch", _calls, _REFUSED, [_encode([(0, b"x"), (1, frames.Blob("a" * 32, 7))])]),
    Parser(
        "frames to the client",
        read_frame,
        (msgspec.DecodeError,),
        [
            _encode(one)
            for one in (
                frames.Results(GROUP, [RESULT, REASON]),
                frames.Accepted(PREFIX),
                frames.Refused(PREFIX, {"name": "NotFound", "reason": "gone"}),
                frames.Cancelled(3, [(PREFIX, [0])]),
                frames.Began([(PREFIX, 1, 1.5)]),
                frames.Goodbye("bye"),
            )
        ],
    ),
    Parser(
        "frames of a worker",
        lambda data: list(messages.FrameReader().feed(data)),
        (LookupError, ValueError, struct.error),
        [messages.frame(messages.READY) + messages.frame(messages.ROOM, b"abc" * 9)],
    ),
    Parser("results that a worker left", _record, (), [_recorded(b"a value"), _recorded(b"")]),
    Parser(
        "service.json",
        _announcement,
        (StoreDamaged,),
        [json.dumps(state.ServiceInfo("http://127.0.0.1:1", "t", "i", 7)._asdict()).encode()],
    ),
    Parser(
        "registration over HTTP",
        lambda data: strict_json(data, documents.FunctionDocument),
        _REFUSED,
        [b'{"function_code": "x", "function_name": "f", "meta": {"a": [1, 2.5, null]}, "public": false}'],
    ),
    Parser(
        "task ids over HTTP",
        lambda data: strict_json(data, documents.TaskIds),
        _REFUSED,
        [b'{"task_ids": ["4b116d3c-1703-4f8f-9f6f-39921e5864df"]}'],
    ),
    Parser("ids", _text(lambda text: parse_uuid(text, "task")), _REFUSED, [str(uuid.UUID(int=7)).encode()]),
    Parser("arguments of a stock SDK", _text(packing.call_from_text), _REFUSED, [_BODY.encode()]),
    Parser("functions of a stock SDK", _text(packing.function_from_text), _REFUSED, [_BODY.encode()]),
    Parser(
        "results of a stock endpoint",
        stock.read_result,
        (ValueError, *_REFUSED),
        [_RESULT_OF_STOCK],
    ),
    Parser(
        "reports of a stock endpoint",
        stock.read_report,
        (ValueError, *_REFUSED),
        [
            stock.VERSION
            + b'{"message_type": "ep_status_report", "data": {"endpoint_id": "x", "global_state": {}}}'
        ],
    ),
    Parser(
        "results of the hosted service",
        hosted.read,
        (ValueError, *_REFUSED),
        [_RESULT_OF_STOCK],
    ),
    Parser("durations", _text(seconds_of), (ValueError, *_REFUSED), [b"15m", b"1.5h", b"30d"]),
)


def changed(sample: bytes, other: bytes, chance: random.Random) -> bytes:
    """The sample with one to three changes."""
    data = sample
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0 if at < len(data):
                data = data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[at + chance.randrange(9) :]
            case 2:
                data = data[:at] + chance.choice(HURTFUL) + data[at:]
            case 3:
                data = data[:at] + chance.choice(HURTFUL) + data[at + chance.randrange(9) :]
            case 4:
                data = data[:at] + other[chance.randrange(len(other) + 1) :]
            case _:
                data = data[:at] + chance.randbytes(chance.randrange(1, 9)) + data[at + chance.randrange(3) :]
    return data


class Fuzzed(NamedTuple):
    """What was tried. ``inputs``: by parser; ``notes``: the parser, the input and what it raised."""

    inputs: dict[str, int]
    notes: list[str]


def fuzz(seed: int, inputs: int, seconds: float) -> Fuzzed:
    """Try so many inputs on each parser, or as many as the time allows: an equal share for each."""
    counts: dict[str, int] = {}
    notes: list[str] = []
    for parser in PARSERS:
        counts[parser.name] = _fuzz_one(parser, random.Random(seed), inputs, seconds / len(PARSERS), notes)
    return Fuzzed(counts, notes)


def _fuzz_one(parser: Parser, chance: random.Random, inputs: int, seconds: float, notes: list[str]) -> int:
    deadline = time.monotonic() + seconds
    for number in range(inputs):
        if number % 256 == 0 and time.monotonic() > deadline:
            return number
        data = changed(chance.choice(parser.samples), chance.choice(parser.samples), chance)
        try:
            parser.parse(data)
        except parser.may_raise:
            pass
        except Exception as error:
            notes.append(f"{parser.name}: {type(error).__name__}: {error!s:.200} for {data[:200]!r}")
            if len(notes) > 50:
                return number + 1
    return inputs
