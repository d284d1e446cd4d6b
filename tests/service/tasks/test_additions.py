"""Nothing that is kept is missing from what is counted, and after a measurement nothing is counted twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compute_executor.service.tasks.additions import Addition, Additions

BATCH = Addition("ann", 10)


def test_what_is_expected_counts_until_it_is_refused() -> None:
    additions = Additions()
    additions.expect(BATCH)
    additions.expect(Addition("ann", 5, files=1))
    assert (additions.of("ann"), additions.of("bob")) == ((15, 1), (0, 0))
    additions.settled(BATCH, stored=False)
    assert additions.of("ann") == (5, 1)


def test_what_was_stored_before_a_measurement_is_counted_by_it() -> None:
    additions = Additions()
    for number in (1, 2):
        additions.expect(BATCH)
        additions.settled(BATCH, stored=True, number=number)
    additions.begin()
    assert additions.of("ann") == (20, 0)
    additions.end(2)
    assert additions.of("ann") == (0, 0)


def test_a_batch_that_is_on_its_way_when_a_measurement_begins_is_not_forgotten() -> None:
    additions = Additions()
    additions.expect(BATCH)
    additions.begin()
    additions.end(7)
    assert additions.of("ann") == (10, 0)
    additions.settled(BATCH, stored=True, number=8)
    assert additions.of("ann") == (10, 0)
    additions.begin()
    additions.end(8)
    assert additions.of("ann") == (0, 0)


def test_of_what_is_stored_meanwhile_the_number_tells_what_was_seen() -> None:
    additions = Additions()
    for _ in range(3):
        additions.expect(BATCH)
    additions.begin()
    additions.settled(BATCH, stored=True, number=8)
    additions.settled(BATCH, stored=True, number=9)
    additions.end(8)
    assert additions.of("ann") == (20, 0)
    additions.settled(BATCH, stored=True, number=7)  # seen, though it is heard of only now
    assert additions.of("ann") == (10, 0)


def test_a_file_that_is_stored_meanwhile_counts_until_the_next_measurement() -> None:
    additions, file = Additions(), Addition("ann", 10, files=1)
    additions.expect(file)
    additions.begin()
    additions.settled(file, stored=True)
    additions.end(0)
    assert additions.of("ann") == (10, 1)
    additions.begin()
    additions.end(0)
    assert additions.of("ann") == (0, 0)


def test_a_measurement_that_fails_takes_nothing_away() -> None:
    additions = Additions()
    additions.expect(BATCH)
    additions.settled(BATCH, stored=True, number=1)
    additions.begin()
    additions.expect(BATCH)
    additions.settled(BATCH, stored=True, number=2)
    additions.end(None)
    assert additions.of("ann") == (20, 0)
    additions.begin()
    additions.end(2)
    assert additions.of("ann") == (0, 0)


class World:
    """Commits, their callbacks and the look of a measurement, in any order."""

    def __init__(self) -> None:
        self.additions = Additions()
        self.expected = self.committed = self.heard = self.measured = 0
        self.measuring = False
        self.seen: int | None = None

    def expect(self) -> None:
        self.additions.expect(BATCH)
        self.expected += 1

    def commit(self) -> None:
        if self.expected:
            self.expected, self.committed = self.expected - 1, self.committed + 1

    def hear(self) -> None:
        if self.heard < self.committed:
            self.heard += 1
            self.additions.settled(BATCH, stored=True, number=self.heard)

    def refuse(self) -> None:
        if self.expected:
            self.expected -= 1
            self.additions.settled(BATCH, stored=False)

    def begin(self) -> None:
        if not self.measuring:
            self.measuring, self.seen = True, None
            self.additions.begin()

    def look(self) -> None:
        if self.measuring and self.seen is None:
            self.seen = self.committed

    def end(self) -> None:
        if self.measuring and self.seen is not None:
            self.measuring, self.measured = False, self.seen
            self.additions.end(self.seen)

    def fail(self) -> None:
        if self.measuring:
            self.measuring = False
            self.additions.end(None)


@given(st.lists(st.sampled_from(["expect", "commit", "hear", "refuse", "begin", "look", "end", "fail"])))
def test_what_is_counted_is_never_less_than_what_is_kept(moves: list[str]) -> None:
    world = World()
    for move in moves:
        getattr(world, move)()
        counted = world.additions.of("ann")[0] + BATCH.bytes * world.measured
        assert counted >= BATCH.bytes * (world.committed + world.expected)
    for move in [*["hear"] * world.committed, "fail", "begin", "look", "end"]:
        getattr(world, move)()
    assert world.additions.of("ann") == (BATCH.bytes * world.expected, 0)
