"""What waits for a transaction: a queue for each user, served in turn. No I/O, no clock, no threads.

    put -> queue of the user -> take: one of each user's after the other, of each queue the oldest first

So one operation of a user waits for some of another's, never for all of them. Owner: the loop thread.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")


class OperationQueues(Generic[Waiting]):
    """All that waits. The service's own operations are one more user's."""

    def __init__(self) -> None:
        self._users: dict[str, deque[Waiting]] = {}  # the one whose turn is next first

    def __bool__(self) -> bool:
        return bool(self._users)

    def put(self, user: str, operation: Waiting) -> None:
        """Queue an operation behind what its user has."""
        self._users.setdefault(user, deque()).append(operation)

    def take(self, limit: int) -> list[Waiting]:
        """Remove up to ``limit`` operations, of the users in turn."""
        found: list[Waiting] = []
        while self._users and len(found) < limit:
            user = next(iter(self._users))
            queue = self._users.pop(user)
            if not self._users:  # nearly always
                found += [queue.popleft() for _ in range(min(limit - len(found), len(queue)))]
            else:
                found.append(queue.popleft())
            if queue:
                self._users[user] = queue
        return found
