"""Backoff: how long to wait before the next attempt. No clock and no chance of its own."""

from __future__ import annotations

from dataclasses import dataclass

_MOST_DOUBLINGS = 60  # a float holds them, and no pause needs more


@dataclass
class Backoff:
    """Pauses between attempts in seconds: doubled from ``first`` up to ``longest``. ``failures``: attempts that have
    failed one after the other. Owner: whoever makes the attempts."""

    first: float
    longest: float
    failures: int = 0

    def failed(self, chance: float = 1.0) -> float:
        """Note a failure; return the pause before the next attempt. ``chance`` in [0, 1] takes off up to half of it,
        so that clients that failed together do not come back together
        (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter: equal jitter).

        >>> backoff = Backoff(first=0.1, longest=0.3)
        >>> [backoff.failed() for _ in range(3)], backoff.failed(chance=0.0)
        ([0.1, 0.2, 0.3], 0.15)
        """
        pause = min(self.longest, self.first * 2.0 ** min(self.failures, _MOST_DOUBLINGS))
        self.failures += 1
        return pause * (0.5 + chance / 2)

    def succeeded(self) -> None:
        """Begin with the first pause again.

        >>> backoff = Backoff(first=0.1, longest=0.3, failures=5)
        >>> backoff.succeeded()
        >>> backoff.failed()
        0.1
        """
        self.failures = 0
