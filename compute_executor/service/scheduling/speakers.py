"""Who has said something lately, so that long work is done in short turns while others wait for theirs. Pure."""

from __future__ import annotations

from dataclasses import dataclass

RECENT = 0.05
"""Seconds for which other connections are thought to need turns after one of them has said something."""
PRESENT = 0.5
"""The same for users, who wait for their tasks in between: on a busy machine that takes as long."""


@dataclass
class Speakers:
    """Who of several peers, or users, said something last, and when; ``before`` is when the last one before that
    spoke."""

    last: object = None
    at: float = float("-inf")
    before: float = float("-inf")

    def spoke(self, peer: object, now: float) -> None:
        """Note that ``peer`` has said something."""
        if peer is not self.last:
            self.last, self.before = peer, self.at
        self.at = now

    def another_since(self, peer: object, moment: float) -> bool:
        """Return whether anybody but ``peer`` has said something since ``moment``."""
        return (self.before if peer is self.last else self.at) >= moment

    def several_since(self, moment: float) -> bool:
        """Return whether more than one has said something since ``moment``."""
        return self.before >= moment
