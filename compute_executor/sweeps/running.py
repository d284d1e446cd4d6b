"""The middle of a sweep: a bounded number of calls in flight on any Executor, outcomes as they come.

The bound is what lets a million rows run in constant memory. One thread, the caller's, owns all state here;
futures hand themselves in through a queue, and so does the interrupt, which makes Ctrl-C one more thing that
arrives between two outcomes rather than an exception anywhere.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

from compute_executor.sweeps.design import Row

IN_FLIGHT = 4096
"""Calls submitted and not ended: enough to keep batches full at 100,000 a second over a 40 ms round trip; at
some 2 kB a call, 8 MB."""
FIRST = 256
"""As many at the beginning, and twice as many after each arrival, so that the first rows do not wait until thousands
are submitted."""


class RowCall(NamedTuple):
    """A call of a row. ``place``: in the design. ``attempts``: this one included, and those of earlier
    sweeps; ``tries``: how often it has failed in this one."""

    id: int
    place: int
    row: Row
    attempts: int = 1
    tries: int = 0


class SweepRun:
    """Calls in flight: ``call(id, arguments)`` on ``executor``, and those that an earlier sweep left there."""

    def __init__(self, executor: Executor, call: Callable[..., Any], in_flight: int = IN_FLIGHT) -> None:
        self.interrupted: bool = False
        self._executor, self._call = executor, call
        self._most, self._in_flight = in_flight, min(FIRST, in_flight)
        self._open: dict[Future[Any], RowCall] = {}
        self._adopted: set[Future[Any]] = set()
        self._arrived: queue.SimpleQueue[Future[Any] | None] = queue.SimpleQueue()

    def interrupt(self) -> None:
        """Let :meth:`take` return soon. For signal handlers: SimpleQueue.put may interrupt itself."""
        self._arrived.put(None)

    @property
    def room(self) -> int:
        """How many more calls may be submitted."""
        return self._in_flight - len(self._open)

    @property
    def adopted(self) -> int:
        """How many calls of an earlier sweep are still open."""
        return len(self._adopted)

    @property
    def open(self) -> int:
        """How many calls of this sweep are open."""
        return len(self._open)

    @property
    def is_idle(self) -> bool:
        """Whether nothing has arrived that could be taken at once."""
        return self._arrived.empty()

    def submit(self, entry: RowCall, arguments: Row) -> None:
        """Call the function with ``arguments``."""
        future = self._executor.submit(self._call, entry.id, arguments)
        self._open[future] = entry
        future.add_done_callback(self._arrived.put)

    def adopt(self, futures: Iterable[Future[Any]]) -> None:
        """Wait for these, too."""
        for future in futures:
            self._adopted.add(future)
            future.add_done_callback(self._arrived.put)

    def take(self) -> list[tuple[RowCall | None, Future[Any]]]:
        """Wait for the first arrival and take all there are. Those that were adopted have no entry."""
        arrived = [self._arrived.get()]
        while not self._arrived.empty():
            arrived.append(self._arrived.get())
        self._in_flight = min(2 * self._in_flight, self._most)
        ended: list[tuple[RowCall | None, Future[Any]]] = []
        for future in arrived:
            if future is None:
                self.interrupted = True
            elif future in self._adopted:
                self._adopted.discard(future)
                ended.append((None, future))
            else:
                ended.append((self._open.pop(future), future))
        return ended
