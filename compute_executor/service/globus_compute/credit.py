"""How many tasks a user endpoint is given ahead. No I/O, no clock: seconds are passed in.

A stock endpoint takes all that lies in its queue into memory and acknowledges it, so what it is given is lost when
it is killed, and can be cancelled no more. It reports results twice a second; to have its workers busy from one
report to the next it needs as much work as they do in that time, and a little more: `AHEAD` seconds for each worker,
by what its function has lately taken there. A function of which no task has ended there is taken to need `UNKNOWN`
seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

Task = tuple[int, int]  # batch and position

AHEAD = 1.5
"""Seconds of work for each worker: half a second until a result is sent, the way here and back, and half a second
until the next report if a task just missed one. With it two threads of an endpoint ended 10,000 no-ops at 495 and 530
a second, and at 496 and 508 when given all at once (runs by turns, `benchmarks.stock`)."""
LEAST = 2
"""Tasks for each worker, however long they take: the one it runs, and the next."""
UNKNOWN = 0.1
"""Seconds that a task of an unknown function is taken to need."""
SHORTEST = 0.001
"""Seconds that a task costs at least: an endpoint itself needs more than that for one, which its workers do not
report. It ends some 500 a second, so the 1,500 that even a single worker is given last it two reports."""
STEP = 32
"""Tasks that are given in one go, and so by how many the credit may be exceeded."""
MOST = 10_000
"""Tasks of one user endpoint that are out, at most."""
WEIGHT = 0.2
"""Of the newest task in what its function is taken to need."""
FACTOR = 2.0
"""By which one task may differ from what its function was taken to need; it counts as that if it differs by more.
Some no-ops of a busy endpoint take a hundred times as long as most: their mean was 5 ms, their median 0.5 ms."""
FUNCTIONS = 1_000
"""Functions that are remembered."""


class Credit:
    """Of one user endpoint. Owner: the loop thread."""

    def __init__(self) -> None:
        self.workers = 1
        self._out: dict[Task, tuple[int | None, float]] = {}  # function and seconds of each
        self._ahead = 0.0
        self._seconds: OrderedDict[int, float] = OrderedDict()

    def room(self) -> int:
        """Return how many tasks it may be given now; when they are, there may be room for more."""
        least = LEAST * self.workers - len(self._out)
        if self._ahead < AHEAD * self.workers:
            least = max(least, STEP)
        return max(0, min(least, MOST - len(self._out)))

    def given(self, task: Task, function: int | None) -> None:
        """Note that it was given a task of a function (None: of one that is not known any more)."""
        self.dropped(task)
        seconds = UNKNOWN if function is None else self._seconds.get(function, UNKNOWN)
        self._out[task] = (function, seconds)
        self._ahead += seconds

    def ended(self, task: Task, seconds: float | None) -> None:
        """Note that a task has ended after so many seconds in its worker, if that is known."""
        function = self.dropped(task)
        if function is None or seconds is None:
            return
        seconds = max(SHORTEST, seconds)
        before = self._seconds.pop(function, seconds)
        told = min(max(seconds, before / FACTOR), before * FACTOR)
        self._seconds[function] = before + WEIGHT * (told - before)
        if len(self._seconds) > FUNCTIONS:
            self._seconds.popitem(last=False)

    def dropped(self, task: Task) -> int | None:
        """Note that a task is not there any more. Return its function, if that is known."""
        function, seconds = self._out.pop(task, (None, 0.0))
        self._ahead = self._ahead - seconds if self._out else 0.0
        return function


def workers(state: dict[str, Any]) -> int:
    """Return how many workers an endpoint has, or would have if there were enough to do, by its heartbeat: one that
    starts blocks as needed counts what waits, and has none before."""
    scaled = _number(state, "max_blocks") * _number(state, "nodes_per_block", 1)
    scaled *= _number(state, "max_workers_per_node", 1)
    return max(1, _number(state, "total_workers"), scaled if state.get("scaling_enabled") else 0)


def _number(state: dict[str, Any], name: str, otherwise: int = 0) -> int:
    found = state.get(name)
    return int(found) if isinstance(found, (int, float)) and 0 < found < MOST else otherwise
