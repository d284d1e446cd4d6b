"""When tasks were committed, sent to workers and reported back: kept only while somebody traces.

What becomes of it: compute_executor.tracing. One for the process, as is the loop thread that owns it. ``marks`` is
None while nobody traces, and that is all a task then costs: one look at it per chunk.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

Marks = dict[tuple[int, int], list[float]]
"""(batch number, position) to Unix times: sent, reported; at position WHOLE: committed."""

WHOLE = -1
"""Instead of a position: what concerns all of a batch."""

MOST = 200_000
"""Tasks remembered, also those of clients that do not trace; the oldest half makes room."""

marks: Marks | None = None
_watching = 0


def watch() -> None:
    """Note that somebody traces."""
    global marks, _watching  # noqa: PLW0603 - one for the process
    _watching += 1
    marks = {} if marks is None else marks


def unwatch() -> None:
    """Note that one less traces."""
    global marks, _watching  # noqa: PLW0603 - one for the process
    _watching -= 1
    if not _watching:
        marks = None


def committed(marked: Marks, batch: int) -> None:
    """Note that this batch is stored, and may run from now on."""
    marked[batch, WHOLE] = [time.time()]


def sent(marked: Marks, tasks: Iterable[Sequence[Any]]) -> None:
    """Note that these (batch, position, ...) have been sent to a worker."""
    now = time.time()
    if len(marked) > MOST:
        for key in list(marked)[: MOST // 2]:
            del marked[key]
    for task in tasks:
        marked[task[0], task[1]] = [now]


def reported(marked: Marks, outcomes: Iterable[Sequence[Any]]) -> None:
    """Note that the outcomes (batch, position, ...) of these have come from a worker."""
    now = time.time()
    for outcome in outcomes:
        known = marked.get((outcome[0], outcome[1]))
        if known is not None:
            known.append(now)
