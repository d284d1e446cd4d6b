"""Dispatch as plain values: queues, fencing, trouble; and random histories against a simple model."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.service.scheduling.dispatch import MOST_FINISHED, Dispatch, LostLease
from compute_executor.service.scheduling.lifecycle import TRANSITIONS, Event, State
from compute_executor.service.scheduling.queues import Lease, OpenBatch
from tests.service.scheduling.batches import open_batch

POOL, OTHER = b"p" * 16, b"o" * 16


def add(
    dispatch: Dispatch, number: int = 1, count: int = 4, retries: int = 0, pool: bytes = POOL
) -> OpenBatch:
    batch = open_batch(number, count, retries=retries, pool=pool)
    dispatch.add(batch)
    return batch


def ended(batch: int, position: int, attempt: int = 1) -> TaskEnded:
    return TaskEnded(batch, position, attempt, 0, b"value", 1.0, 2.0)


def spans(leases: list[Lease]) -> list[tuple[int, int, int, int]]:
    return [(lease.batch.number, lease.start, lease.stop, lease.attempt) for lease in leases]


def finish(dispatch: Dispatch, *tasks: tuple[int, int]) -> list[int]:
    return [outcome.position for _, outcome in dispatch.ended([ended(*task) for task in tasks])]


def test_batches_are_known_in_the_order_in_which_they_came() -> None:
    dispatch = Dispatch()
    known = [add(dispatch, number) for number in (3, 1, 2)]
    assert dispatch.batches() == known


# -- taking -------------------------------------------------------------------------------------------------


def test_first_in_first_out_over_batches() -> None:
    dispatch = Dispatch()
    add(dispatch, 1, 3)
    add(dispatch, 2, 3)
    assert spans(dispatch.take(POOL, 2)) == [(1, 0, 2, 1)]
    assert spans(dispatch.take(POOL, 3)) == [(1, 2, 3, 1), (2, 0, 2, 1)]
    assert spans(dispatch.take(POOL, 9)) == [(2, 2, 3, 1)]
    assert dispatch.take(POOL, 9) == []


def test_pools_do_not_mix() -> None:
    dispatch = Dispatch()
    add(dispatch, 1, 1, pool=POOL)
    add(dispatch, 2, 1, pool=OTHER)
    assert spans(dispatch.take(OTHER, 9)) == [(2, 0, 1, 1)]
    assert dispatch.take(b"unknown", 9) == []
    assert (dispatch.open_in(POOL), dispatch.open_in(OTHER), dispatch.open_in(b"unknown")) == (1, 1, 0)


def test_cancelled_tasks_are_skipped() -> None:
    dispatch = Dispatch()
    batch = add(dispatch, 1, 5)
    assert dispatch.cancel(batch, [0, 2]) == ([0, 2], [])
    assert spans(dispatch.take(POOL, 9)) == [(1, 1, 2, 1), (1, 3, 5, 1)]


def test_a_wholly_cancelled_batch_is_skipped() -> None:
    dispatch = Dispatch()
    dispatch.cancel(add(dispatch, 1, 2), [0, 1])
    add(dispatch, 2, 1)
    assert spans(dispatch.take(POOL, 9)) == [(2, 0, 1, 1)]


def test_a_million_tasks_cost_about_a_byte_each() -> None:
    dispatch = Dispatch()
    tracemalloc.start()
    try:
        add(dispatch, 1, 1_000_000)
        assert tracemalloc.get_traced_memory()[0] < 1_500_000
    finally:
        tracemalloc.stop()
    assert dispatch.open == 1_000_000
    assert spans(dispatch.take(POOL, 3)) == [(1, 0, 3, 1)]


# -- reports ------------------------------------------------------------------------------------------------


def test_the_first_outcome_counts_and_no_other() -> None:
    dispatch = Dispatch()
    batch = add(dispatch, 1, 2)
    dispatch.take(POOL, 2)
    assert finish(dispatch, (1, 0), (1, 0), (1, 1)) == [0, 1]
    assert finish(dispatch, (1, 1)) == []
    assert batch.open == dispatch.open == 0
    assert dispatch.by_state() == {"queued": 0, "leased": 0, "began": 0, "done": 2}


def test_reports_about_unknown_tasks_change_nothing() -> None:
    dispatch = Dispatch()
    batch = add(dispatch, 1, 2)
    dispatch.take(POOL, 2)
    assert finish(dispatch, (7, 0), (1, 2), (1, -1)) == []
    assert dispatch.began([(7, 0, 1, 0.0), (1, 9, 1, 0.0)]) == []
    dispatch.returned([(7, 0, 1), (1, 9, 1)])
    assert dispatch.lost(7, 0, 1) is None
    assert batch.open == 2


def test_an_outcome_of_what_was_never_given_out_does_not_count() -> None:
    dispatch = Dispatch()
    add(dispatch, 1, 1)
    assert finish(dispatch, (1, 0)) == []


def test_began_is_news_once() -> None:
    dispatch = Dispatch()
    batch = add(dispatch, 1, 2)
    dispatch.take(POOL, 1)
    assert dispatch.began([(1, 0, 1, 5.0), (1, 0, 1, 6.0), (1, 1, 1, 7.0)]) == [(batch, 0, 5.0)]
    assert finish(dispatch, (1, 0)) == [0]


def test_since_when_a_task_runs_is_known_while_it_does() -> None:
    dispatch = Dispatch()
    batch = add(dispatch, 1, 2, retries=1)
    assert batch.running_since(0) is None
    dispatch.take(POOL, 2)
    dispatch.began([(1, 0, 1, 5.0), (1, 1, 1, 6.0)])
    assert (batch.running_since(0), batch.running_since(1)) == (5.0, 6.0)
    dispatch.lost(1, 0, 1)
    assert batch.running_since(0) is None
    dispatch.take(POOL, 1)
    dispatch.began([(1, 0, 2, 9.0)])
    assert batch.running_since(0) == 9.0
    dispatch.ended([ended(1, 1, 1)])
    assert batch.running_since(1) is None


def test_returned_tasks_come_first_again_in_their_order() -> None:
    dispatch = Dispatch()
    add(dispatch, 1, 3)
    dispatch.take(POOL, 2)
    dispatch.returned([(1, 0, 1), (1, 1, 1)])
    assert spans(dispatch.take(POOL, 9)) == [(1, 0, 1, 1), (1, 1, 2, 1), (1, 2, 3, 1)]


def test_what_has_begun_is_not_taken_back() -> None:
    dispatch = Dispatch()
    batch = add(dispatch, 1, 1)
    dispatch.take(POOL, 1)
    dispatch.began([(1, 0, 1, 0.0)])
    dispatch.returned([(1, 0, 1)])
    assert batch.states[0] == State.BEGAN
    assert dispatch.cancel(batch, [0]) == ([], [])


def test_lost_without_retries_is_the_end() -> None:
    dispatch = Dispatch()
    batch = add(dispatch, 1, 1)
    dispatch.take(POOL, 1)
    assert dispatch.lost(1, 0, 1) == LostLease(batch, False, 1)
    assert dispatch.lost(1, 0, 1) is None
    assert batch.open == 0


def test_lost_with_retries_runs_again_and_echoes_of_the_first_attempt_are_void() -> None:
    dispatch = Dispatch()
    batch = add(dispatch, 1, 2, retries=1)
    dispatch.take(POOL, 1)
    dispatch.began([(1, 0, 1, 0.0)])
    assert dispatch.lost(1, 0, 1) == LostLease(batch, True, 2)
    assert spans(dispatch.take(POOL, 9)) == [(1, 0, 1, 2), (1, 1, 2, 1)]
    assert finish(dispatch, (1, 0)) == []
    assert dispatch.began([(1, 0, 1, 0.0)]) == []
    assert dispatch.ended([ended(1, 0, 2)]) == [(batch, ended(1, 0, 2))]


def test_retries_end() -> None:
    dispatch = Dispatch()
    batch = add(dispatch, 1, 1, retries=2)
    for attempt in (1, 2):
        dispatch.take(POOL, 1)
        assert dispatch.lost(1, 0, attempt) == LostLease(batch, True, attempt + 1)
    dispatch.take(POOL, 1)
    assert dispatch.lost(1, 0, 3) == LostLease(batch, False, 3)


# -- cancelling and broken pools ----------------------------------------------------------------------------


def test_leased_tasks_are_cancelled_when_the_engine_gives_them_up() -> None:
    dispatch = Dispatch()
    batch = add(dispatch, 1, 4)
    dispatch.take(POOL, 2)
    assert dispatch.cancel(batch, [0, 1, 2, 9, -1]) == ([2], [0, 1])
    assert dispatch.withdrawn(batch, [1, 1]) == [1]
    assert finish(dispatch, (1, 1), (1, 0)) == [0]
    assert batch.open == 1


def test_a_broken_pool_ends_what_is_queued_only() -> None:
    dispatch = Dispatch()
    batch, other = add(dispatch, 1, 4), add(dispatch, 2, 1, pool=OTHER)
    dispatch.take(POOL, 1)
    dispatch.cancel(batch, [2])
    assert dispatch.break_pool(POOL) == [(batch, 1), (batch, 3)]
    assert (dispatch.open_in(POOL), other.open) == (1, 1)
    assert finish(dispatch, (1, 0)) == [0]


def test_a_pool_is_forgotten_with_its_last_batch() -> None:
    dispatch = Dispatch()
    first, second = add(dispatch, 1, 1), add(dispatch, 2, 1)
    for batch in (first, second):
        assert dispatch.pools() == [POOL]
        dispatch.cancel(batch, [0])
        dispatch.forget(batch)
    assert dispatch.pools() == []


def test_a_batch_whose_queue_is_gone_is_forgotten_beside_a_new_one() -> None:
    """Outcomes of the second are stored last; its queue went with the first, and the third has another."""
    dispatch = Dispatch()
    first, second = add(dispatch, 1, 1), add(dispatch, 2, 1)
    for batch in (first, second):
        dispatch.cancel(batch, [0])
    dispatch.forget(first)
    add(dispatch, 3, 2)
    dispatch.forget(second)
    assert (dispatch.pools(), dispatch.open_in(POOL)) == ([POOL], 2)
    assert spans(dispatch.take(POOL, 9)) == [(3, 0, 2, 1)]
    assert dispatch.by_state() == {"queued": 0, "leased": 2, "began": 0, "done": 0}


# -- restart and forgetting ---------------------------------------------------------------------------------


def test_a_restored_batch_goes_on_where_it_was() -> None:
    dispatch = Dispatch()
    batch = open_batch(1, 5, retries=3, done=[0, 4], attempts={1: 3})
    dispatch.add(batch)
    assert (batch.open, dispatch.open) == (3, 3)
    assert spans(dispatch.take(POOL, 9)) == [(1, 1, 2, 3), (1, 2, 4, 1)]


def test_a_batch_is_known_until_it_is_forgotten() -> None:
    dispatch = Dispatch()
    batch = add(dispatch, 1, 1)
    dispatch.take(POOL, 1)
    finish(dispatch, (1, 0))
    assert dispatch.by_number(1) is dispatch.by_prefix(batch.prefix) is batch
    dispatch.forget(batch)
    assert dispatch.by_number(1) is dispatch.by_prefix(batch.prefix) is None
    assert dispatch.by_state()["done"] == 0


def test_what_is_known_of_past_batches_is_bounded() -> None:
    dispatch = Dispatch()
    first = add(dispatch, 1, 1)
    for number in range(2, MOST_FINISHED + 2):
        dispatch.cancel(batch := add(dispatch, number, 1), [0])
        dispatch.forget(batch)
    assert dispatch.finished(2) is not None
    dispatch.cancel(first, [0])
    dispatch.forget(first)
    assert dispatch.finished(1) == (first.group, first.prefix)
    assert dispatch.finished(2) is None


# -- the table ----------------------------------------------------------------------------------------------

WAYS = {
    State.QUEUED: (),
    State.LEASED: (Event.TAKE,),
    State.BEGAN: (Event.TAKE, Event.BEGIN),
    State.DONE: (Event.TAKE, Event.END),
}


def in_state(state: State) -> tuple[Dispatch, OpenBatch]:
    dispatch = Dispatch()
    batch = add(dispatch, count=1)
    for event in WAYS[state]:
        assert batch.apply(0, event)
    assert batch.states[0] == state
    return dispatch, batch


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_an_event_does_what_the_table_says(state: State, event: Event) -> None:
    dispatch, batch = in_state(state)
    wanted = TRANSITIONS.get((state, event))
    assert batch.apply(0, event) == (wanted is not None)
    now = state if wanted is None else wanted
    assert batch.states[0] == now
    assert dispatch.by_state() == {one.name.lower(): int(one is now) for one in State}
    assert dispatch.open_in(POOL) == batch.open == int(now is not State.DONE)


@pytest.mark.parametrize("state", State)
def test_the_loops_of_the_hot_path_agree_with_the_table(state: State) -> None:
    for event, act in (
        (Event.TAKE, lambda dispatch: dispatch.take(POOL, 1)),
        (Event.END, lambda dispatch: dispatch.ended([ended(1, 0)])),
    ):
        (by_loop, looped), (by_table, applied) = in_state(state), in_state(state)
        act(by_loop)  # type: ignore[no-untyped-call]
        applied.apply(0, event)
        assert looped.states == applied.states
        assert (by_loop.by_state(), looped.open) == (by_table.by_state(), applied.open)
        assert by_loop.open_in(POOL) == by_table.open_in(POOL)


# -- random histories ---------------------------------------------------------------------------------------

positions = st.integers(-1, 6)


class Histories(RuleBasedStateMachine):
    """Anything may happen in any order; a model of one dictionary entry a task says what it means."""

    batches = Bundle("batches")

    def __init__(self) -> None:
        super().__init__()
        self.dispatch = Dispatch()
        self.model: dict[tuple[int, int], tuple[State, int]] = {}
        self.known: dict[int, OpenBatch] = {}
        self.outcomes: set[tuple[int, int]] = set()

    @rule(
        target=batches,
        count=st.integers(1, 6),
        retries=st.integers(0, 2),
        pool=st.sampled_from([POOL, OTHER]),
    )
    def add(self, count: int, retries: int, pool: bytes) -> int:
        number = len(self.known) + 1
        self.known[number] = add(self.dispatch, number, count, retries, pool)
        self.model.update({(number, position): (State.QUEUED, 1) for position in range(count)})
        return number

    @rule(pool=st.sampled_from([POOL, OTHER]), limit=st.integers(0, 5))
    def take(self, pool: bytes, limit: int) -> None:
        queued = {
            task
            for task, (state, _) in self.model.items()
            if state is State.QUEUED and self.pool(task) == pool
        }
        taken = 0
        for batch, start, stop, attempt in self.dispatch.take(pool, limit):
            for position in range(start, stop):
                task = (batch.number, position)
                assert task in queued
                assert self.model[task] == (State.QUEUED, attempt)
                self.model[task] = (State.LEASED, attempt)
                taken += 1
        assert taken == min(limit, len(queued))

    @rule(number=batches, position=positions, attempt=st.integers(1, 3))
    def end(self, number: int, position: int, attempt: int) -> None:
        task = (number, position)
        counts = self.at(task, attempt) in (State.LEASED, State.BEGAN)
        assert bool(self.dispatch.ended([ended(number, position, attempt)])) == counts
        if counts:
            self.done(task)

    @rule(number=batches, position=positions, attempt=st.integers(1, 3))
    def begin(self, number: int, position: int, attempt: int) -> None:
        counts = self.at((number, position), attempt) is State.LEASED
        assert bool(self.dispatch.began([(number, position, attempt, 0.0)])) == counts
        if counts:
            self.model[number, position] = (State.BEGAN, attempt)

    @rule(number=batches, position=positions, attempt=st.integers(1, 3))
    def give_back(self, number: int, position: int, attempt: int) -> None:
        self.dispatch.returned([(number, position, attempt)])
        if self.at((number, position), attempt) is State.LEASED:
            self.model[number, position] = (State.QUEUED, attempt)

    @rule(number=batches, position=positions, attempt=st.integers(1, 3))
    def lose(self, number: int, position: int, attempt: int) -> None:
        counts = self.at((number, position), attempt) in (State.LEASED, State.BEGAN)
        lost = self.dispatch.lost(number, position, attempt)
        assert (lost is not None) == counts
        if lost is not None and lost.again:
            assert attempt <= self.known[number].options.retries
            self.model[number, position] = (State.QUEUED, attempt + 1)
        elif lost is not None:
            self.done((number, position))

    @rule(number=batches, position=positions, withdraws=st.booleans())
    def cancel(self, number: int, position: int, withdraws: bool) -> None:
        batch = self.known[number]
        done, leased = self.dispatch.cancel(batch, [position])
        if withdraws:
            done += self.dispatch.withdrawn(batch, leased)
        state, _ = self.model.get((number, position), (None, 0))
        assert bool(done) == (state is State.QUEUED or (withdraws and state is State.LEASED))
        if done:
            self.done((number, position))

    @rule(pool=st.sampled_from([POOL, OTHER]))
    def break_pool(self, pool: bytes) -> None:
        queued = {
            task
            for task, (state, _) in self.model.items()
            if state is State.QUEUED and self.pool(task) == pool
        }
        broken = {(batch.number, position) for batch, position in self.dispatch.break_pool(pool)}
        assert broken == queued
        for task in broken:
            self.done(task)

    def at(self, task: tuple[int, int], attempt: int) -> State | None:
        state, current = self.model.get(task, (None, 0))
        return state if attempt == current else None

    def pool(self, task: tuple[int, int]) -> bytes:
        return self.known[task[0]].pool

    def done(self, task: tuple[int, int]) -> None:
        assert task not in self.outcomes, "two outcomes for one task"
        self.outcomes.add(task)
        self.model[task] = (State.DONE, self.model[task][1])

    @invariant()
    def agrees_with_the_model(self) -> None:
        for (number, position), (state, attempt) in self.model.items():
            batch = self.known[number]
            assert (batch.states[position], batch.attempt(position)) == (state, attempt)
        states = [state for state, _ in self.model.values()]
        assert self.dispatch.by_state() == {state.name.lower(): states.count(state) for state in State}
        assert self.dispatch.open == len(states) - states.count(State.DONE)
        open_in = dict.fromkeys((POOL, OTHER), 0)
        for task, (state, _) in self.model.items():
            open_in[self.pool(task)] += state is not State.DONE
        assert {pool: self.dispatch.open_in(pool) for pool in open_in} == open_in


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=30)


def test_what_is_out_with_an_engine_that_outlived_us_is_leased_not_queued() -> None:
    dispatch = Dispatch()
    batch = open_batch(1, 3, attempts={2: 2})
    dispatch.add(batch)
    assert dispatch.lease_again(1, 0, 1)
    assert not dispatch.lease_again(1, 0, 1)  # it is leased already
    assert not dispatch.lease_again(1, 2, 1)  # an attempt of the past
    assert not dispatch.lease_again(9, 0, 1)  # no such batch
    assert dispatch.by_state()["leased"] == 1
    assert [(lease.start, lease.stop) for lease in dispatch.take(POOL, 5)] == [(1, 2), (2, 3)]
    assert batch.open == 3
