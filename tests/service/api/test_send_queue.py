"""Frames grow by what accumulates, never beyond what a client accepts, and keep their order."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.protocol import frames
from compute_executor.service.api import send_queue as outbox_module
from compute_executor.service.api.send_queue import SendQueue
from compute_executor.service.tasks.groups import body_size

GROUP, OTHER = b"g" * 16, b"o" * 16
decode = msgspec.msgpack.Decoder(frames.ToClient).decode


def result(seq: int, body: frames.Body = b"x") -> frames.Result:
    return frames.Result(seq, b"p" * 12, seq, 0, body, 1.0, 2.0)


def add(outbox: SendQueue, group: bytes, results: list[frames.Result]) -> None:
    outbox.add_results(group, results, sum(map(body_size, results)))


def taken(outbox: SendQueue) -> list[frames.ToClient]:
    return [decode(frame) for frame in outbox.take()]


def test_results_gather_while_they_are_last() -> None:
    outbox = SendQueue()
    add(outbox, GROUP, [result(1)])
    add(outbox, GROUP, [result(2), result(3)])
    outbox.add(frames.Accepted(b"p" * 12))
    add(outbox, GROUP, [result(4)])
    add(outbox, OTHER, [result(5)])
    assert taken(outbox) == [
        frames.Results(GROUP, [result(1), result(2), result(3)]),
        frames.Accepted(b"p" * 12),
        frames.Results(GROUP, [result(4)]),
        frames.Results(OTHER, [result(5)]),
    ]
    assert not outbox
    assert outbox.size == 0


def test_results_say_that_their_batch_is_accepted() -> None:
    outbox = SendQueue()
    outbox.accepted(b"p" * 12)
    outbox.accepted(b"q" * 12)
    add(outbox, GROUP, [result(1)])
    assert outbox
    assert taken(outbox) == [frames.Accepted(b"q" * 12), frames.Results(GROUP, [result(1)])]
    assert not outbox
    assert outbox.size == 0


def test_lists_of_the_caller_are_not_changed() -> None:
    outbox, mine = SendQueue(), [result(1)]
    add(outbox, GROUP, mine)
    add(outbox, GROUP, [result(2)])
    assert mine == [result(1)]


def test_began_gathers() -> None:
    outbox, mine = SendQueue(), [(b"p" * 12, 1, 1.0)]
    outbox.add_began(mine)
    outbox.add_began([(b"p" * 12, 2, 1.0)])
    assert taken(outbox) == [frames.Began([(b"p" * 12, 1, 1.0), (b"p" * 12, 2, 1.0)])]
    assert len(mine) == 1


def test_a_frame_of_results_has_a_limit() -> None:
    outbox = SendQueue()
    part = outbox_module.MAX_RESULTS // 3
    for seq in range(1, 5):
        add(outbox, GROUP, [result(seq, bytes(part))])
    assert [len(frame.results) for frame in taken(outbox)] == [2, 2]  # type: ignore[union-attr]


@given(st.lists(st.one_of(st.binary(max_size=300), st.just(frames.Blob("a" * 32, 2**40))), max_size=30))
def test_the_size_is_not_underestimated(bodies: list[frames.Body]) -> None:
    results = [result(2**40 + index, body) for index, body in enumerate(bodies)]
    assert sum(len(msgspec.msgpack.encode(one)) for one in results) <= sum(map(body_size, results))
