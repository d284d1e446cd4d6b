"""How many requests may go out when: a service's limit is kept by waiting as briefly as it allows, no longer."""

from __future__ import annotations

from collections import deque


class Pacer:
    """At most ``limit`` requests in any ``window`` seconds. Time is passed in; the caller does the waiting.

    The first ``limit`` go at once; from then on each waits until the one ``limit`` before it is a window old. (The
    stock SDK sleeps for 4 to 5 seconds after the fourth small batch, whatever the service would have taken.)
    """

    def __init__(self, limit: int, window: float) -> None:
        self.limit = limit
        self.window = window
        self._starts: deque[float] = deque(maxlen=limit)

    def reserve(self, now: float) -> float:
        """Return the seconds to wait from ``now`` until the next request may start. It counts as started then."""
        start = now
        if len(self._starts) == self.limit:
            start = max(now, self._starts[0] + self.window)
        if self._starts:
            start = max(start, self._starts[-1])  # never before one that was reserved earlier
        self._starts.append(start)
        return start - now
