"""When an embedded service ends by itself: nothing open, nobody connected, nothing asked for a while."""

from __future__ import annotations

DEFAULT_IDLE = 60.0
"""Seconds. A script that is started again and again meets a running service; a forgotten one is gone in a minute."""


class IdleClock:
    """Tells how long nothing has happened. Time is passed in (seconds, monotonic)."""

    def __init__(self, patience: float, now: float) -> None:
        self.patience = patience
        self._since = now
        self._requests = 0

    def look(self, *, busy: bool, requests: int, now: float) -> bool:
        """Note what is going on; whether it is time to end. ``requests``: how many were answered in all."""
        if busy or requests != self._requests:
            self._since = now
            self._requests = requests
        return now - self._since >= self.patience
