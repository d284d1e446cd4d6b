"""Arguments in memory: a budget, the oldest first, and read again when they are needed."""

from __future__ import annotations

import msgspec

from compute_executor.service.tasks.open_batches import OBJECT_BYTES, Bodies, Call

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


def test_what_fits_is_not_read_again() -> None:
    loads = Loads()
    bodies = Bodies(loads, 2 * ONE)
    for number in (1, 2, 3):
        bodies.offer(number, calls(number), 100)
    assert [bodies.get(number) for number in (1, 2)] == [calls(1), calls(2)]
    assert loads.read == []
    assert bodies.get(3) == calls(3)
    assert loads.read == [3]


def test_what_was_used_last_stays() -> None:
    loads = Loads()
    bodies = Bodies(loads, 2 * ONE)
    for number in (1, 2, 1, 3, 1):
        bodies.get(number)
    assert loads.read == [1, 2, 3]
    bodies.get(2)
    assert loads.read == [1, 2, 3, 2]


def test_one_batch_is_always_kept() -> None:
    loads = Loads()
    bodies = Bodies(loads, 0)
    bodies.get(1)
    bodies.get(1)
    assert loads.read == [1]


def test_what_is_dropped_makes_room() -> None:
    bodies = Bodies(Loads(), ONE)
    bodies.offer(1, calls(1), 100)
    bodies.drop(1)
    bodies.drop(1)
    bodies.offer(2, calls(2), 100)
    assert list(bodies._kept) == [2]
