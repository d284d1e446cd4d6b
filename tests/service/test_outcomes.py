"""Outcomes reach the store in order, survive trouble, and are told of only then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from compute_executor.endpoint.events import Ended
from compute_executor.protocol.frames import CANCELLED, Reason
from compute_executor.service import outcomes as outcomes_module
from compute_executor.service.dispatch import Batch, Dispatch
from compute_executor.service.outcomes import Outcomes, made_here
from tests.service.house import live, turn


class Commits:
    """A committer by hand: a test says when a commit ends, and how."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, Any]] = []
        self.writes: list[tuple[list[Ended], list[int]]] = []
        self._next = 1

    def soon(self, operation: Any, done: Any) -> None:
        self.waiting.append((operation, done))

    def add_outcomes(self, outcomes: list[Ended], finished: Any, now: float) -> tuple[int, list[str]]:
        self.writes.append((outcomes, [batch.number for batch in finished]))
        first, self._next = self._next, self._next + len(outcomes)
        return first, ["unused"]

    def succeed(self) -> None:
        operation, done = self.waiting.pop(0)
        done(operation(self), None)

    def fail(self) -> None:
        _, done = self.waiting.pop(0)
        done(None, OSError("disk full"))


class World:
    def __init__(self) -> None:
        self.commits = Commits()
        self.told: list[tuple[int, int, list[int]]] = []
        self.recoveries = 0
        self.dispatch = Dispatch()
        loop = asyncio.get_running_loop()
        self.outcomes = Outcomes(self.commits, loop, lambda _: False, self.stored, self.recovered)  # type: ignore[arg-type]

    def stored(self, first: int, entries: list[Any], finished: list[Batch], unused: list[str]) -> None:
        assert unused == ["unused"]
        self.told.append((first, len(entries), [batch.number for batch in finished]))

    def recovered(self) -> None:
        self.recoveries += 1

    def batch(self, number: int, count: int) -> Batch:
        where = {"owner": "a", "group": b"g" * 16, "pool": b"p" * 16}
        batch = self.dispatch.add(number=number, prefix=number.to_bytes(12, "big"), count=count, **where)
        self.dispatch.take(b"p" * 16, count)
        return batch

    def end(self, batch: Batch, *positions: int) -> None:
        outcomes = [Ended(batch.number, position, 1, 0, b"", 1.0, 2.0) for position in positions]
        self.outcomes.put(self.dispatch.ended(outcomes))


@live
async def test_nothing_is_told_before_it_is_stored() -> None:
    world = World()
    world.end(world.batch(1, 2), 0)
    assert (world.told, world.outcomes.pending) == ([], 1)
    world.commits.succeed()
    assert world.told == [(1, 1, [])]
    assert (world.outcomes.pending, world.outcomes.stored_count) == (0, 1)


@live
async def test_what_comes_during_a_write_is_the_next_one_and_finishes_the_batch() -> None:
    world = World()
    batch, other = world.batch(1, 3), world.batch(2, 1)
    world.end(batch, 0)
    world.end(batch, 1, 2)
    world.end(other, 0)
    assert len(world.commits.waiting) == 1
    world.commits.succeed()
    world.commits.succeed()
    assert world.told == [(1, 1, []), (2, 3, [1, 2])]
    assert [finished for _, finished in world.commits.writes] == [[], [1, 2]]
    world.outcomes.put([])
    assert world.commits.waiting == []


@live
async def test_trouble_loses_nothing_and_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "FIRST_PAUSE", 0.001)
    world = World()
    world.outcomes._pause = 0.001
    batch = world.batch(1, 3)
    world.end(batch, 0)
    world.commits.fail()
    assert world.outcomes.stalled
    world.end(batch, 1, 2)
    for _ in range(2):
        while not world.commits.waiting:
            await asyncio.sleep(0.001)
        if world.commits.writes == [] and world.outcomes._pause < 0.004:
            world.commits.fail()
    world.commits.succeed()
    assert (world.outcomes.stalled, world.recoveries) == (False, 1)
    world.commits.succeed()
    assert world.told == [(1, 1, []), (2, 2, [1])]
    assert world.outcomes._pause == 0.001


@live
async def test_waiting_until_all_is_stored() -> None:
    world = World()
    assert world.outcomes.all_stored().done()
    batch = world.batch(1, 2)
    world.end(batch, 0)
    first = world.outcomes.all_stored()
    world.end(batch, 1)
    second = world.outcomes.all_stored()
    world.commits.succeed()
    assert (first.done(), second.done()) == (True, False)
    world.commits.succeed()
    await turn()
    assert second.done()


@live
async def test_outcomes_made_here_say_why() -> None:
    world = World()
    batch = world.batch(1, 3)
    batch.attempts[2] = 3
    entries = made_here([(batch, 1), (batch, 2)], CANCELLED, Reason("because", None, False, 0))
    assert [outcome[:4] for _, outcome in entries] == [(1, 1, 1, CANCELLED), (1, 2, 3, CANCELLED)]
    assert b"because" in entries[0][1].body  # type: ignore[operator]
    assert entries[0][1].ended > 0


@live
async def test_very_many_are_stored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "MOST_AT_ONCE", 3)
    world = World()
    world.end(world.batch(1, 4), 0, 1, 2, 3)
    world.end(world.batch(2, 1), 0)
    for _ in range(2):
        world.commits.succeed()
    assert world.told == [(1, 3, []), (4, 2, [1, 2])]
