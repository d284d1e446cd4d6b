"""Reconnect policy: when to connect again, and when to give up. No I/O: time and chance are passed in.

    connected --lost--> try at once --failed--> pause, try again, pause longer ... (jitter, 0.1 .. 30 s)
                                                 meanwhile: HTTP submits and polls
              after `grace` without any answer: the open futures end with ServiceUnavailable

Owner: the session's I/O thread.
"""

from __future__ import annotations

from collections.abc import Callable

from compute_executor.backoff import Backoff
from compute_executor.settings import FIRST_GRACE

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
"""Seconds. RabbitMQ's and Temporal's clients stay between 0.1 and 60."""

POLL_PAUSE = 0.5
"""Seconds between two rounds of asking by HTTP (the stock SDK's period), each with a new try for a stream."""


class ReconnectPolicy:
    """State of a connection, and the times of the next tries. ``chance()`` is uniform in [0, 1)."""

    def __init__(self, chance: Callable[[], float], grace: float, first_grace: float = FIRST_GRACE) -> None:
        """``grace``: seconds without an answer after which the service is given up; ``first_grace``: the same for one
        that was never reached."""
        self._chance = chance
        self._first_grace = first_grace
        self.grace = grace
        self.connected: bool = False
        self.ever_connected: bool = False
        self.backoff: Backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self.next_try: float = 0.0
        self._gone_since: float | None = None

    @property
    def state(self) -> str:
        """One word for ``repr``."""
        if self.connected:
            return "connected"
        return "connecting" if self.failing else "not connected"

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self.backoff.failures > 0

    def opened(self) -> None:
        """Note that a stream is open."""
        self.connected = True
        self.ever_connected = True
        self.backoff.succeeded()
        self._gone_since = None

    def lost(self, now: float) -> None:
        """Note that the stream is lost: the first new try is made at once."""
        self.connected = False
        self.next_try = now
        self._gone_since = now

    def failed(self, now: float) -> None:
        """Note that a try failed: the next comes after a random pause up to the back-off."""
        if self._gone_since is None:
            self._gone_since = now
        self.next_try = now + self.backoff.failed(self._chance())

    def restart_grace(self) -> None:
        """Start the grace anew, after the open futures have been given up: later calls get all of it."""
        self._gone_since = None

    @property
    def patience(self) -> float:
        """Seconds until an absent service is given up."""
        return self.grace if self.ever_connected else min(self.grace, self._first_grace)

    def answered(self, now: float) -> None:
        """Note that the service answered by HTTP, without a stream. Both are tried again soon."""
        self._gone_since = None
        self.ever_connected = True
        self.next_try = now + POLL_PAUSE

    def alive(self) -> None:
        """Note that the service answers requests; the time of the next try stays as it is."""
        self._gone_since = None
        self.ever_connected = True

    def given_up(self, now: float) -> bool:
        """Return whether the service has been gone for longer than the grace."""
        return self._gone_since is not None and now - self._gone_since >= self.patience
