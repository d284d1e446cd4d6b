"""Who gets which task: decisions over plain values."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.endpoint.pool import scheduling_policy
from compute_executor.endpoint.pool.scheduling_policy import (
    AHEAD,
    CHUNK,
    MAX_CHUNK,
    MAX_CHUNK_BYTES,
    MAX_OUTSTANDING,
    MAX_STARTING,
    SHORT,
    UNKNOWN,
    Assignment,
    DurationEstimates,
    WorkerLoad,
)
from compute_executor.protocol.frames import Blob
from compute_executor.protocol.resources import ResourceOffer, Resources, WorkerShare

QUICK, SLOW, NEW = 1, 2, 3


def tasks(count: int, function: int = QUICK, body: Any = b"", walltime: Any = None) -> list[Assignment]:
    return [Assignment(1, position, 1, function, body, walltime) for position in range(count)]


@pytest.fixture
def estimates() -> DurationEstimates:
    """QUICK takes 10 us, SLOW 20 ms, NEW never ran; the mean is that of QUICK."""
    known = DurationEstimates()
    known.learn(SLOW, 1, 0.02)
    known.learn(QUICK, 1, 10e-6)
    known.mean = 10e-6
    return known


def loaded(count: int, function: int, estimates: DurationEstimates, *, occupied: bool = False) -> WorkerLoad:
    load = WorkerLoad()
    load.add(tasks(count, function), estimates)
    load.occupied = occupied
    return load


# -- estimates --


def test_an_unknown_function_is_taken_for_long(estimates: Any) -> None:
    assert estimates.expected(NEW) == UNKNOWN > SHORT


def test_a_first_task_is_believed_and_one_interruption_is_not(estimates: Any) -> None:
    assert estimates.expected(QUICK) == pytest.approx(10e-6)
    estimates.learn(QUICK, 1, 0.05)
    assert estimates.expected(QUICK) < SHORT


def test_a_rise_that_lasts_is_followed_within_a_few_tasks(estimates: Any) -> None:
    for _ in range(10):
        estimates.learn(QUICK, 1, 0.01)
    assert estimates.expected(QUICK) > SHORT


def test_many_tasks_at_once_weigh_more_than_one(estimates: Any) -> None:
    estimates.learn(QUICK, 1, 20e-6)
    one = estimates.expected(QUICK)
    estimates.learn(QUICK, 100, 100 * 20e-6)
    assert one == pytest.approx(11e-6)
    assert estimates.expected(QUICK) == pytest.approx((11e-6 + 20e-6) / 2)


def test_a_clock_that_was_set_back_makes_no_negative_time(estimates: Any) -> None:
    estimates.learn(NEW, 1, -3600.0)
    assert estimates.expected(NEW) > 0


def test_only_so_many_functions_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DurationEstimates, "LIMIT", 2)
    known = DurationEstimates()
    for function in (1, 2, 3):
        known.learn(function, 1, 1e-6)
    assert [known.expected(function) for function in (1, 2, 3)] == [UNKNOWN, 1e-6, 1e-6]


# -- load --


def test_a_load_counts_what_is_outstanding(estimates: Any) -> None:
    load = loaded(2, SLOW, estimates)
    assert load.ahead == pytest.approx(0.04)
    first = load.remove((1, 0, 1))
    assert first == tasks(1, SLOW)[0]
    assert load.remove((1, 0, 1)) is None
    assert load.ahead == pytest.approx(0.02)
    load.remove((1, 1, 1))
    assert load.ahead == 0.0, "exactly, whatever rounding has left"


def test_a_worker_without_tasks_is_not_stuck(estimates: Any) -> None:
    load = loaded(2, QUICK, estimates, occupied=True)
    load.remove((1, 0, 1))
    assert load.occupied
    load.remove((1, 1, 1))
    assert not load.occupied


def test_one_task_beyond_the_running_one_however_long_and_more_while_they_are_short(estimates: Any) -> None:
    assert loaded(1, SLOW, estimates).has_room()
    assert not loaded(2, SLOW, estimates).has_room()
    assert loaded(int(AHEAD / 10e-6) - 1, QUICK, estimates).has_room()
    assert not loaded(int(AHEAD / 10e-6) + 1, QUICK, estimates).has_room()
    assert not loaded(1, QUICK, estimates, occupied=True).has_room()


def test_a_worker_never_holds_too_many(estimates: Any) -> None:
    estimates.learn(NEW, 1, 0.0)
    load = loaded(MAX_OUTSTANDING, NEW, estimates)
    assert load.ahead < AHEAD
    assert not load.has_room()
    assert scheduling_policy.demand([load], 0, estimates, 0) == 0


# -- demand --


@pytest.mark.parametrize(
    ("loads", "waiting", "coming", "wanted"),
    [
        ([], 0, 0, 0),
        ([], 0, 1, 1),
        ([], 1, 1, 0),
        ([], 0, 100, MAX_STARTING),
        ([(0, SLOW)], 0, 0, int((AHEAD + CHUNK) / 10e-6) + 1),
        ([(1, SLOW)], 0, 0, 1),
        ([(2, SLOW)], 0, 0, 0),
        ([(2, SLOW), (1, SLOW)], 5, 0, -4),
    ],
)
def test_how_many_to_ask_for(estimates: Any, loads: Any, waiting: Any, coming: Any, wanted: Any) -> None:
    given_loads = [loaded(count, function, estimates) for count, function in loads]
    assert scheduling_policy.demand(given_loads, waiting, estimates, coming) == pytest.approx(wanted, abs=1)


# -- chunks --


def test_short_tasks_share_a_chunk_of_limited_time(estimates: Any) -> None:
    chunk = scheduling_policy.next_chunk(deque(tasks(1000)), 1, estimates)
    assert len(chunk) == pytest.approx(CHUNK / 10e-6, abs=1)


def test_very_short_tasks_share_a_chunk_of_limited_number(estimates: Any) -> None:
    estimates.learn(NEW, 1, 0.0)
    assert len(scheduling_policy.next_chunk(deque(tasks(1000, NEW)), 1, estimates)) == MAX_CHUNK


def test_few_tasks_are_spread_over_the_workers(estimates: Any) -> None:
    assert len(scheduling_policy.next_chunk(deque(tasks(40)), 2, estimates)) == 20
    assert len(scheduling_policy.next_chunk(deque(tasks(8)), 4, estimates)) == 8, "too little to spread"


@pytest.mark.parametrize("function", [SLOW, NEW])
def test_what_is_not_known_to_be_short_travels_alone(estimates: Any, function: Any) -> None:
    waiting = deque(tasks(3, function))
    assert scheduling_policy.next_chunk(waiting, 1, estimates) == tasks(1, function)
    assert len(waiting) == 2


def test_a_task_with_a_walltime_travels_alone(estimates: Any) -> None:
    waiting = deque(tasks(2, walltime=1.0))
    assert len(scheduling_policy.next_chunk(waiting, 1, estimates)) == 1


def test_a_long_task_ends_the_chunk_before_it(estimates: Any) -> None:
    waiting = deque(tasks(200)[:3] + tasks(1, SLOW))
    assert len(scheduling_policy.next_chunk(waiting, 1, estimates)) == 3
    assert waiting == deque(tasks(1, SLOW))


def test_a_chunk_fits_a_datagram_unless_its_only_task_does_not(estimates: Any) -> None:
    estimates.mean = 1.0
    waiting = deque(tasks(3, body=bytes(40_000)))
    assert len(scheduling_policy.next_chunk(waiting, 1, estimates)) == MAX_CHUNK_BYTES // 40_000
    assert (
        len(scheduling_policy.next_chunk(deque(tasks(2, body=bytes(MAX_CHUNK_BYTES + 1))), 1, estimates)) == 1
    )
    assert len(scheduling_policy.next_chunk(deque(tasks(9, body=Blob("0" * 32, 1 << 40))), 1, estimates)) == 9


@given(
    st.lists(st.tuples(st.sampled_from([QUICK, SLOW, NEW]), st.integers(0, 70_000), st.booleans())),
    st.integers(1, 8),
    st.floats(1e-6, 1.0),
)
def test_chunks_keep_order_and_lose_nothing(kinds: Any, workers: Any, mean: Any) -> None:
    known = DurationEstimates()
    known.learn(SLOW, 1, 0.02)
    known.learn(QUICK, 1, 10e-6)
    known.mean = mean
    given_tasks = [
        Assignment(1, position, 1, function, bytes(size), 1.0 if limited else None)
        for position, (function, size, limited) in enumerate(kinds)
    ]
    waiting = deque(given_tasks)
    chunks = []
    while waiting:
        chunks.append(scheduling_policy.next_chunk(waiting, workers, known))
        assert chunks[-1]
    assert [task for chunk in chunks for task in chunk] == given_tasks
    for chunk in chunks:
        assert len(chunk) == 1 or all(task.function == QUICK and task.walltime is None for task in chunk)
        assert len(chunk) == 1 or sum(len(task.body) for task in chunk) <= MAX_CHUNK_BYTES  # type: ignore[arg-type, misc]


# -- workers --


def test_the_least_loaded_worker_with_room_gets_the_next_chunk(estimates: Any) -> None:
    idle, busy, occupied = WorkerLoad(), loaded(1, SLOW, estimates), loaded(0, SLOW, estimates, occupied=True)
    assert scheduling_policy.least_loaded([busy, occupied, idle]) is idle
    assert scheduling_policy.least_loaded([busy, occupied]) is busy
    assert scheduling_policy.least_loaded([occupied]) is None


def test_stealing_is_from_who_sticks_or_has_most_and_only_if_it_pays(estimates: Any) -> None:
    short, long = loaded(3, QUICK, estimates), loaded(2, SLOW, estimates)
    occupied = loaded(2, QUICK, estimates, occupied=True)
    single = loaded(1, SLOW, estimates, occupied=True)
    assert scheduling_policy.worth_stealing([short, long, occupied]) is occupied
    assert scheduling_policy.worth_stealing([short, long]) is long
    assert scheduling_policy.worth_stealing([short]) is None
    assert scheduling_policy.worth_stealing([single, WorkerLoad()]) is None


@pytest.mark.parametrize(
    ("loads", "starting", "waiting", "most", "count"),
    [
        ([], 0, 1, 4, 1),  # nobody there, something to do
        ([], 0, 0, 4, 0),
        ([], 1, 1, 4, 0),  # one comes for the one task
        ([], 1, 9, 4, 3),
        ([], 0, 9, 99, MAX_STARTING),
        ([], MAX_STARTING, 9, 99, 0),
        ([(2, SLOW, False)], 0, 0, 4, 1),  # one waits behind a long one
        ([(1, SLOW, False)], 0, 0, 4, 0),
        ([(2, SLOW, False), (0, SLOW, False)], 0, 0, 4, 0),  # somebody idles: it will take it over
        ([(3, QUICK, False)], 0, 10, 4, 0),  # done before a worker could start
        ([(3, QUICK, True)], 0, 0, 4, 2),  # they sit behind one that sticks
        ([(3, QUICK, False)], 0, 1000, 4, 3),
        ([(2, SLOW, False)] * 4, 0, 9, 4, 0),  # no more allowed
    ],
)
def test_when_to_start_another_worker(
    estimates: Any, loads: Any, starting: Any, waiting: Any, most: Any, count: Any
) -> None:
    given_loads = [
        loaded(number, function, estimates, occupied=occupied) for number, function, occupied in loads
    ]
    assert scheduling_policy.to_start(given_loads, starting, waiting, estimates, most) == count


# -- tasks that take more than a worker --

FOUR = ResourceOffer(workers=4, memory=100)


def wide(cores: int = 1, memory: int = 0) -> Assignment:
    return Assignment(2, 0, 1, QUICK, b"", None, Resources(cores, memory))


def busy(estimates: DurationEstimates, *given: Assignment) -> WorkerLoad:
    load = WorkerLoad()
    load.add(given, estimates)
    return load


def test_a_task_that_takes_more_is_alone_with_its_worker(estimates: Any) -> None:
    load = busy(estimates, wide(2))
    assert not load.has_room()
    assert load.remove((2, 0, 1)) == wide(2)
    assert load.has_room()
    waiting = deque([*tasks(2), wide(2), *tasks(2)])
    assert scheduling_policy.next_chunk(waiting, 1, estimates) == tasks(2)
    assert scheduling_policy.next_chunk(waiting, 1, estimates) == [wide(2)]


def test_what_is_free(estimates: Any) -> None:
    loads = [busy(estimates, *tasks(3)), busy(estimates, wide(2, 30)), WorkerLoad()]
    free = scheduling_policy.free_share(loads, FOUR)
    assert free == WorkerShare(1, 70)
    assert scheduling_policy.fits(tasks(1)[0], free, FOUR)
    assert scheduling_policy.fits(wide(1, 70), free, FOUR)
    assert not scheduling_policy.fits(wide(1, 71), free, FOUR)
    assert not scheduling_policy.fits(wide(2), free, FOUR)
    assert scheduling_policy.fits(wide(1, 10**9), free, ResourceOffer(4)), "nobody knows the memory"


def test_who_may_take_it(estimates: Any) -> None:
    one, idle = busy(estimates, *tasks(1)), WorkerLoad()
    (small,) = tasks(1)

    def holder(task: Assignment, free: int) -> WorkerLoad | None:
        return scheduling_policy.who_may_take(task, [one, idle], WorkerShare(free, 100), FOUR)

    assert holder(small, 2) is idle
    assert holder(small, 0) is one, "it costs nothing more where a worker runs already"
    assert holder(wide(2), 2) is idle
    assert holder(wide(3), 2) is None
    assert scheduling_policy.who_may_take(wide(2), [one], WorkerShare(2, 100), FOUR) is None


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(4, 6), st.randoms())
def test_every_task_begins_in_its_turn_and_never_too_many_at_a_time(
    sizes: list[int], workers: int, random: Any
) -> None:
    """A pool as its feeder drives it; tasks end in any order. 0: one that asks for nothing."""
    estimates, offer = DurationEstimates(), ResourceOffer(workers)
    waiting = deque(
        Assignment(1, index, 1, SLOW, b"", None, Resources(cores) if cores else None)
        for index, cores in enumerate(sizes)
    )
    loads = [WorkerLoad() for _ in range(workers)]
    given_out = []
    while waiting or any(load.tasks for load in loads):
        while waiting:
            free = scheduling_policy.free_share(loads, offer)
            assert free.workers >= 0
            load = scheduling_policy.who_may_take(waiting[0], loads, free, offer)
            if load is None:
                break
            chunk = scheduling_policy.next_chunk(waiting, workers, estimates)
            given_out += [task.position for task in chunk]
            load.add(chunk, estimates)
        full = random.choice([load for load in loads if load.tasks])
        full.remove(next(iter(full.tasks)))
    assert given_out == list(range(len(sizes)))
