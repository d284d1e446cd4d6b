"""How many tasks a holder asks for: enough that no worker waits for the network, and no more. No I/O, no clock.

Tasks that lie here cannot run on another machine, so the measure is seconds of work, by what tasks lately took; while
a task runs longer than any before, that is how long tasks take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from compute_executor.endpoint.pool.scheduling_policy import DurationEstimates

PREFETCH = 0.1
"""Seconds of work for each worker beyond what it runs: a hundred times what a task needs from the service of a nearby
machine, a third more than a round trip between continents."""

MOST = 8192
"""Tasks that a holder holds at most. Two workers run 50,000 of the shortest in a second."""

FIRST = 2
"""Tasks for each worker as long as nothing is known of how long they take."""

_ANY = 0
"""The function that durations are kept of: all together, because what comes next is not known here."""


class HolderCredit:
    """The credit of a holder, counted anew on each connection. ``now``: when it is made; times are seconds of one
    clock."""

    def __init__(self, now: float, prefetch: float = PREFETCH) -> None:
        self._prefetch = prefetch
        self._estimates = DurationEstimates()
        self._known = False  # how long tasks take
        self._last_progress = now
        self._received = self._sent_limit = 0
        self._paused_until = now

    def new_connection(self) -> None:
        """Begin to count at 0."""
        self._received = self._sent_limit = 0

    def received(self, count: int) -> None:
        """Note that so many tasks have come."""
        self._received += count

    def progressed(self, now: float) -> None:
        """Note that a task has ended, or has come while none ran."""
        self._last_progress = now

    def learn(self, seconds: Sequence[float]) -> None:
        """Note how long tasks took that have ended."""
        if seconds:
            self._estimates.learn(_ANY, len(seconds), sum(seconds))
            self._known = True

    def pause(self, until: float) -> None:
        """Ask for no task before this time."""
        self._paused_until = until

    def mean(self, running: int, now: float) -> float | None:
        """Return the seconds that tasks take; at least as long as none has ended though some run. None: nothing is
        known."""
        since_progress = now - self._last_progress
        if not self._known:
            return since_progress if since_progress > self._prefetch and running else None
        return max(self._estimates.mean, since_progress) if running else self._estimates.mean

    def target(self, workers: int, running: int, now: float) -> int:
        """Return how many tasks to hold."""
        if now < self._paused_until:
            return 0
        return wanted(workers, self.mean(running, now), self._prefetch)

    def next_limit(self, target: int, held: int, *, at_once: bool = False) -> int | None:
        """Return the limit to send, which is then taken as sent; None: the last one is still good enough."""
        limit = self._received + max(0, target - held)
        if not at_once and not worth_sending(limit, self._sent_limit, target):
            return None
        self._sent_limit = limit
        return limit


def wanted(workers: int, mean: float | None, prefetch: float = PREFETCH) -> int:
    """Return how many tasks a holder with so many workers should hold, those that run included, where tasks take
    ``mean`` seconds.

    >>> wanted(2, None), wanted(2, 0.00002), wanted(2, 0.01), wanted(4, 3600.0)
    (4, 8192, 22, 5)
    """
    if not workers:
        return 0
    if mean is None:
        return FIRST * workers
    return min(MOST, workers + math.ceil(workers * prefetch / max(mean, 1e-6)))


def worth_sending(limit: int, sent: int, target: int) -> bool:
    """Return whether a new limit differs enough from the one sent last to be worth a frame."""
    return limit - sent >= max(1, target // 4)
