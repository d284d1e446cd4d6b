"""Outcomes that a grantor has not stored yet, in numbered reports. No I/O.

The outcomes themselves lie on the disk as well, in the result rings of the workers, until they are stored: this is
only what is known of them in memory.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from compute_executor.endpoint.pool.events import TaskEnded


class NumberedReport(NamedTuple):
    """Outcomes that were reported together. ``through``: how many outcomes there ever were, these included."""

    number: int
    outcomes: list[TaskEnded]
    through: int


class ReportOutbox:
    """The reports in order. Numbers go on over connections."""

    def __init__(self) -> None:
        self._waiting: list[TaskEnded] = []
        self._reports: deque[NumberedReport] = deque()
        self._last = self._put = self._stored = 0

    def add(self, outcomes: list[TaskEnded]) -> None:
        """Note that these have ended."""
        self._waiting += outcomes
        self._put += len(outcomes)

    def close_report(self) -> NumberedReport | None:
        """Return the next report: all that was added since the last one. None if that is nothing."""
        if not self._waiting:
            return None
        self._last += 1
        report = NumberedReport(self._last, self._waiting, self._put)
        self._waiting = []
        self._reports.append(report)
        return report

    def stored(self, number: int) -> list[TaskEnded]:
        """Report up to this number are stored; the outcomes for which that is news."""
        news: list[TaskEnded] = []
        while self._reports and self._reports[0].number <= number:
            report = self._reports.popleft()
            self._stored = report.through
            news += report.outcomes
        return news

    def unstored(self) -> list[NumberedReport]:
        """Return what is to be sent again on a new connection."""
        return list(self._reports)

    def names(self) -> set[tuple[int, int, int]]:
        """Return the tasks, with attempts, whose outcomes are here."""
        outcomes = [*self._waiting, *(one for report in self._reports for one in report.outcomes)]
        return {(one.batch, one.position, one.attempt) for one in outcomes}

    @property
    def progress(self) -> tuple[int, int]:
        """How many outcomes were ever added, and how many of these, the first, are stored."""
        return self._put, self._stored

    @property
    def last(self) -> int:
        """The number of the last report."""
        return self._last

    def holds_through(self, number: int) -> bool:
        """Return whether a report up to this number is not stored."""
        return bool(self._reports) and self._reports[0].number <= number

    @property
    def empty(self) -> bool:
        """Whether everything is stored."""
        return not self._waiting and not self._reports
