"""The lazy, ordered map: Python 3.14's ``Executor.map`` on every Python.

Differences from the standard library's, both to the better: the function is serialised once per map, and with
chunks the values before an error are not lost by it (a chunk brings them along).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NoReturn, Protocol, TypedDict

from compute_executor import checks
from compute_executor.errors import ResultDecodeError
from compute_executor.future import ComputeFuture
from compute_executor.serialization.raised import raised


class MapOptions(TypedDict, total=False):
    """The keywords of `Executor.map`."""

    timeout: float | None
    chunksize: int
    buffersize: int | None
    progress: bool


class Submitter(Protocol):
    """Interface that map needs: a way to submit one call of its function, and to withdraw calls."""

    def submit(self, args: tuple[Any, ...]) -> ComputeFuture[Any]:
        """Submit one call."""
        ...

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> None:
        """Cancel what has not begun, without waiting."""
        ...


def checked(chunksize: Any, buffersize: Any, timeout: Any) -> tuple[int, int | None, float | None]:
    """Return the arguments as they are used. Raises what the standard library raises for wrong ones."""
    if buffersize is not None and not hasattr(buffersize, "__index__"):
        raise TypeError("buffersize must be an integer or None")
    buffersize = None if buffersize is None else checks.integer("buffersize", buffersize)
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")
    chunksize = checks.integer("chunksize", chunksize)
    if chunksize < 1:
        raise ValueError("chunksize must be >= 1.")
    return chunksize, buffersize, None if timeout is None else checks.real("timeout", timeout)


class MapResults(Iterator[Any]):
    """Iterator over the values in order. Closing it, an error and a timeout withdraw the calls whose values are not
    taken; so does the garbage collector, if the iteration had begun. One that was never begun withdraws nothing:
    ``ex.map(save, things)`` for the effect alone.

    Not a generator: closing one that was never begun does nothing.
    """

    def __init__(
        self,
        submitter: Submitter,
        calls: Iterator[tuple[Any, ...]],
        timeout: float | None,
        buffersize: int | None,
    ) -> None:
        """Submit all calls now, or the first ``buffersize``; the others as values are taken."""
        self._submitter = submitter
        self._end = None if timeout is None else time.monotonic() + timeout
        first = calls if buffersize is None else islice(calls, buffersize)
        self._waiting = deque(submitter.submit(args) for args in first)
        self._calls = calls
        self._begun = False

    def __next__(self) -> Any:
        self._begun = True
        if not self._waiting:
            raise StopIteration
        try:
            for args in islice(self._calls, 1):
                self._waiting.append(self._submitter.submit(args))
            value = self._waiting[0].result(None if self._end is None else self._end - time.monotonic())
        except StopIteration as error:
            self.close()
            raise _stopped() from error
        except BaseException:
            self.close()
            raise
        self._waiting.popleft()
        return value

    def close(self) -> None:
        """Withdraw the calls whose values were not taken; the iteration is over."""
        waiting, self._waiting = self._waiting, deque()
        self._calls = iter(())
        if waiting:
            self._submitter.withdraw(list(waiting))

    def __del__(self) -> None:
        if getattr(self, "_begun", False) and self._waiting:  # no attributes if a submit raised
            self.close()


class UnchunkedResults(Iterator[Any]):
    """Iterator over the values of chunks one by one, with an error after the values that came before it."""

    def __init__(self, chunks: MapResults, raised: Callable[[Any], BaseException] = raised) -> None:
        """``raised`` makes the exception out of what a chunk has for it. It may raise ResultDecodeError."""
        self._chunks = chunks
        self._raised = raised
        self._values: Iterator[Any] = iter(())
        self._error: Any = None

    def __next__(self) -> Any:
        for value in self._values:
            return value
        if self._error is not None:
            error, self._error = self._error, None
            self.close()
            _raise(self._raised(error))
        values, self._error = _two(next(self._chunks))
        self._values = iter(values)
        return next(self)

    def close(self) -> None:
        """Withdraw the calls whose values were not taken; the iteration is over."""
        self._values = iter(())
        self._error = None
        self._chunks.close()


def _two(chunk: Any) -> tuple[Any, Any]:
    """Return values and error of a chunk. Raises ResultDecodeError for what is not both."""
    if isinstance(chunk, (tuple, list)) and len(chunk) == 2 and isinstance(chunk[0], list):
        return chunk[0], chunk[1]
    raise ResultDecodeError("the answer of a chunk of calls is not a list of values and an error")


def _raise(error: BaseException) -> NoReturn:
    if isinstance(error, StopIteration):
        raise _stopped() from error
    raise error


def _stopped() -> RuntimeError:
    """Return the error in place of a StopIteration, which would end the iteration as if all values had come (PEP
    479)."""
    return RuntimeError(
        "generator raised StopIteration: a call of this map did, and values may come after it"
    )


def chunks(calls: Iterable[tuple[Any, ...]], size: int) -> Iterator[tuple[list[tuple[Any, ...]]]]:
    """Yield chunks of ``size`` calls, each as the argument tuple of one task."""
    iterator = iter(calls)
    while chunk := list(islice(iterator, size)):
        yield (chunk,)
