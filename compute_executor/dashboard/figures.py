"""What the page shows, made of what a service answers. Plain values: no I/O, no clock; time is an argument."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

ENDED = ("succeeded", "failed", "lost", "cancelled")
KEPT = 300
"""Samples of the history: five minutes, one a second."""


class Sample(NamedTuple):
    """The figures of one moment. ``time`` is a Unix time, ``rate`` in tasks a second."""

    time: float
    rate: float
    queued: int
    running: int
    workers: int


class History:
    """The last samples, and the rate between two of them."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self._ended: dict[str, int] = {}
        self._time = 0.0

    def add(self, groups: Sequence[dict[str, Any]], workers: int, now: float) -> None:
        """Take what the groups count at ``now``. A group that was not seen before counts from then on."""
        ended = {group["id"]: sum(group[name] for name in ENDED) for group in groups}
        gained = sum(count - self._ended.get(group, count) for group, count in ended.items())
        seconds = now - self._time
        rate = max(0, gained) / seconds if self._time and seconds > 0 else 0.0
        queued, running = (sum(group[name] for group in groups) for name in ("queued", "running"))
        self.samples.append(Sample(now, rate, queued, running, workers))
        self._ended, self._time = ended, now


class Progress(NamedTuple):
    """How far a group is: the share that has ended (0 to 1), and the seconds that are left at its present rate."""

    share: float
    left: float | None


def progress(group: dict[str, Any], rate: float) -> Progress:
    """The progress of a group whose tasks end at ``rate`` a second.

    >>> group = {"queued": 40, "running": 10, "succeeded": 45, "failed": 5, "lost": 0, "cancelled": 0}
    >>> progress(group, 10.0)
    Progress(share=0.5, left=5.0)
    """
    ended = sum(group[name] for name in ENDED)
    still_open = group["queued"] + group["running"]
    share = ended / (ended + still_open) if ended + still_open else 1.0
    left = None if not still_open or rate <= 0 else still_open / rate
    return Progress(share, left)


def rates(
    before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]], seconds: float
) -> dict[str, float]:
    """Tasks a second by group, between two answers."""
    ended = {group["id"]: sum(group[name] for name in ENDED) for group in before}
    return {
        group["id"]: max(0, sum(group[name] for name in ENDED) - ended[group["id"]]) / seconds
        for group in after
        if seconds > 0 and group["id"] in ended
    }


class Failure(NamedTuple):
    """Failed tasks with the same error: its text, how many, and one of them."""

    error: str
    tasks: int
    example: str


def failures(tasks: Iterable[dict[str, Any]]) -> list[Failure]:
    """Failed tasks grouped by the text of their error, the most frequent first."""
    counts = Counter[str]()
    examples: dict[str, str] = {}
    for task in tasks:
        error = task["error"] or "(no message)"
        counts[error] += 1
        examples.setdefault(error, task["short"])
    return [Failure(error, count, examples[error]) for error, count in counts.most_common()]
