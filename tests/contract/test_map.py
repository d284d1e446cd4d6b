"""map: order, laziness, errors, and letting go early."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, TimeoutError

import pytest

import compute_executor
from tests.contract import work
from tests.contract.work import Gate, wait_until

MakeExecutor = Callable[..., Executor]


def test_results_come_in_the_order_of_the_inputs(executor: Executor) -> None:
    assert list(executor.map(work.square, range(100))) == [n * n for n in range(100)]


def test_several_iterables_end_with_the_shortest(executor: Executor) -> None:
    assert list(executor.map(pow, [2, 3, 4], (n for n in (5, 2)))) == [32, 9]


def test_nothing_in_nothing_out(executor: Executor) -> None:
    assert list(executor.map(work.square, [])) == []


@pytest.mark.parametrize("chunksize", [1, 3, 7, 100])
def test_chunks_change_nothing_but_the_speed(executor: Executor, chunksize: int) -> None:
    assert list(executor.map(pow, range(10), range(10), chunksize=chunksize)) == [n**n for n in range(10)]


def test_an_error_is_raised_at_its_place(executor: Executor) -> None:
    results = executor.map(divmod, [1, 1, 1, 1], [2, 3, 0, 5])

    assert next(results) == (0, 1)
    assert next(results) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_it_submits_without_being_iterated(executor: Executor, gate: Gate) -> None:
    results = executor.map(gate.hold, ["one", "two"])

    gate.wait_for("one")
    gate.open()

    assert list(results) == ["one", "two"]


def test_it_runs_though_its_iterator_is_thrown_away(make_executor: MakeExecutor, gate: Gate) -> None:
    """``ex.map(save, things)`` for the effect alone: nothing of it may be withdrawn."""
    gate.open()
    executor = make_executor(max_workers=1)

    executor.map(gate.hold, [str(n) for n in range(20)])
    executor.shutdown()

    assert all(gate.has_begun(str(n)) for n in range(20))


def test_an_input_that_raises(executor: Executor) -> None:
    def inputs() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(executor.map(work.square, inputs()))
    assert executor.submit(work.square, 2).result() == 4


def test_a_timeout_counts_from_the_call(executor: Executor, gate: Gate) -> None:
    results = executor.map(gate.hold, ["one"], timeout=0.05)

    with pytest.raises(TimeoutError):
        next(results)


def test_closing_cancels_what_has_not_begun(make_executor: MakeExecutor, gate: Gate) -> None:
    executor = make_executor(max_workers=1)
    results = executor.map(gate.hold_all_but_the_first, range(20))
    assert next(results) == 0
    gate.wait_for("1")

    results.close()  # type: ignore[attr-defined]
    gate.open()
    executor.shutdown()

    assert not any(gate.has_begun(str(n)) for n in range(2, 20))


def test_an_error_cancels_what_has_not_begun(make_executor: MakeExecutor, gate: Gate) -> None:
    executor = make_executor(max_workers=1)
    before = executor.submit(gate.hold, "before")
    gate.wait_for("before")
    results = executor.map(gate.hold, [str(n) for n in range(20)], timeout=0.01)

    with pytest.raises(TimeoutError):
        next(results)
    gate.open()
    before.result()
    executor.shutdown()

    assert not any(gate.has_begun(str(n)) for n in range(20))


@pytest.mark.parametrize("chunksize", [0, -1])
def test_a_chunk_has_at_least_one(ours: compute_executor.Executor, chunksize: int) -> None:
    with pytest.raises(ValueError, match="chunksize must be >= 1"):
        ours.map(work.square, [1], chunksize=chunksize)


def test_an_error_within_a_chunk_is_raised_at_its_place_or_before(ours: compute_executor.Executor) -> None:
    with pytest.raises(ZeroDivisionError):
        list(ours.map(divmod, [1] * 10, [1, 1, 1, 1, 1, 0, 1, 1, 1, 1], chunksize=4))


# -- buffersize: Python 3.14's, on every Python ---------------------------------------------------------


def test_an_endless_input_with_a_buffer(ours: compute_executor.Executor) -> None:
    results = ours.map(work.square, itertools.count(), buffersize=8)

    assert [next(results) for _ in range(50)] == [n * n for n in range(50)]
    results.close()  # type: ignore[attr-defined]


def test_a_buffer_takes_no_more_inputs_than_it_holds(ours: compute_executor.Executor) -> None:
    taken = itertools.count()
    inputs = (next(taken) for _ in range(1000))

    results = ours.map(work.square, inputs, buffersize=4)
    assert next(taken) == 4
    assert next(results) == 0
    assert next(taken) == 6
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("buffersize", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_a_buffer_has_at_least_one(
    ours: compute_executor.Executor, buffersize: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match="buffersize"):
        ours.map(work.square, [1], buffersize=buffersize)  # type: ignore[call-overload]


def test_a_buffer_and_chunks(ours: compute_executor.Executor) -> None:
    assert list(ours.map(work.square, range(100), buffersize=3, chunksize=7)) == [n * n for n in range(100)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_million_inputs_in_constant_memory(ours: compute_executor.Executor) -> None:
    results = ours.map(abs, iter(range(1_000_000)), buffersize=2000, chunksize=100)
    for _ in range(100_000):
        next(results)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()

    total = sum(results)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert total == sum(range(100_000, 1_000_000))
    # 2,000 results and what carries them: an input or result kept would cost 28 bytes each, 25 MB in all.
    assert peak - before < 20_000_000


def test_results_are_not_kept_once_given(ours: compute_executor.Executor) -> None:
    import gc
    import weakref

    for made in ours.map(work.Scaled, range(10)):
        reference = weakref.ref(made)
        del made

        def gone(reference: weakref.ref[work.Scaled] = reference) -> bool:
            gc.collect()
            return reference() is None

        wait_until(gone)
