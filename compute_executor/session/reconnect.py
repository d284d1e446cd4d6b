"""Keeps a stream open: when to try again, and when to give up. No I/O: time and chance are passed in.

    connected --lost--> try at once --failed--> pause, try again, pause longer ... (full jitter, 0.05 .. 30 s)
                                                 meanwhile: HTTP submits and polls
              after `grace` without any answer: the open futures end with ServiceUnavailable

Owner: the session's I/O thread.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 30.0
"""Seconds. RabbitMQ's and Temporal's clients stay between 0.1 and 60; full jitter spreads those that lost the
service together (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter)."""

POLL_PAUSE = 0.5
"""Seconds between two rounds of asking by HTTP (the stock SDK's period), each with a new try for a stream."""

FIRST_GRACE = 10.0
"""The same for a service that was never reached: more likely a wrong address than one that is restarting."""


class ReconnectPolicy:
    """The state of the connection. ``chance()`` is uniform in [0, 1)."""

    def __init__(self, chance: Callable[[], float], grace: float) -> None:
        self._chance = chance
        self.grace = grace
        self.connected = False
        self.ever_connected = False
        self.failures = 0
        self.next_try = 0.0
        self._gone_since: float | None = None

    @property
    def state(self) -> str:
        """One word for ``repr``."""
        if self.connected:
            return "connected"
        return "connecting" if self.failures else "not connected"

    def opened(self) -> None:
        """There is a stream."""
        self.connected = True
        self.ever_connected = True
        self.failures = 0
        self._gone_since = None

    def lost(self, now: float) -> None:
        """The stream is gone: the first new try is made at once."""
        self.connected = False
        self.next_try = now
        self._gone_since = now

    def failed(self, now: float) -> None:
        """A try failed: the next comes after a random pause up to the back-off."""
        self.failures += 1
        if self._gone_since is None:
            self._gone_since = now
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures, 16))
        self.next_try = now + max(FIRST_PAUSE, pause * self._chance())

    def rest(self) -> None:
        """The futures have been given up: whatever is submitted later gets all the patience again."""
        self._gone_since = None

    @property
    def patience(self) -> float:
        """Seconds until an absent service is given up."""
        return self.grace if self.ever_connected else min(self.grace, FIRST_GRACE)

    def answered(self, now: float) -> None:
        """The service answered by HTTP: it is there, only the stream is not. Asked again soon, for both."""
        self._gone_since = None
        self.ever_connected = True
        self.next_try = now + POLL_PAUSE

    def heard(self) -> None:
        """The service answers questions; when to try for a stream again stays as it is."""
        self._gone_since = None
        self.ever_connected = True

    def given_up(self, now: float) -> bool:
        """Whether the service has been gone for longer than the grace."""
        return self._gone_since is not None and now - self._gone_since >= self.patience
