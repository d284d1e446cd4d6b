"""Messages that would take long to read are refused before they are; those of clients are not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.protocol import frames
from compute_executor.protocol.ids import TaskPositions
from compute_executor.service.api.frame_sizes import LARGEST, MANY, SMALL, check_frame, check_message

encode = msgspec.msgpack.encode
PREFIX = bytes.fromhex("0123456789ab8def8123beef")
ID, DIGEST = b"g" * 16, b"d" * 32
LONG = [0] * 1_000_000
SPEC = frames.PoolSpec(1, "p", ["/x" * 50] * 2_000, "/", {"A": "b" * 1_000_000}, b"x" * 5_000_000)


def submit(tasks: Any = (), functions: Any = (DIGEST,), options: Any = (), parts: Any = ()) -> list[Any]:
    return [5, PREFIX, ID, b"", None, list(functions), tasks, 1, list(options), list(parts)]


def pool(path: Any = (), environ: Any = None, interpreter: Any = ()) -> list[Any]:
    spec = [1, "python", list(path), "/", environ or {}, None, None, "", "", list(interpreter)]
    return [1, ID, spec]


@pytest.mark.parametrize(
    "frame",
    [
        [7, 1, [(PREFIX, [0])] * (MANY + 1)],
        [7, 1, [(PREFIX, [0] * (LARGEST + 1))]],
        [3, DIGEST, "f", b"code", "", {"a": LONG}],
        [3, DIGEST, "f", LONG * 5],
        submit(functions=[DIGEST] * (MANY + 1)),
        submit(options=[0, None, None, {"a": LONG}]),
        submit(parts=[["x", 1]] * (MANY + 1)),
        pool(path=[""] * LARGEST),
        pool(environ={str(number): "" for number in range(MANY + 1)}),
        pool(interpreter=[""] * (SMALL + 1)),
        [4, LONG * 5, 0],
        [0] * 1_000_000,
        dict.fromkeys(range(SMALL), 0),
    ],
)
def test_what_would_take_long_is_refused(frame: Any) -> None:
    with pytest.raises(InvalidRequest):
        check_frame(encode(frame))


@pytest.mark.parametrize(
    "frame",
    [
        frames.Cancel(1, [(PREFIX, list(range(128)))] * 7_800),
        frames.Register(DIGEST, "f", b"x" * 10_000_000, "x" * 60_000, {"a": "b"}),
        frames.Submit(PREFIX, ID, b"", None, [DIGEST], msgspec.Raw(encode([[0, b"x" * 60_000]] * 200)), 200),
        frames.Submit(
            PREFIX, ID, b"", None, [DIGEST] * 10_000, msgspec.Raw(encode([[0, b""]] * 100_000)), 100_000
        ),
        frames.OpenPool(ID, SPEC),
        frames.Ack(ID, 1),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_what_clients_send_is_not(frame: Any) -> None:
    check_frame(encode(frame))
    check_message(encode(frame), type(frame))


def test_a_request_about_many_tasks() -> None:
    check_message(encode([(PREFIX, list(range(100_000)))]), TaskPositions)
    with pytest.raises(InvalidRequest, match="in parts"):
        check_message(encode([(PREFIX, [0])] * (MANY + 1)), TaskPositions)


def test_an_unknown_message_is_for_the_decoder_to_refuse() -> None:
    check_frame(encode([99, b"x" * SMALL]))
    with pytest.raises(msgspec.DecodeError):
        check_frame(b"\x92\x01" + b"\xc1" * SMALL)
