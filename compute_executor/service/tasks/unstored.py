"""Outcomes that wait to be stored: a queue for each user, served in turn. No I/O, no clock, no threads.

    put -> queue of the user -> take: of each user an equal part, of each queue the oldest first

So a single outcome of one user waits for one part of what another has, never for all of it. Outcomes that have their
numbers already (`put_numbered`) come before all others, in their order. Owner: the loop thread.
"""

from __future__ import annotations

from collections import deque

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.service.scheduling.queues import OpenBatch

Entry = tuple[OpenBatch, TaskEnded]


class OutcomeQueue:
    """What waits of one user: what came together, with how many outcomes of anybody had come before it."""

    __slots__ = ("_arrivals", "_taken")

    def __init__(self) -> None:
        self._arrivals: deque[tuple[int, list[Entry]]] = deque()
        self._taken = 0  # of the first of these

    def __bool__(self) -> bool:
        return bool(self._arrivals)

    @property
    def before(self) -> int:
        """How many outcomes had come before the oldest that waits, at least."""
        return self._arrivals[0][0]

    def put(self, before: int, entries: list[Entry]) -> None:
        """Add what has come together."""
        self._arrivals.append((before, entries))

    def take(self, limit: int) -> list[Entry]:
        """Remove up to ``limit`` outcomes, oldest first."""
        found: list[Entry] = []
        while self._arrivals and len(found) < limit:
            _, entries = self._arrivals[0]
            part = entries[self._taken : self._taken + limit - len(found)]
            found += part
            self._taken += len(part)
            if self._taken == len(entries):
                self._arrivals.popleft()
                self._taken = 0
        return found


class UnstoredOutcomes:
    """All that waits. ``numbered``: those that have their numbers already."""

    def __init__(self) -> None:
        self.numbered: list[Entry] = []
        self._numbered_before = 0
        self._users: dict[str, OutcomeQueue] = {}  # the one whose turn is next first
        self._put = 0
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def put(self, entries: list[Entry]) -> None:
        """Queue what has come together, each behind what its user has."""
        owners = {batch.owner for batch, _ in entries}
        for owner in owners:
            own = entries if len(owners) == 1 else [entry for entry in entries if entry[0].owner == owner]
            self._users.setdefault(owner, OutcomeQueue()).put(self._put, own)
        self._count(entries)

    def put_numbered(self, entries: list[Entry]) -> None:
        """Put these before all that have no numbers, and behind those that have."""
        if not self.numbered:
            self._numbered_before = self._put
        self.numbered += entries
        self._count(entries)

    def has(self, owner: str) -> bool:
        """Return whether outcomes of a user wait that have no numbers."""
        return owner in self._users

    def _count(self, entries: list[Entry]) -> None:
        self._put += len(entries)
        self._waiting += len(entries)

    def take(self, limit: int) -> list[Entry]:
        """Remove up to ``limit`` outcomes, of each user an equal part as far as there are so many."""
        found = self.numbered[:limit]
        del self.numbered[:limit]
        while not self.numbered and self._users and len(found) < limit:
            found += self._take_turn(max(1, (limit - len(found)) // len(self._users)))
        self._waiting -= len(found)
        return found

    def _take_turn(self, limit: int) -> list[Entry]:
        owner = next(iter(self._users))
        queue = self._users.pop(owner)
        found = queue.take(limit)
        if queue:
            self._users[owner] = queue
        return found

    @property
    def taken(self) -> int:
        """How many outcomes, the first that ever came, were all taken, at least."""
        first = self._numbered_before if self.numbered else self._put
        return min([first, *(queue.before for queue in self._users.values())])
