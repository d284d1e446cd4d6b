"""What waits to be stored: nothing is lost, each user's order is kept, and nobody waits for all of another's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.service.tasks.unstored import Entry, UnstoredOutcomes
from tests.service.scheduling.batches import open_batch

BATCHES = {owner: open_batch(number, owner=owner) for number, owner in enumerate(("ann", "bob", "eve"), 1)}


def ended(owner: str, first: int, count: int) -> list[Entry]:
    """Outcomes with rising positions."""
    batch = BATCHES[owner]
    return [(batch, TaskEnded(batch.number, at, 1, 0, b"", 1.0, 2.0)) for at in range(first, first + count)]


def positions(entries: list[Entry], owner: str) -> list[int]:
    """Those of one user, in order."""
    return [one.position for batch, one in entries if batch.owner == owner]


def test_a_single_outcome_waits_for_a_part_of_what_another_user_has() -> None:
    waiting = UnstoredOutcomes()
    waiting.put(ended("ann", 0, 1000))
    waiting.put(ended("bob", 0, 1))
    found = waiting.take(10)
    assert positions(found, "bob") == [0]
    assert positions(found, "ann") == list(range(9))
    assert len(waiting) == 991


def test_of_what_cannot_be_divided_each_has_some_in_turn() -> None:
    waiting = UnstoredOutcomes()
    for owner in BATCHES:
        waiting.put(ended(owner, 0, 4))
    taken = [waiting.take(2) for _ in range(6)]
    assert [{batch.owner for batch, _ in found} for found in taken[:3]] == [
        {"ann", "bob"},
        {"eve", "ann"},
        {"bob", "eve"},
    ]
    together = [entry for found in taken for entry in found]
    assert [positions(together, owner) for owner in BATCHES] == [[0, 1, 2, 3]] * 3


def test_numbered_ones_come_first_whoever_comes_beside_them() -> None:
    waiting = UnstoredOutcomes()
    waiting.put_numbered(ended("ann", 0, 3))
    waiting.put(ended("bob", 0, 1))
    assert positions(waiting.take(2), "ann") == [0, 1]
    assert (waiting.taken, positions(waiting.numbered, "ann")) == (0, [2])
    last = waiting.take(5)
    assert [batch.owner for batch, _ in last] == ["ann", "bob"]
    assert (waiting.taken, len(waiting)) == (4, 0)


def test_numbers_are_given_beside_those_that_wait_and_behind_those_that_have_some() -> None:
    waiting = UnstoredOutcomes()
    waiting.put(ended("ann", 0, 3))
    assert (waiting.has("ann"), waiting.has("bob")) == (True, False)
    waiting.put_numbered(ended("bob", 0, 1))
    waiting.put_numbered(ended("eve", 0, 1))
    assert not waiting.has("bob")
    assert [batch.owner for batch, _ in waiting.take(3)] == ["bob", "eve", "ann"]
    assert (waiting.taken, len(waiting)) == (0, 2)
    waiting.put_numbered(ended("bob", 1, 1))
    assert [batch.owner for batch, _ in waiting.take(1)] == ["bob"]
    waiting.take(2)
    assert (waiting.taken, len(waiting)) == (6, 0)


arrivals = st.lists(st.tuples(st.sampled_from(list(BATCHES)), st.integers(1, 7)), min_size=1, max_size=3)
steps = st.lists(st.one_of(arrivals, st.integers(1, 9)), max_size=30)


@given(steps)
def test_nothing_is_lost_and_what_counts_as_taken_was(moves: list[list[tuple[str, int]] | int]) -> None:
    waiting = UnstoredOutcomes()
    put: list[tuple[str, int]] = []
    found: list[Entry] = []
    for move in [*moves, 1000]:
        if isinstance(move, int):
            part = waiting.take(move)
            assert len(part) == min(move, len(put) - len(found))
            found += part
            got = {(batch.owner, one.position) for batch, one in found}
            assert got.issuperset(put[: waiting.taken])
            continue
        together: list[Entry] = []
        for owner, count in move:
            first = sum(one == owner for one, _ in put)
            put += [(owner, first + number) for number in range(count)]
            together += ended(owner, first, count)
        waiting.put(together)
    assert (len(waiting), waiting.taken) == (0, len(put))
    for owner in BATCHES:
        assert positions(found, owner) == list(range(sum(one == owner for one, _ in put)))
