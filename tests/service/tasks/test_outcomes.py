"""Outcomes reach the store in order, survive trouble, and are published of as soon as they cannot be lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.protocol.frames import CANCELLED, Reason
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.scheduling.speakers import Speakers
from compute_executor.service.tasks import outcomes as outcomes_module
from compute_executor.service.tasks.outcomes import Outcomes, made_here
from tests.service.fixture import GROUP, live, turn
from tests.service.scheduling.batches import open_batch


class Commits:
    """A committer by hand: a test says when a commit ends, and how."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, Any]] = []
        self.writes: list[tuple[list[TaskEnded], list[int]]] = []
        self.numbers: list[int] = []

    def soon(self, operation: Any, done: Any) -> None:
        self.waiting.append((operation, done))

    def add_outcomes(self, first: int, outcomes: list[TaskEnded], finished: Any, now: float) -> list[str]:
        self.writes.append((outcomes, [batch.number for batch in finished]))
        self.numbers += range(first, first + len(outcomes))
        return ["unused"]

    def succeed(self) -> None:
        operation, done = self.waiting.pop(0)
        done(operation(self), None)

    def fail(self) -> None:
        _, done = self.waiting.pop(0)
        done(None, OSError("disk full"))


class World:
    """``published``: first number and how many; ``stored``: how many, and the batches finished by them."""

    def __init__(self, *, commit_first: bool = False) -> None:
        self.commits = Commits()
        self.published: list[tuple[int, int]] = []
        self.stored: list[tuple[int, list[int]]] = []
        self.recoveries = 0
        self.dispatch = Dispatch()
        loop = asyncio.get_running_loop()
        self.outcomes = Outcomes(
            self.commits,  # type: ignore[arg-type]
            loop,
            self._tell,
            self._stored,
            self.recovered,
            commit_first=commit_first,
            users=Speakers(),
        )

    def _tell(self, first: int, entries: list[Any]) -> None:
        self.published.append((first, len(entries)))

    def _stored(self, entries: list[Any], finished: list[OpenBatch], unused: list[str]) -> None:
        assert unused == ["unused"]
        self.stored.append((len(entries), [batch.number for batch in finished]))

    def recovered(self) -> None:
        self.recoveries += 1

    def batch(self, number: int, count: int, owner: str = "alice") -> OpenBatch:
        batch = open_batch(number, count, owner=owner)
        self.dispatch.add(batch)
        self.dispatch.take(b"p" * 16, count)
        return batch

    def end(self, batch: OpenBatch, *positions: int, kept: bool = False) -> None:
        outcomes = [TaskEnded(batch.number, position, 1, 0, b"", 1.0, 2.0) for position in positions]
        self.outcomes.put(self.dispatch.ended(outcomes), kept=kept)


@pytest.mark.parametrize(("commit_first", "kept"), [(False, False), (True, True)])
@live
async def test_nothing_is_told_before_it_is_stored(commit_first: bool, kept: bool) -> None:
    world = World(commit_first=commit_first)
    world.end(world.batch(1, 2), 0, kept=kept)
    assert (world.published, world.outcomes.pending) == ([], 1)
    world.commits.succeed()
    assert (world.published, world.stored) == ([(1, 1)], [(1, [])])
    assert (world.outcomes.pending, world.outcomes.stored_count) == (0, 1)


@live
async def test_what_is_kept_elsewhere_is_told_at_once_and_once() -> None:
    world = World()
    batch = world.batch(1, 3)
    world.outcomes.number_from(100)
    world.end(batch, 0, 2, kept=True)
    world.end(batch, 1, kept=True)  # the others are being stored: it goes with the next commit
    assert world.published == [(101, 2)]
    assert world.stored == []
    assert [one.seq for one in world.outcomes.ahead(GROUP, 100)] == [101, 102]
    assert [one.seq for one in world.outcomes.ahead(GROUP, 101)] == [102]
    assert world.outcomes.ahead(b"o" * 16, 0) == []
    found = world.outcomes.outcome(1, 2)
    assert found is not None
    assert (found.seq, found.prefix, found.position) == (102, batch.prefix, 2)
    assert world.outcomes.outcome(1, 1) is None
    world.commits.succeed()
    assert world.outcomes.outcome(1, 2) is None
    assert world.outcomes.ahead(GROUP, 0) == []
    world.commits.succeed()
    assert world.commits.numbers == [101, 102, 103]
    assert (world.published, world.stored) == ([(101, 2), (103, 1)], [(2, []), (1, [1])])


@live
async def test_what_waits_to_be_told_is_told_before_what_comes_after_it() -> None:
    world = World()
    batch = world.batch(1, 5)
    world.end(batch, 0, kept=True)
    world.end(batch, 1)
    world.end(batch, 2, kept=True)
    assert world.published == [(1, 1)]
    assert [one.position for one in world.outcomes.ahead(GROUP, 0)] == [0]
    assert world.outcomes.outcome(1, 2) is None
    world.commits.succeed()
    world.end(batch, 3, kept=True)
    assert world.published == [(1, 1)]
    world.commits.succeed()
    assert world.published == [(1, 1), (2, 2)]
    world.commits.succeed()
    assert world.published == [(1, 1), (2, 2), (4, 1)]
    world.end(batch, 4, kept=True)
    assert world.published == [(1, 1), (2, 2), (4, 1), (5, 1)]


@live
async def test_what_is_told_and_what_is_not_can_share_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "MOST_AT_ONCE", 2)
    world = World()
    batch = world.batch(1, 4)
    world.end(batch, 0, 1, 2, kept=True)
    world.end(batch, 3)
    assert [one.seq for one in world.outcomes.ahead(GROUP, 0)] == [1, 2, 3]
    world.commits.succeed()
    assert [one.seq for one in world.outcomes.ahead(GROUP, 0)] == [3]
    world.commits.succeed()
    assert world.published == [(1, 3), (4, 1)]
    assert world.commits.numbers == [1, 2, 3, 4]


@live
async def test_one_user_does_not_wait_for_all_that_another_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(outcomes_module, "MOST_BESIDE_OTHERS", 4)
    world = World(commit_first=True)
    world.end(world.batch(1, 11), *range(11))
    world.end(world.batch(2, 1, owner="bob"), 0)
    told = world.outcomes.all_stored()
    for stored_before in (0, 0):  # of what came first: ann's others are not stored, though bob's is
        world.commits.succeed()
        assert world.outcomes.progress == (12, stored_before)
    assert [one.batch for one in world.commits.writes[1][0]] == [1, 1, 2, 1]
    world.commits.succeed()
    await turn()
    assert (world.outcomes.progress, told.done()) == ((12, 12), True)


@live
async def test_parts_are_smaller_while_several_users_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "MOST_AT_ONCE", 6)
    monkeypatch.setattr(outcomes_module, "MOST_BESIDE_OTHERS", 3)
    world = World(commit_first=True)
    world.end(world.batch(1, 20), *range(20))
    world.end(world.batch(2, 1, owner="bob"), 0)
    world.commits.succeed()
    world.commits.succeed()
    assert [len(outcomes) for outcomes, _ in world.commits.writes] == [6, 3]


@live
async def test_what_is_kept_of_another_user_is_told_at_once_behind_what_has_numbers() -> None:
    world = World()
    ann, bob = world.batch(1, 4), world.batch(2, 2, owner="bob")
    world.end(ann, 0, kept=True)
    world.commits.succeed()
    world.end(ann, 1, kept=True)
    world.end(ann, 2, kept=True)
    world.commits.succeed()  # the third is being stored, and not told yet
    world.end(ann, 3, kept=True)
    assert world.published == [(1, 1), (2, 1)]
    world.end(bob, 0, kept=True)
    assert world.published == [(1, 1), (2, 1), (3, 1), (4, 1)]
    world.end(bob, 1, kept=True)  # the first of bob's is not stored: these go together
    assert len(world.published) == 4
    assert [one.seq for one in world.outcomes.ahead(GROUP, 0)] == [3, 4]
    assert world.outcomes.progress == (6, 2)
    while world.commits.waiting:
        world.commits.succeed()
    assert world.published[4:] == [(5, 2)]
    assert world.commits.numbers == [1, 2, 3, 4, 5, 6]
    assert [one.batch for outcomes, _ in world.commits.writes for one in outcomes] == [1, 1, 1, 2, 1, 2]
    assert world.outcomes.progress == (6, 6)


@live
async def test_nothing_is_told_at_once_behind_what_is_nowhere_else() -> None:
    world = World()
    ann, bob = world.batch(1, 1), world.batch(2, 2, owner="bob")
    world.end(ann, 0)
    world.end(bob, 0, kept=True)
    assert world.published == []
    world.commits.succeed()
    assert world.published == [(1, 1)]
    world.commits.succeed()
    assert world.published == [(1, 1), (2, 1)]


@live
async def test_outcomes_of_several_users_that_come_together_wait_together() -> None:
    world = World()
    ann, bob, eve = world.batch(1, 1), world.batch(2, 1, owner="bob"), world.batch(3, 1, owner="eve")
    world.end(ann, 0, kept=True)
    ended = [TaskEnded(batch.number, 0, 1, 0, b"", 1.0, 2.0) for batch in (bob, eve)]
    world.outcomes.put(world.dispatch.ended(ended), kept=True)
    assert world.published == [(1, 1)]
    world.commits.succeed()
    world.commits.succeed()
    assert world.published == [(1, 1), (2, 2)]


@live
async def test_so_many_are_told_before_they_are_stored_and_none_in_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes_module, "AHEAD", 2)
    world = World()
    batch = world.batch(1, 6)
    world.end(batch, 0, 1, 2, kept=True)
    assert world.published == []
    world.commits.succeed()
    world.end(batch, 3, 4, kept=True)
    assert world.published == [(1, 3), (4, 2)]
    world.commits.fail()
    world.end(batch, 5, kept=True)
    assert world.published == [(1, 3), (4, 2)]


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
    assert world.published == [(1, 1), (2, 3)]
    assert world.stored == [(1, []), (3, [1, 2])]
    assert [finished for _, finished in world.commits.writes] == [[], [1, 2]]
    world.outcomes.put([])
    assert world.commits.waiting == []


@live
async def test_trouble_loses_nothing_and_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "FIRST_PAUSE", 0.001)
    world = World()
    batch = world.batch(1, 3)
    world.end(batch, 0)
    world.commits.fail()
    assert world.outcomes.stalled
    world.end(batch, 1, 2)
    for _ in range(2):
        while not world.commits.waiting:
            await asyncio.sleep(0.001)
        if world.commits.writes == [] and world.outcomes._backoff.failures < 2:
            world.commits.fail()
    world.commits.succeed()
    assert (world.outcomes.stalled, world.recoveries) == (False, 1)
    world.commits.succeed()
    assert world.published == [(1, 1), (2, 2)]
    assert world.stored == [(1, []), (2, [1])]
    assert world.outcomes._backoff.failures == 0


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
    assert world.published == [(1, 3), (4, 2)]
    assert world.stored == [(3, []), (2, [1, 2])]
