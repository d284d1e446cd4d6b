"""The middle of a sweep: a bounded number of calls in flight on any Executor, outcomes as they come.

The bound is what lets a million rows run in constant memory. One thread, the caller's, owns all state here;
futures hand themselves in through a queue, and so does the interrupt, which makes Ctrl-C one more thing that
arrives between two outcomes rather than an exception anywhere.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

from compute_executor.cli.plan import Row

IN_FLIGHT = 4096
"""Calls submitted and not ended: enough to keep batches full at 100,000 a second over a 40 ms round trip; at
some 2 kB a call, 8 MB."""


class CallEnded(NamedTuple):
    """A call that ended. ``place``: in the plan."""

    place: int
    row: Row
    future: Future[Any]


class SweepRun:
    """Calls ``function(**call(row))`` on ``executor`` for each ``(place, row)`` of ``rows``."""

    def __init__(
        self,
        executor: Executor,
        function: Callable[..., Any],
        rows: Iterable[tuple[int, Row]],
        in_flight: int = IN_FLIGHT,
        call: Callable[[Row], Row] = lambda row: row,
    ) -> None:
        self.interrupted = False
        self._executor, self._function, self._rows = executor, function, iter(rows)
        self._in_flight, self._call = in_flight, call
        self._open: set[Future[Any]] = set()
        self._arrived: queue.SimpleQueue[CallEnded | None] = queue.SimpleQueue()

    def interrupt(self) -> None:
        """Let :meth:`outcomes` end soon. For signal handlers: SimpleQueue.put may interrupt itself."""
        self._arrived.put(None)

    def outcomes(self) -> Iterator[list[CallEnded]]:
        """What has ended since the last time, at least one call each; until all have, or an interrupt."""
        while not self.interrupted and self._fill():
            if ended := self._take():
                yield ended

    def _fill(self) -> bool:
        """Submit up to the bound; whether anything is open."""
        while len(self._open) < self._in_flight and (entry := next(self._rows, None)) is not None:
            self._submit(*entry)
        return bool(self._open)

    def _submit(self, place: int, row: Row) -> None:
        future = self._executor.submit(self._function, **self._call(row))
        self._open.add(future)
        future.add_done_callback(lambda done: self._arrived.put(CallEnded(place, row, done)))

    def _take(self) -> list[CallEnded]:
        """Wait for the first arrival and take all there are."""
        arrived = [self._arrived.get()]
        while not self._arrived.empty():
            arrived.append(self._arrived.get())
        self.interrupted = None in arrived
        ended = [entry for entry in arrived if entry is not None]
        self._open.difference_update(entry.future for entry in ended)
        return ended
