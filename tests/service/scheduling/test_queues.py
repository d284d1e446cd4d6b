"""Whose task is next: users in turn, each one's tasks in their order, and what nobody waits for comes after."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.scheduling.queues import Lease, OpenBatch
from tests.service.scheduling.batches import open_batch

POOL, OTHER, REMOTE = b"p" * 16, b"o" * 16, b"r" * 16
FORGOTTEN, WAITED = b"f" * 16, b"w" * 16


def owners(leases: list[Lease]) -> list[tuple[str, int]]:
    return [(lease.batch.owner, lease.stop - lease.start) for lease in leases]


def positions(leases: list[Lease]) -> list[int]:
    return [position for lease in leases for position in range(lease.start, lease.stop)]


def queued(*batches: OpenBatch) -> Dispatch:
    dispatch = Dispatch()
    for batch in batches:
        dispatch.add(batch)
    return dispatch


# -- a share for each user ----------------------------------------------------------------------------------


def test_one_task_of_bobs_comes_second_beside_a_hundred_thousand_of_anns() -> None:
    dispatch = queued(open_batch(1, 100_000, owner="ann"), open_batch(2, 1, owner="bob"))
    assert [owners(dispatch.take(POOL, 1)) for _ in range(3)] == [[("ann", 1)], [("bob", 1)], [("ann", 1)]]


def test_what_one_user_has_not_is_for_the_others() -> None:
    dispatch = queued(open_batch(1, 100, owner="ann"), open_batch(2, 3, owner="bob"))
    assert owners(dispatch.take(POOL, 20)) == [("ann", 10), ("bob", 3), ("ann", 7)]


def test_a_user_who_comes_later_is_not_behind() -> None:
    dispatch = queued(open_batch(1, 100, owner="ann"))
    dispatch.take(POOL, 50)
    dispatch.add(open_batch(2, 2, owner="bob"))
    assert owners(dispatch.take(POOL, 2)) == [("ann", 1), ("bob", 1)]


def test_what_comes_back_is_first_for_its_own_user_only() -> None:
    dispatch = queued(open_batch(1, 5, owner="ann"), open_batch(2, 5, owner="bob"))
    dispatch.take(POOL, 2)
    dispatch.returned([(1, 0, 1)])
    leases = dispatch.take(POOL, 4)
    assert owners(leases) == [("ann", 1), ("ann", 1), ("bob", 2)]
    assert positions(leases) == [0, 1, 1, 2]


@given(
    sizes=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=3), min_size=1, max_size=5),
    limits=st.lists(st.integers(1, 20), min_size=1, max_size=60),
)
def test_nobody_gets_more_than_an_equal_part_while_another_waits(
    sizes: list[list[int]], limits: list[int]
) -> None:
    """Whatever is asked for in a row: those who still wait have got equally many, but for the turn that is under way;
    each one's tasks come in their order; and all come."""
    batches, number = [], 0
    for user, counts in enumerate(sizes):
        for count in counts:
            number += 1
            batches.append(open_batch(number, count, owner=f"user {user}"))
    dispatch = queued(*batches)
    got: Counter[str] = Counter()
    order: dict[str, list[tuple[int, int]]] = {batch.owner: [] for batch in batches}
    for limit in [*limits, *[50] * 20]:
        waiting = {owner: _left(batches, owner) for owner in order}
        leases = dispatch.take(POOL, limit)
        assert sum(size for _, size in owners(leases)) == min(limit, sum(waiting.values()))
        for lease in leases:
            got[lease.batch.owner] += lease.stop - lease.start
            order[lease.batch.owner] += [(lease.batch.number, one) for one in range(lease.start, lease.stop)]
        still = [owner for owner in order if _left(batches, owner)]
        assert not still or max(got[owner] for owner in still) - min(got[owner] for owner in still) <= 1
    for taken in order.values():
        assert taken == sorted(taken)
    assert dispatch.by_state()["queued"] == 0


def _left(batches: list[OpenBatch], owner: str) -> int:
    return sum(batch.states.count(0) for batch in batches if batch.owner == owner)


@given(limit=st.integers(1, 40), counts=st.lists(st.integers(0, 60), min_size=2, max_size=6))
def test_one_take_is_shared_equally(limit: int, counts: list[int]) -> None:
    given_counts = [count for count in counts if count]
    dispatch = queued(*(open_batch(n + 1, count, owner=str(n)) for n, count in enumerate(given_counts)))
    got = Counter[str]()
    for owner, size in owners(dispatch.take(POOL, limit)):
        got[owner] += size
    hungry = [got[str(n)] for n, count in enumerate(given_counts) if got[str(n)] < count]
    if hungry:
        assert max(got.values()) <= max(hungry) + 1
        assert max(hungry) - min(hungry) <= 1


def test_users_and_their_counts() -> None:
    dispatch = queued(
        open_batch(1, 3, owner="ann"),
        open_batch(2, 2, owner="ann", pool=OTHER),
        open_batch(3, 1, owner="bob"),
    )
    assert (dispatch.open_of("ann"), dispatch.open_of("bob"), dispatch.open_of("carol")) == (5, 1, 0)
    assert (dispatch.open_in(POOL), dispatch.open_in(OTHER)) == (4, 2)


# -- work that nobody waits for -----------------------------------------------------------------------------


def forgotten_beside(*batches: OpenBatch) -> Dispatch:
    dispatch = queued(open_batch(1, 10, group=FORGOTTEN, pool=OTHER), *batches)
    dispatch.abandon(FORGOTTEN)
    return dispatch


def test_what_nobody_waits_for_runs_when_the_rest_is_out() -> None:
    dispatch = forgotten_beside(open_batch(2, 3, group=WAITED))
    assert dispatch.take(OTHER, 5) == []
    assert dispatch.deferring
    assert dispatch.released() == []
    assert len(positions(dispatch.take(POOL, 2))) == 2
    assert dispatch.released() == []
    assert len(positions(dispatch.take(POOL, 2))) == 1
    assert dispatch.released() == [OTHER]
    assert not dispatch.deferring
    assert len(positions(dispatch.take(OTHER, 5))) == 5


def test_it_is_deferred_again_by_what_comes_later() -> None:
    dispatch = forgotten_beside()
    assert len(positions(dispatch.take(OTHER, 2))) == 2
    late = open_batch(2, 1, group=WAITED)
    dispatch.add(late)
    assert dispatch.take(OTHER, 2) == []
    assert dispatch.cancel(late, [0]) == ([0], [])
    assert dispatch.released() == [OTHER]


@pytest.mark.parametrize("change", [Dispatch.resume_waiting, Dispatch.abandon])
def test_a_client_that_comes_back_or_goes_away_makes_them_equal(change: object) -> None:
    dispatch = forgotten_beside(open_batch(2, 3, group=WAITED))
    assert dispatch.take(OTHER, 5) == []
    if change is Dispatch.resume_waiting:
        dispatch.resume_waiting(FORGOTTEN)
    else:
        dispatch.abandon(WAITED)
    assert dispatch.released() == [OTHER]
    assert len(positions(dispatch.take(OTHER, 5))) == 5


@pytest.mark.parametrize(
    "rival",
    [
        open_batch(2, 3, group=WAITED, owner="bob"),
        open_batch(2, 3, group=WAITED, endpoint=REMOTE),
    ],
    ids=["another user's", "another endpoint's"],
)
def test_work_of_others_and_elsewhere_defers_nothing(rival: OpenBatch) -> None:
    assert len(positions(forgotten_beside(rival).take(OTHER, 5))) == 5


def test_a_queue_with_a_group_that_is_waited_for_is_not_deferred() -> None:
    dispatch = forgotten_beside(open_batch(2, 3, group=WAITED), open_batch(3, 1, group=b"x" * 16, pool=OTHER))
    assert len(positions(dispatch.take(OTHER, 20))) == 11


def test_what_is_added_to_a_deferred_queue_is_not_lost() -> None:
    dispatch = forgotten_beside(open_batch(2, 1, group=WAITED))
    assert dispatch.take(OTHER, 5) == []
    dispatch.add(open_batch(3, 4, group=FORGOTTEN, pool=OTHER))
    assert dispatch.take(OTHER, 5) == []
    dispatch.take(POOL, 1)
    assert dispatch.released() == [OTHER]
    assert len(positions(dispatch.take(OTHER, 99))) == 14
    assert dispatch.released() == []


def test_a_deferred_queue_whose_tasks_are_cancelled_is_forgotten() -> None:
    forgotten = open_batch(3, 1, group=FORGOTTEN, pool=OTHER)
    dispatch = queued(forgotten, open_batch(2, 1, group=WAITED))
    dispatch.abandon(FORGOTTEN)
    assert dispatch.take(OTHER, 5) == []
    dispatch.cancel(forgotten, [0])
    dispatch.forget(forgotten)
    assert not dispatch.deferring
    assert dispatch.pools() == [POOL]
    assert dispatch.is_abandoned(FORGOTTEN)
    dispatch.resume_waiting(FORGOTTEN)
    assert not dispatch.is_abandoned(FORGOTTEN)


@given(st.data())
def test_all_work_runs_in_the_end(data: st.DataObject) -> None:
    """Some groups are abandoned, batches come, engines take when they are woken: nothing stays behind."""
    pools, groups = [bytes([n]) * 16 for n in range(3)], [bytes([100 + n]) * 16 for n in range(3)]
    dispatch, total = Dispatch(), 0
    for number in range(1, data.draw(st.integers(1, 8)) + 1):
        count = data.draw(st.integers(1, 5))
        pool, group = data.draw(st.sampled_from(pools)), data.draw(st.sampled_from(groups))
        dispatch.add(
            open_batch(number, count, pool=pool, group=group, owner=data.draw(st.sampled_from("ab")))
        )
        total += count
    for group in data.draw(st.sets(st.sampled_from(groups))):
        dispatch.abandon(group)
    awake, taken = list(dispatch.pools()), 0
    while awake:
        pool = awake.pop(data.draw(st.integers(0, len(awake) - 1)))
        found = positions(dispatch.take(pool, data.draw(st.integers(1, 4))))
        taken += len(found)
        awake += [pool] * bool(found) + dispatch.released()
    assert taken == total


def test_a_pool_stays_while_another_of_its_users_has_tasks() -> None:
    anns, bobs = open_batch(1, 1, owner="ann"), open_batch(2, 1, owner="bob")
    dispatch = queued(anns, bobs)
    dispatch.take(POOL, 1)
    dispatch.ended([TaskEnded(1, 0, 1, 0, b"value", 1.0, 2.0)])
    dispatch.forget(anns)
    assert (dispatch.open_of("ann"), dispatch.open_in(POOL)) == (0, 1)
    assert owners(dispatch.take(POOL, 2)) == [("bob", 1)]
