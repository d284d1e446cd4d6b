"""How many tasks a holder asks for: enough that no worker waits for the network, and no more. No I/O, no clock.

Tasks that lie here cannot run on another machine, so the measure is seconds of work, by what tasks lately took; while
a task runs longer than any before, that is how long tasks take.
"""

from __future__ import annotations

import math

PREFETCH = 0.1
"""Seconds of work for each worker beyond what it runs: a hundred times what a task needs from the service of a nearby
machine, a third more than a round trip between continents."""

MOST = 8192
"""Tasks that a holder holds at most. Two workers run 50,000 of the shortest in a second."""

FIRST = 2
"""Tasks for each worker as long as nothing is known of how long they take."""


def wanted(workers: int, mean: float | None, prefetch: float = PREFETCH) -> int:
    """Return tasks that a holder with so many workers should hold, those that run included, where tasks take ``mean``
    seconds.

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
