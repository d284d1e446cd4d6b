"""What the page shows, made of what a service answers. Plain values: no I/O, no clock; time is an argument."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from compute_executor.endpoint_summary import load_of
from compute_executor.failure_kind import kind_of_failure

STATES = ("queued", "running", "succeeded", "failed", "lost", "cancelled")
ENDED = STATES[2:]
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
        self._ended = 0
        self._time = 0.0

    def add(self, counts: dict[str, int], workers: int, now: float) -> None:
        """Take the counts of all tasks by state at ``now``. What a clean-up deletes does not count."""
        ended = sum(counts[name] for name in ENDED)
        seconds = now - self._time
        rate = max(0, ended - self._ended) / seconds if self._time and seconds > 0 else 0.0
        self.samples.append(Sample(now, rate, counts["queued"], counts["running"], workers))
        self._ended, self._time = ended, now

    def corners(self) -> list[Sample]:
        """Return the samples without those that lie between two with the same figures: the same lines with fewer
        points."""
        found: list[Sample] = []
        for one in self.samples:
            if len(found) > 1 and found[-2][1:] == found[-1][1:] == one[1:]:
                found.pop()
            found.append(one)
        return found


class Progress(NamedTuple):
    """How far a group is: the share that has ended (0 to 1), and the seconds that are left at its present rate."""

    share: float
    left: float | None


def progress(group: dict[str, Any], rate: float) -> Progress:
    """Return the progress of a group whose tasks end at ``rate`` a second.

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
    """Return tasks a second by group, between two answers."""
    ended = {group["id"]: sum(group[name] for name in ENDED) for group in before}
    return {
        group["id"]: max(0, sum(group[name] for name in ENDED) - ended[group["id"]]) / seconds
        for group in after
        if seconds > 0 and group["id"] in ended
    }


class Failure(NamedTuple):
    """Failed tasks with errors that are alike: the text of one, how many, and whose it is."""

    error: str
    tasks: int
    example: str


def failures(tasks: Iterable[dict[str, Any]]) -> list[Failure]:
    """Failed tasks grouped by the kind of their error, the most frequent first."""
    counts = Counter[str]()
    firsts: dict[str, tuple[str, str]] = {}
    for task in tasks:
        error = task["error"] or "(no message)"
        kind = kind_of_failure(error)
        counts[kind] += 1
        firsts.setdefault(kind, (error, task["short"]))
    return [Failure(firsts[kind][0], count, firsts[kind][1]) for kind, count in counts.most_common()]


def user_rows(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the users that own these groups, with their tasks by state; who has most that has not ended comes
    first."""
    found: dict[str, dict[str, Any]] = {}
    for group in groups:
        row = found.setdefault(
            group["owner"], {"user": group["owner"], "groups": 0, **dict.fromkeys(STATES, 0)}
        )
        row["groups"] += 1
        for name in STATES:
            row[name] += group[name]
    return sorted(found.values(), key=lambda row: -(row["queued"] + row["running"]))


def endpoint_row(
    endpoint: dict[str, Any], state: dict[str, Any], agent: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return an endpoint: its name, how it is, and the load that it has told of itself. ``agent``: what the service
    tells of one of this package."""
    details = state.get("details") or {}
    shown = ("pending_tasks", "running_tasks", "total_workers", "idle_workers", "managers")
    load = ", ".join(f"{details[name]} {name.replace('_', ' ')}" for name in shown if name in details)
    if isinstance(details.get("workers"), list):  # the service's own
        load = f"{len(details['workers'])} workers, {details['connections']} clients"
    return {
        "id": endpoint["uuid"],
        "name": endpoint.get("display_name") or endpoint.get("name") or endpoint["uuid"],
        "status": state.get("status", "unknown"),
        "load": load if agent is None else load_of(agent),
    }
