"""What tasks have printed that still run: the end of it, for those who look in from outside.

Programs get it pushed as it comes (`groups.TaskGroups.output`); a command that follows a task asks for it. Owner: the
loop thread.
"""

from __future__ import annotations

from collections.abc import Iterable

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.protocol.frames import Written
from compute_executor.protocol.written_text import followed

MOST = 1_000
"""Running tasks whose output is kept, with up to 128 KiB each; of more, that of the first is not."""


class LiveOutput:
    """The output of running tasks by batch number and position."""

    def __init__(self) -> None:
        self._written: dict[tuple[int, int], Written] = {}

    def add(self, number: int, position: int, part: Written) -> None:
        """Note that a task has written this."""
        known = self._written.pop((number, position), None)
        self._written[number, position] = part if known is None else followed(known, part)
        if len(self._written) > MOST:
            del self._written[next(iter(self._written))]

    def of(self, number: int, position: int) -> Written | None:
        """Return what a task has written, if it runs and has."""
        return self._written.get((number, position))

    def ended(self, outcomes: Iterable[TaskEnded]) -> None:
        """Note that these tasks do not run any more; what is kept of their output is with their outcomes."""
        if self._written:
            for outcome in outcomes:
                self._written.pop((outcome.batch, outcome.position), None)

    def forget(self, number: int, position: int) -> None:
        """Note that this task does not run any more."""
        self._written.pop((number, position), None)

    def all(self) -> list[tuple[int, int, Written]]:
        """Return everything that is kept: batch number, position, text."""
        return [(*key, written) for key, written in self._written.items()]
