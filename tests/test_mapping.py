"""map by itself: order, laziness, and who is withdrawn when."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator
from concurrent.futures import TimeoutError
from typing import Any

import pytest

from compute_executor import mapping
from compute_executor.functions import remote
from compute_executor.future import ComputeFuture
from compute_executor.serialization import exceptions
from tests.test_future import Owner


class Submitter:
    """Calls end at once with their argument, unless ``hold``."""

    def __init__(self, hold: bool = False, function: Any = lambda x: x) -> None:
        self.hold = hold
        self.function = function
        self.submitted: list[Any] = []
        self.withdrawn: list[list[Any]] = []

    def submit(self, args: tuple[Any, ...]) -> ComputeFuture[Any]:
        future: ComputeFuture[Any] = ComputeFuture(owner=Owner())
        self.submitted.append(args[0])
        if not self.hold:
            try:
                future.finish(self.function(*args))
            except Exception as error:
                future.fail(error)
        return future

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> None:
        self.withdrawn.append(futures)


def numbers(count: int | None = None) -> Iterator[tuple[int]]:
    return ((n,) for n in (itertools.count() if count is None else range(count)))


def test_values_in_order() -> None:
    submitter = Submitter()

    assert list(mapping.MapResults(submitter, numbers(5), None, None)) == [0, 1, 2, 3, 4]
    assert submitter.withdrawn == []


def head(items: list[int]) -> int:
    return next(iter(items))


def test_a_stop_iteration_of_a_call_does_not_end_the_iteration() -> None:
    submitter = Submitter(function=head)
    values = mapping.MapResults(submitter, iter([([1],), ([],), ([2],)]), None, None)

    assert next(values) == 1
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        next(values)
    assert isinstance(caught.value.__cause__, StopIteration)
    assert len(submitter.withdrawn[0]) == 2


def test_a_stop_iteration_of_a_call_in_a_chunk_does_not_end_the_iteration() -> None:
    submitter = Submitter(function=remote.EachOf(head))
    chunks = mapping.chunks(iter([([1],), ([],), ([2],)]), 3)
    values = mapping.UnchunkedResults(mapping.MapResults(submitter, chunks, None, None))

    assert next(values) == 1
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        next(values)
    assert isinstance(caught.value.__cause__, StopIteration)


def test_without_buffersize_all_is_submitted_at_once() -> None:
    submitter = Submitter()
    mapping.MapResults(submitter, numbers(5), None, None)

    assert submitter.submitted == [0, 1, 2, 3, 4]


def test_with_buffersize_inputs_are_read_as_values_are_taken() -> None:
    submitter = Submitter()
    results = mapping.MapResults(submitter, numbers(), None, 3)
    assert submitter.submitted == [0, 1, 2]
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]

    assert submitter.submitted == list(range(7))
    results.close()
    assert list(results) == []


def test_a_buffer_larger_than_the_input() -> None:
    assert list(mapping.MapResults(Submitter(), numbers(2), None, 10)) == [0, 1]


def test_an_error_withdraws_the_rest() -> None:
    submitter = Submitter(function=lambda n: 1 // (2 - n))
    results = mapping.MapResults(submitter, numbers(6), None, None)
    assert [next(results), next(results)] == [0, 1]

    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(submitter.withdrawn[0]) == 4
    assert list(results) == []


def test_a_timeout_withdraws_all() -> None:
    submitter = Submitter(hold=True)
    results = mapping.MapResults(submitter, numbers(3), 0.0, None)

    with pytest.raises(TimeoutError):
        next(results)
    assert len(submitter.withdrawn[0]) == 3


def test_a_timeout_that_is_not_reached() -> None:
    assert list(mapping.MapResults(Submitter(), numbers(3), 10.0, None)) == [0, 1, 2]


def test_closing_withdraws_even_if_nothing_was_taken() -> None:
    submitter = Submitter(hold=True)
    mapping.MapResults(submitter, numbers(3), None, None).close()

    assert len(submitter.withdrawn[0]) == 3


def test_thrown_away_unbegun_it_runs_on() -> None:
    submitter = Submitter()
    mapping.MapResults(submitter, numbers(3), None, None)
    gc.collect()

    assert submitter.withdrawn == []


def test_thrown_away_half_way_it_withdraws() -> None:
    submitter = Submitter()
    results = mapping.MapResults(submitter, numbers(3), None, None)
    next(results)
    del results
    gc.collect()

    assert len(submitter.withdrawn[0]) == 2


def test_a_submit_that_raises() -> None:
    def inputs() -> Iterator[tuple[int]]:
        yield (1,)
        raise LookupError("no more")

    with pytest.raises(LookupError):
        mapping.MapResults(Submitter(), inputs(), None, None)
    results = mapping.MapResults(Submitter(), inputs(), None, 1)
    with pytest.raises(LookupError):
        next(results)


def test_chunks() -> None:
    assert list(mapping.chunks(numbers(5), 2)) == [([(0,), (1,)],), ([(2,), (3,)],), ([(4,)],)]


def unchunked(*chunks: tuple[list[Any], bytes | None]) -> tuple[mapping.UnchunkedResults, Submitter]:
    submitter = Submitter()
    return mapping.UnchunkedResults(
        mapping.MapResults(submitter, ((chunk,) for chunk in chunks), None, None)
    ), submitter


def test_values_of_chunks() -> None:
    assert list(unchunked(([1, 2], None), ([], None), ([3], None))[0]) == [1, 2, 3]


def test_an_error_comes_after_the_values_before_it() -> None:
    error = exceptions.encode(KeyError("here"))
    results, submitter = unchunked(([1], None), ([2, 3], error), ([4], None))
    assert [next(results) for _ in range(3)] == [1, 2, 3]

    with pytest.raises(KeyError, match="here"):
        next(results)
    assert len(submitter.withdrawn[0]) == 1
    assert list(results) == []


def test_closing_chunks() -> None:
    results, submitter = unchunked(([1, 2], None), ([3], None))
    assert next(results) == 1
    results.close()

    assert list(results) == []
    assert len(submitter.withdrawn[0]) == 1


@pytest.mark.parametrize(
    ("chunksize", "buffersize", "error"),
    [
        (0, None, ValueError("chunksize must be >= 1.")),
        (1, 0, ValueError("buffersize must be None or > 0")),
        (1, "3", TypeError("buffersize must be an integer or None")),
        (1, 1.0, TypeError("buffersize must be an integer or None")),
    ],
)
def test_wrong_arguments(chunksize: int, buffersize: Any, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        mapping.checked(chunksize, buffersize, None)
    assert str(caught.value) == str(error)
