"""Blobs stay while anybody holds them, and no longer."""

from __future__ import annotations

import asyncio

from compute_executor.service.blobs.holds import BlobHolds
from tests.service.fixture import live

A, B = "a" * 32, "b" * 32


class _Unused(list[list[str]]):
    def flat(self) -> list[str]:
        return [name for names in self for name in names]


def _holds(grace: float = 1000.0) -> tuple[BlobHolds, _Unused]:
    told = _Unused()
    return BlobHolds(asyncio.get_running_loop(), told.append, grace), told


@live
async def test_the_last_holder_lets_it_go() -> None:
    holds, told = _holds()
    holds.hold("one", [A, B])
    holds.hold("two", [A])

    holds.release("one", [A, "c" * 32])
    assert told.flat() == []
    assert holds.held(A)
    holds.release("two")
    assert told.flat() == [A]
    assert not holds.held(A)
    holds.release("one", [B])
    assert told.flat() == [A, B]
    holds.release("one", [B])
    holds.release("nobody")
    assert told.flat() == [A, B]


@live
async def test_who_has_left_may_come_back_for_a_while() -> None:
    holds, told = _holds(grace=0.01)
    holds.hold("stream 1", [A, B])
    holds.left("stream 1")
    holds.left("nobody")
    holds.hold("stream 2", [A])

    while not told.flat():
        await asyncio.sleep(0.01)
    assert told.flat() == [B], "the new stream holds the other one"
    assert holds.held(A)


@live
async def test_after_a_restart_clients_have_a_while_to_come_back() -> None:
    holds, told = _holds(grace=0.01)
    holds.restore([A, B])
    holds.restore([])
    assert holds.held(A)
    holds.hold("client", [B])
    while not told.flat():
        await asyncio.sleep(0.01)
    assert told.flat() == [A]


@live
async def test_at_the_end_nobody_comes_back() -> None:
    holds, told = _holds()
    holds.hold("gone", [A])
    holds.hold("here", [B])
    holds.left("gone")

    holds.close()
    assert told.flat() == [A]
