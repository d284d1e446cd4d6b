"""The client's side of the protocol as values: frames in, frames out, futures ended. No socket, no thread."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from compute_executor.batch import Call, CallBatch, Function, Target, with_ids
from compute_executor.errors import InvalidRequest
from compute_executor.protocol import frames
from compute_executor.serialization import native
from compute_executor.serialization.large import Part
from compute_executor.session.stream.protocol import StreamProtocol
from compute_executor.session.stream.router import RECENT
from compute_executor.session.stream.sender import MOST_PARTS
from compute_executor.session.withdrawal import Withdrawal
from tests.session.owner import future

GROUP, TARGET = b"g" * 16, Target(b"", None, frames.Options())
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(frames.ToService).decode
WELCOME = frames.Welcome(frames.PROTOCOL, "test", "", None, {})


class Conversation:
    """A protocol on a connection that keeps what is written."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.protocol = StreamProtocol(GROUP, None, None, lambda _: None)
        self.connect()

    def connect(self) -> None:
        self.sent.clear()
        self.protocol.opened(WELCOME, cast(Any, None), lambda frame: self.sent.append(_decode(frame)))

    def submit(self, count: int) -> CallBatch:
        function = Function(b"d" * 32, "f", b"code")
        batch = with_ids(TARGET, [Call(future(), function, b"args", TARGET) for _ in range(count)])
        self.protocol.send(batch)
        return batch

    def answer(self, frame: Any) -> None:
        self.protocol.receive(_encode(frame))

    def kinds(self) -> list[str]:
        return [type(frame).__name__ for frame in self.sent]


def with_parts(*counts: int) -> CallBatch:
    """A batch whose calls refer to so many parts each."""
    function, names = Function(b"d" * 32, "f", b"code"), iter(range(1_000_000))
    return with_ids(
        TARGET,
        [
            Call(
                future(),
                function,
                b"args",
                TARGET,
                tuple(Part(f"{next(names):032x}", 5) for _ in range(count)),
            )
            for count in counts
        ],
    )


def test_calls_with_many_parts_travel_in_batches_that_a_service_takes() -> None:
    one = Conversation()
    batch = with_parts(6_000, 6_000, MOST_PARTS + 1, 3_000)
    calls = list(batch.calls)
    one.protocol.send(batch)
    sent = [frame for frame in one.sent if isinstance(frame, frames.Submit)]
    assert [(frame.count, len(frame.parts)) for frame in sent] == [(1, 6_000), (2, 9_000)]
    with pytest.raises(InvalidRequest, match="refer to 10,001 shared values, 10,000 are the limit"):
        calls[2].future.result(0)
    one.connect()
    assert [len(frame.parts) for frame in one.sent if isinstance(frame, frames.Hold)] == [10_000, 5_000]
    one.sent.clear()
    one.protocol.release([f"{number:032x}" for number in range(30_000)])
    assert [len(frame.names) for frame in one.sent] == [10_000, 5_000]


def value(batch: CallBatch, position: int, seq: int = 1) -> frames.Result:
    return frames.Result(seq, batch.prefix, position, frames.VALUE, native.dumps(position))


def test_a_batch_is_sent_after_its_function_and_once_more_on_a_new_connection() -> None:
    one = Conversation()
    batch = one.submit(2)
    assert one.kinds() == ["Subscribe", "Register", "Submit"]
    one.connect()
    assert one.kinds() == ["Subscribe", "Register", "Submit"]
    one.answer(frames.Accepted(batch.prefix))
    one.connect()
    assert one.kinds() == ["Subscribe"]


def test_an_outcome_before_the_confirmation_confirms_and_ends_its_future_once() -> None:
    one = Conversation()
    batch = one.submit(2)
    first, second = [call.future for call in batch.calls]
    one.answer(frames.Results(GROUP, [value(batch, 1, seq=4)]))
    one.answer(frames.Results(GROUP, [value(batch, 1, seq=5)]))
    assert (second.result(0), first.done()) == (1, False)
    assert one.protocol.sender.unconfirmed == {}
    one.connect()
    assert one.sent[0].after == 0  # of the group, a few frames before the last one


def test_the_last_frames_are_sent_again_in_case_their_order_was_another() -> None:
    """Whatever lies in between may have held one back when it ended."""
    one = Conversation()
    batch = one.submit(200)
    for seq in range(1, 101):
        one.answer(frames.Results(GROUP, [value(batch, seq, seq=seq)]))
    one.connect()
    assert one.sent[0].after == 100 - RECENT
    one.answer(frames.Results(GROUP, [value(batch, seq, seq=seq) for seq in range(93, 110)]))
    assert one.protocol.router.duplicates == 8
    assert one.protocol.router.open == 200 - 109


def test_a_cancel_is_asked_again_and_its_callbacks_are_left_to_the_thread_that_waits() -> None:
    one = Conversation()
    batch = one.submit(1)
    (only,) = [call.future for call in batch.calls]
    called: list[object] = []
    only.add_done_callback(called.append)
    request = Withdrawal([only], wait=True)
    one.protocol.withdraw(request)
    one.connect()
    assert one.kinds()[-1] == "Cancel"
    one.answer(frames.Cancelled(1, [(batch.prefix, [0])]))
    assert (only.cancelled(), called) == (True, [])
    request.wait(1)
    assert called == [only]
