"""Calls that wait for the next flush, and when that is. No I/O, no threads, no clock: time is passed in.

When to flush: at once while the service has no batch to confirm (leading edge: one task alone never waits); while it
has one, when ``batch_size`` calls or ``byte_limit`` bytes wait, or when ``flush_interval`` has passed since
the first of them came. So the batches grow by themselves with the load: a busy service makes large ones.

Calls to different targets (endpoint, pool, options) wait apart, because a batch has one of each. Owner: the thread
that holds the queue's lock.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from compute_executor.batch import Call, Target


class Buffer:
    """Queue of calls in the order of their submission, per target. ``flush_interval`` in seconds."""

    def __init__(self, batch_size: int, flush_interval: float, byte_limit: int) -> None:
        self.batch_size = batch_size
        self.flush_interval = flush_interval
        self.byte_limit = byte_limit
        self.count: int = 0
        self.bytes: int = 0
        self._since: float | None = None
        self._by_target: dict[Target, deque[Call[Any]]] = {}

    def add(self, call: Call[Any]) -> None:
        """Append a call."""
        waiting = self._by_target.get(call.target)
        if waiting is None:
            waiting = self._by_target[call.target] = deque()
        waiting.append(call)
        self.count += 1
        self.bytes += call.size

    def drop(self, call: Call[Any]) -> bool:
        """Take one call out; return False if it was out already. Its place is only marked, so that cancelling many
        is not quadratic."""
        if call.dropped:
            return False
        call.dropped = True
        self._remove(1, call.size)
        return True

    def calls(self) -> list[Call[Any]]:
        """Return all calls that wait."""
        return [call for waiting in self._by_target.values() for call in waiting if not call.dropped]

    def full(self) -> bool:
        """Return whether a whole batch waits."""
        return self.count >= self.batch_size or self.bytes >= self.byte_limit

    def due(self, now: float, busy: bool) -> bool:
        """Return whether to flush at ``now``. ``busy``: the service has a batch to confirm."""
        if self.count == 0:
            return False
        if self._since is None:
            self._since = now
        return not busy or self.full() or now >= self._since + self.flush_interval

    def deadline(self) -> float | None:
        """Return when the waiting calls fall due, as far as :meth:`due` has seen them."""
        return None if self._since is None else self._since + self.flush_interval

    def take(self) -> tuple[Target, list[Call[Any]]] | None:
        """Take out and return the calls of the next batch: up to ``batch_size`` to one target, and not above
        ``byte_limit`` bytes unless one call alone is. None if nothing waits."""
        while self._by_target:
            target, waiting = next(iter(self._by_target.items()))
            calls = self._some(waiting)
            if not waiting:
                del self._by_target[target]
            if calls:
                return target, calls
        return None

    def _some(self, waiting: deque[Call[Any]]) -> list[Call[Any]]:
        calls: list[Call[Any]] = []
        size = 0
        while waiting and len(calls) < self.batch_size:
            call = waiting[0]
            if not call.dropped:
                if calls and size + call.size > self.byte_limit:
                    break
                calls.append(call)
                size += call.size
            waiting.popleft()
        self._remove(len(calls), size)
        return calls

    def _remove(self, count: int, size: int) -> None:
        self.count -= count
        self.bytes -= size
        if self.count == 0:
            self._since = None
