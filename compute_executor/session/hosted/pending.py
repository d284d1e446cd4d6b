"""Task to future where the service draws the ids: results may come before the answer that names their tasks. No I/O.

Such an early result is kept until its id is expected; so many of them that their room is full are passed over, and
``missed`` says so: whoever expects a task after that must ask for it.

Owner: whoever holds the lock of the connection (`hosted.connection`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from compute_executor.batch import Target
from compute_executor.future import ComputeFuture
from compute_executor.sdk.outcome import Outcome

MAX_EARLY = 10_000
MAX_EARLY_BYTES = 64 * 1024 * 1024
"""Results kept for tasks that are not known yet: of a batch or two whose answer is on its way."""


class ExpectedResult(NamedTuple):
    """An open task."""

    future: ComputeFuture[Any]
    target: Target
    group: str


class PendingTasks:
    """Open tasks by id, and early results."""

    def __init__(self, max_early: int = MAX_EARLY, max_early_bytes: int = MAX_EARLY_BYTES) -> None:
        self.missed: bool = False
        self.duplicates: int = 0
        self._expected: dict[str, ExpectedResult] = {}
        self._early: dict[str, Outcome] = {}
        self._early_bytes = 0
        self._max_early = max_early
        self._max_early_bytes = max_early_bytes

    @property
    def open(self) -> int:
        """How many tasks are open."""
        return len(self._expected)

    def expect(self, task_id: str, expected: ExpectedResult) -> Outcome | None:
        """Note that a task has got its id; return its outcome, if that has come already: then it is not open."""
        outcome = self._early.pop(task_id, None)
        if outcome is None:
            self._expected[task_id] = expected
            return None
        self._early_bytes -= len(outcome.body)
        return outcome

    def known(self, task_id: str) -> bool:
        """Return whether this task is open here."""
        return task_id in self._expected

    def pop(self, outcome: Outcome) -> ExpectedResult | None:
        """Return the task that has ended so; None if it is not known (yet): then the outcome is kept, if there is
        room."""
        expected = self._expected.pop(outcome.task_id, None)
        if expected is None:
            self._keep(outcome)
        return expected

    def _keep(self, outcome: Outcome) -> None:
        if outcome.task_id in self._early:
            self.duplicates += 1
        elif (
            len(self._early) >= self._max_early
            or self._early_bytes + len(outcome.body) > self._max_early_bytes
        ):
            self.missed = True
        else:
            self._early[outcome.task_id] = outcome
            self._early_bytes += len(outcome.body)

    def forget_early(self) -> None:
        """Note that no answer is owed any more: what is early now is of other processes, or came twice."""
        self._early.clear()
        self._early_bytes = 0
        self.missed = False

    def clear(self) -> list[ExpectedResult]:
        """Take out all open tasks."""
        expected, self._expected = list(self._expected.values()), {}
        return expected

    def futures(self) -> list[ComputeFuture[Any]]:
        """Return the open futures."""
        return [one.future for one in self._expected.values()]

    def task_ids(self, groups: set[str] | None = None) -> list[str]:
        """Return the ids of open tasks, or of those of some groups."""
        return [name for name, one in self._expected.items() if groups is None or one.group in groups]
