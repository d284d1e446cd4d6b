"""Wishes to cancel that are on their way: asked, and not answered yet. No I/O.

Owner: the session's I/O thread; whoever asked waits for ``answered``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import Cancel
from compute_executor.protocol.ids import TaskPositions


class Withdrawal:
    """A wish to cancel, and the way to learn that it was answered. ``futures`` is None for all that are open."""

    def __init__(self, futures: list[ComputeFuture[Any]] | None) -> None:
        self.futures = futures
        self.tasks: TaskPositions = []
        self.answered = threading.Event()


class Withdrawals:
    """Those that the service owes an answer to, by number."""

    def __init__(self) -> None:
        self._asked: dict[int, Withdrawal] = {}
        self._last = 0

    def ask(self, withdrawal: Withdrawal, tasks: TaskPositions) -> Cancel | None:
        """What to send; None if nothing of it is open: then it is answered."""
        if not tasks:
            withdrawal.answered.set()
            return None
        withdrawal.tasks = tasks
        self._last += 1
        self._asked[self._last] = withdrawal
        return Cancel(self._last, tasks)

    def again(self) -> Iterator[Cancel]:
        """What to send on a new connection."""
        for number, withdrawal in self._asked.items():
            yield Cancel(number, withdrawal.tasks)

    def answered(self, number: int) -> None:
        """The service has answered, and the futures know."""
        withdrawal = self._asked.pop(number, None)
        if withdrawal is not None:
            withdrawal.answered.set()

    def give_up(self) -> None:
        """Nobody will answer."""
        for number in list(self._asked):
            self.answered(number)
