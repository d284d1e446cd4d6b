"""Arguments in memory: a budget, the oldest first, and read again when they are needed."""

from __future__ import annotations

import msgspec

from compute_executor.service.scheduling.queues import Call, OpenBatch
from compute_executor.service.tasks.arguments import OBJECT_BYTES, DecodedArguments
from tests.service.scheduling.batches import open_batch

ONE = OBJECT_BYTES + 100


class Loads:
    """A store of batches that counts how often each is read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __call__(self, number: int) -> bytes:
        self.read.append(number)
        return msgspec.msgpack.encode(calls(number))


def calls(number: int) -> list[Call]:
    return [(0, bytes([number]) * 90)]


def batches(count: int) -> list[OpenBatch]:
    return [open_batch(number + 1, 1) for number in range(count)]


def test_what_fits_is_not_read_again() -> None:
    loads = Loads()
    arguments, (first, second, third) = DecodedArguments(loads, 2 * ONE), batches(3)
    for batch in (first, second, third):
        arguments.offer(batch, calls(batch.number), 100)
    assert [arguments.get(batch) for batch in (first, second)] == [calls(1), calls(2)]
    assert loads.read == []
    assert arguments.get(third) == calls(3)
    assert loads.read == [3]


def test_what_was_used_last_stays() -> None:
    loads = Loads()
    arguments, (first, second, third) = DecodedArguments(loads, 2 * ONE), batches(3)
    for batch in (first, second, first, third, first):
        arguments.get(batch)
    assert loads.read == [1, 2, 3]
    assert second.calls is None
    arguments.get(second)
    assert loads.read == [1, 2, 3, 2]


def test_one_batch_is_always_kept() -> None:
    loads = Loads()
    arguments, (batch,) = DecodedArguments(loads, 0), batches(1)
    arguments.get(batch)
    arguments.get(batch)
    assert loads.read == [1]


def test_what_is_dropped_makes_room() -> None:
    arguments, (first, second) = DecodedArguments(Loads(), ONE), batches(2)
    arguments.offer(first, calls(1), 100)
    arguments.drop(first)
    arguments.drop(first)
    arguments.offer(second, calls(2), 100)
    assert (first.calls, second.calls) == (None, calls(2))
