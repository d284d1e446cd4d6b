"""What becomes of calls, as values."""

from __future__ import annotations

import msgspec

from compute_executor.protocol import frames
from compute_executor.testing.accepted_calls import AcceptedCalls, by_batch, calls_of

encode = msgspec.msgpack.Encoder().encode
GROUP = b"g" * 16


def batch(prefix: bytes = b"p" * 12, count: int = 3) -> frames.Submit:
    tasks = msgspec.Raw(encode([(0, b"%d" % n) for n in range(count)]))
    return frames.Submit(prefix, GROUP, b"", None, [b"f" * 32], tasks, count)


def test_a_batch_is_taken_apart_in_order() -> None:
    assert [(call.position, call.function, call.body) for call in calls_of(batch())] == [
        (n, b"f" * 32, b"%d" % n) for n in range(3)
    ]


def test_the_same_batch_again_adds_nothing() -> None:
    calls = AcceptedCalls()
    assert len(calls.add(batch())) == 3
    assert calls.add(batch()) == []
    assert len(calls.waiting) == 3


def test_a_call_begins_once() -> None:
    calls = AcceptedCalls()
    (call,) = calls.add(batch(count=1))
    assert calls.begin(call.key) == call
    assert calls.begin(call.key) is None
    calls.return_to_queue(call)
    assert calls.begin(call.key) == call
    assert calls.attempts == {call.key: 2}


def test_what_waits_can_be_withdrawn_and_ends() -> None:
    calls = AcceptedCalls()
    first, *_ = calls.add(batch())
    calls.begin(first.key)
    withdrawn = calls.withdraw([(b"p" * 12, [0, 1, 7]), (b"q" * 12, [0])])
    assert by_batch(call for call, _ in withdrawn) == [(b"p" * 12, [1])]
    assert [result.status for result in calls.results(GROUP, 0)] == [frames.CANCELLED]
    assert [call.position for call in calls.waiting.values()] == [2]


def test_results_are_kept_until_they_are_acknowledged() -> None:
    calls = AcceptedCalls()
    results = [calls.end(call, frames.VALUE, call.body) for call in calls.add(batch())]
    assert [result.seq for result in results] == [1, 2, 3]
    assert calls.results(GROUP, 1) == results[1:]
    calls.acknowledge(GROUP, 2)
    assert calls.results(GROUP, 0) == results[2:]
