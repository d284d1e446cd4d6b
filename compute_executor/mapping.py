"""The lazy, ordered map: Python 3.14's ``Executor.map`` on every Python.

Differences from the standard library's, both to the better: the function is serialised once per map, and with
chunks the values before an error are not lost by it (a chunk brings them along).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol, TypeVar

from compute_executor.future import ComputeFuture
from compute_executor.serialization import exceptions

T = TypeVar("T")


class Submitter(Protocol):
    """What map needs: a way to submit one call of its function, and to let go of calls nobody waits for."""

    def submit(self, args: tuple[Any, ...]) -> ComputeFuture[Any]:
        """One call."""
        ...

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> None:
        """Cancel what has not begun, without waiting."""
        ...


def check(chunksize: int, buffersize: int | None) -> None:
    """Raise what the standard library raises for wrong arguments."""
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")
    if chunksize < 1:
        raise ValueError("chunksize must be >= 1.")


def values(
    submitter: Submitter, calls: Iterator[tuple[Any, ...]], timeout: float | None, buffersize: int | None
) -> Iterator[Any]:
    """Submit (all, or the first ``buffersize``) now; the iterator yields in order and submits the rest."""
    end = None if timeout is None else time.monotonic() + timeout
    first = calls if buffersize is None else islice(calls, buffersize)
    waiting = deque(submitter.submit(args) for args in first)
    return _results(submitter, waiting, calls if buffersize is not None else iter(()), end)


def _results(
    submitter: Submitter,
    waiting: deque[ComputeFuture[Any]],
    calls: Iterator[tuple[Any, ...]],
    end: float | None,
) -> Iterator[Any]:
    try:
        while waiting:
            for args in islice(calls, 1):
                waiting.append(submitter.submit(args))
            yield _result(waiting, end)
    finally:
        if waiting:
            submitter.withdraw(list(waiting))


def _result(waiting: deque[ComputeFuture[Any]], end: float | None) -> Any:
    """The next value. Its future is let go only when it is done, so that a timeout withdraws it, too."""
    value = waiting[0].result(None if end is None else end - time.monotonic())
    waiting.popleft()
    return value


def chunks(calls: Iterable[tuple[Any, ...]], size: int) -> Iterator[tuple[list[tuple[Any, ...]]]]:
    """Calls by ``size``, each chunk as the argument tuple of one task."""
    iterator = iter(calls)
    while chunk := list(islice(iterator, size)):
        yield (chunk,)


def unpacked(results: Iterator[tuple[list[T], bytes | None]]) -> Iterator[T]:
    """The values of chunks one by one, and the error after those that came before it."""
    try:
        for chunk, error in results:
            chunk.reverse()
            while chunk:
                yield chunk.pop()
            if error is not None:
                raise exceptions.decode(error)
    finally:
        close: Callable[[], None] | None = getattr(results, "close", None)
        if close is not None:
            close()
