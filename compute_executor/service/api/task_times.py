"""When the tasks of one connection passed each place in the service, for a client that traces. No I/O.

    received -> committed -> sent -> (worker) -> reported -> stored -> streamed
    this connection          endpoint/worker/trace.py              this connection

Owner: the loop thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from compute_executor.endpoint.worker import trace
from compute_executor.protocol import frames


class TaskTimes:
    """Collects times of batches and of outcomes. ``close`` it."""

    def __init__(self) -> None:
        self._received: dict[bytes, float] = {}
        self._batches: dict[bytes, tuple[int, float, float]] = {}  # number, received, committed
        self._left: dict[bytes, int] = {}  # tasks of these that have not ended
        self._ready: list[frames.Hop] = []
        trace.watch()

    def close(self) -> None:
        """Note that nobody traces here any more."""
        trace.unwatch()

    def received(self, prefix: bytes, count: int) -> None:
        """Note that a batch of so many tasks has come."""
        self._received[prefix] = time.time()
        self._left[prefix] = count

    def committed(self, prefix: bytes, number: int | None) -> None:
        """Note that a batch is stored and may run. ``number``: what engines call it, if it is open still."""
        received = self._received.pop(prefix, 0.0)
        if number is not None:
            (when,) = (trace.marks or {}).pop((number, trace.WHOLE), (0.0,))
            self._batches[prefix] = (number, received, when)

    def stored(self, results: Iterable[frames.Result]) -> None:
        """Note that outcomes are stored, and about to be queued for the client."""
        now = time.time()
        marks = trace.marks or {}
        for result in results:
            number, received, committed = self._batches.get(result.prefix, (-1, 0.0, 0.0))
            sent, reported = (*marks.pop((number, result.position), ()), 0.0, 0.0)[:2]
            times = (received, committed, sent, reported, now)
            self._ready.append(frames.Hop(result.prefix, result.position, *times))
            self._forget_one(result.prefix)

    def _forget_one(self, prefix: bytes) -> None:
        left = self._left.pop(prefix, 1) - 1
        if left:
            self._left[prefix] = left
        else:
            self._batches.pop(prefix, None)

    def take(self) -> frames.Hops | None:
        """Return what is to be said with the results that are sent now."""
        if not self._ready:
            return None
        ready, self._ready = self._ready, []
        return frames.Hops(ready, time.time())
