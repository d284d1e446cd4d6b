"""Requests to cancel tasks that the service has not answered yet. No I/O.

A thread that cancels waits for the answer, and runs the callbacks of what was cancelled itself, as in the standard
pools: it may hold a lock that they take.

Owner of `Withdrawals`: the session's I/O thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import Cancel
from compute_executor.protocol.ids import TaskPositions


class Withdrawal:
    """One request to cancel. ``futures`` is None for all that are open; ``wait``: whether its caller will
    :meth:`wait`."""

    def __init__(self, futures: list[ComputeFuture[Any]] | None, *, wait: bool) -> None:
        self.futures = futures
        self.tasks: TaskPositions = []
        self.answered: threading.Event = threading.Event()
        self._lock = threading.Lock()  # of what follows
        self._waiting = wait
        self._cancelled: list[ComputeFuture[Any]] = []

    def take_callbacks(self, future: ComputeFuture[Any]) -> None:
        """Keep a cancelled future for the thread that waits, which will run its callbacks. I/O thread."""
        with self._lock:
            if self._waiting:
                self._cancelled.append(future)
                return
        future.owner.run_callbacks(future)

    def wait(self, seconds: float) -> None:
        """Wait for the answer, then run the callbacks of what was cancelled. The thread that cancels."""
        try:
            self.answered.wait(seconds)
        finally:
            with self._lock:
                self._waiting = False
                cancelled, self._cancelled = self._cancelled, []
            for future in cancelled:
                future.run_callbacks()


class Withdrawals:
    """Those that the service owes an answer to, by number."""

    def __init__(self) -> None:
        self._asked: dict[int, Withdrawal] = {}
        self._positions: dict[int, dict[bytes, set[int]]] = {}
        self._last = 0

    def ask(self, withdrawal: Withdrawal, tasks: TaskPositions) -> Cancel | None:
        """Return what to send; None if nothing of it is open: then it is answered."""
        if not tasks:
            withdrawal.answered.set()
            return None
        withdrawal.tasks = tasks
        self._last += 1
        self._asked[self._last] = withdrawal
        self._positions[self._last] = {prefix: set(positions) for prefix, positions in tasks}
        return Cancel(self._last, tasks)

    def again(self) -> Iterator[Cancel]:
        """Return what to send on a new connection."""
        for number, withdrawal in self._asked.items():
            yield Cancel(number, withdrawal.tasks)

    def by_number(self, number: int) -> Withdrawal | None:
        """Return an open request."""
        return self._asked.get(number)

    def by_task(self, prefix: bytes, position: int) -> Withdrawal | None:
        """Return the open request that names this task."""
        for number, positions in self._positions.items():
            if position in positions.get(prefix, ()):
                return self._asked[number]
        return None

    def answered(self, number: int) -> None:
        """Wake the caller: the service has answered, and the futures are cancelled."""
        withdrawal = self._asked.pop(number, None)
        self._positions.pop(number, None)
        if withdrawal is not None:
            withdrawal.answered.set()

    def give_up(self) -> None:
        """Wake all callers: no answer will come."""
        for number in list(self._asked):
            self.answered(number)
