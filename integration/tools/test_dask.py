"""dask: an Executor is a scheduler."""

from __future__ import annotations

from concurrent.futures import Executor

import dask
import dask.array
import dask.bag


@dask.delayed
def square(x: int) -> int:
    return x * x


def test_a_graph_of_delayed_calls(executor: Executor) -> None:
    total = dask.delayed(sum)([square(x) for x in range(20)])

    assert dask.compute(total, scheduler=executor) == dask.compute(total, scheduler="synchronous")


def test_an_array(executor: Executor) -> None:
    x = dask.array.arange(1000, chunks=250)
    answer = (x * x).reshape(10, 100).sum(axis=0)

    assert (answer.compute(scheduler=executor) == answer.compute(scheduler="synchronous")).all()


def test_a_bag_with_lambdas(executor: Executor) -> None:
    words = dask.bag.from_sequence(["a", "b", "a", "c"] * 10, npartitions=4).map(lambda word: word.upper())
    counts = words.frequencies()

    assert sorted(counts.compute(scheduler=executor)) == sorted(counts.compute(scheduler="synchronous"))


def test_an_error_in_the_graph_is_raised_as_itself(executor: Executor) -> None:
    broken = dask.delayed(divmod)(1, 0)

    try:
        dask.compute(broken, scheduler=executor)
    except ZeroDivisionError:
        pass
    else:
        raise AssertionError("no error")
