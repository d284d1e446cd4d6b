"""Frames of a service that cannot be trusted: each result by itself."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.batch import CallBatch, Target
from compute_executor.errors import ResultDecodeError
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import EXCEPTION, VALUE, Accepted, Options, Result, Results
from compute_executor.protocol.ids import task_uuid
from compute_executor.serialization import exceptions, native
from compute_executor.session.stream.frame_reader import read_frame
from compute_executor.session.stream.protocol import StreamProtocol
from tests.conftest import MakeExecutor
from tests.fake_service import FakeService

encode = msgspec.msgpack.encode
PREFIX = bytes.fromhex("0123456789ab8def8123beef")
NO_UTF8 = msgspec.Raw(b"\x92\xa1\xff\x01")
"""A blob whose name is no UTF-8."""
GROUP = b"g" * 16
GOOD = [3, PREFIX, 0, VALUE, native.dumps(1)]


def results(*entries: Any) -> bytes:
    return encode([4, GROUP, list(entries)])


def test_what_can_be_read_is_as_it_was_sent() -> None:
    assert read_frame(encode(Accepted(PREFIX))) == Accepted(PREFIX)
    assert read_frame(results(GOOD)) == Results(GROUP, [Result(3, PREFIX, 0, VALUE, native.dumps(1))])


@pytest.mark.parametrize(
    "rest",
    [
        ["x", b""],
        [VALUE, 5],
        [VALUE],
        [],
        [VALUE, ["../x", "y"]],
        [VALUE, NO_UTF8],
    ],
)
def test_a_result_that_cannot_be_read_is_an_error_of_its_task(rest: list[Any]) -> None:
    bad = [4, PREFIX, 1, *rest]
    frame = read_frame(results(GOOD, bad))
    assert isinstance(frame, Results)
    good, broken = frame.results
    assert good.body == native.dumps(1)
    assert (broken.seq, broken.prefix, broken.position, broken.status) == (4, PREFIX, 1, EXCEPTION)
    error = exceptions.decode(broken.body)  # type: ignore[arg-type]
    assert isinstance(error, ResultDecodeError)
    assert f"{task_uuid(PREFIX, 1)} ({len(encode(bad))} bytes)" in str(error)


@pytest.mark.parametrize(
    "bad", [[], ["x"], [1, b"short", 0], [1, PREFIX, -1], [1, PREFIX, 2**40], 5, {"a": 1}]
)
def test_a_result_of_no_task_costs_no_other(bad: Any) -> None:
    frame = read_frame(results(bad, GOOD))
    assert isinstance(frame, Results)
    assert [one.seq for one in frame.results] == [3]


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(frame: bytes) -> None:
    with contextlib.suppress(msgspec.DecodeError):
        read_frame(frame)


@pytest.mark.parametrize("frame", [b"\x92\x01\xa1\xff", b"\x91" * 5000, b"", b"\xc1", encode([2, 5])])
def test_what_is_no_frame(frame: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_frame(frame)


def test_positions_below_zero_are_nobodys() -> None:
    talk = StreamProtocol(GROUP, None, None, lambda _: None)
    futures: list[ComputeFuture[Any] | None] = [None, None]
    for position in range(2):
        future: ComputeFuture[Any] = ComputeFuture()
        futures[position] = future
        future.assign(PREFIX, position)
    talk.router.add(CallBatch(Target(b"", None, Options()), [], list(futures), PREFIX))
    talk.receive(results([1, PREFIX, -1, VALUE, native.dumps("wrong")]))
    assert not any(future is not None and future.done() for future in futures)
    assert talk.router.find(PREFIX, -1) is None


def test_an_executor_goes_on_after_nonsense(make: MakeExecutor, fake: FakeService) -> None:
    fake.hold = True
    executor = make()
    first, second = executor.submit(abs, -1), executor.submit(abs, -2)
    fake.wait_for(lambda: fake.held == 2)
    prefix, position = first.place or (b"", 0)
    for nonsense in (
        b"\x92\x01\xa1\xff",
        b"\x91" * 5000,
        results([9, prefix, position, VALUE, NO_UTF8]),
    ):
        fake.say(msgspec.Raw(nonsense))
    assert isinstance(first.exception(10), ResultDecodeError)
    fake.release()
    assert second.result(10) == 2
