"""Start-up: from what the store and the rings of workers say to what is to be done.

    open batches  ->  an outcome is stored            done
                      begun (rings), retries left     queued again, as the next attempt
                      begun, none left                done, LOST
                      anything else                   queued

"Begun" is known without a commit: see `endpoint.rings`. What follows from it is stored before the rings are
cleared and before any worker starts.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from compute_executor.endpoint import rings
from compute_executor.protocol.frames import Reason
from compute_executor.service.dispatch import FIRST_ATTEMPT
from compute_executor.service.events import lost_entry
from compute_executor.service.open_batches import OpenBatches
from compute_executor.service.outcomes import Entry
from compute_executor.service.reader import Reader
from compute_executor.service.rows import BatchRow

log = logging.getLogger(__name__)

Attempts = dict[int, dict[int, int]]  # by batch number, then position

RESTARTED = "the service ended while this task ran, and its worker with it"


class Found(NamedTuple):
    """What was open at the end of the run before: outcomes to be stored, attempts to be stored."""

    lost: list[Entry]
    again: list[tuple[int, int, int]]


def restore(read: Reader, batches: OpenBatches, folder: Path) -> Found:
    """Queue what is open; what has begun and is not done becomes an outcome or another attempt."""
    begun, due = _latest(rings.begun(folder)), _due(read)
    found = Found([], [])
    for row in list(read.open_batches()):
        done, attempts = set(read.ended_positions(row.number)), dict(due.get(row.number, {}))
        lost = _judge(row, begun.get(row.number, {}), done, attempts)
        found.again.extend((row.number, position, attempt) for position, attempt in attempts.items())
        batch = batches.restore(row, done, attempts)
        for position, attempt in lost.items():
            batch.end(position)
            found.lost.append(lost_entry(batch, position, attempt, Reason(RESTARTED)))
    if found.lost or found.again:
        log.warning("%d tasks were lost by a restart, %d run again", len(found.lost), len(found.again))
    return found


def _judge(row: BatchRow, begun: dict[int, int], done: set[int], attempts: dict[int, int]) -> dict[int, int]:
    """The tasks that had begun and may not run again, with their attempts. Those that may get their next attempt in
    ``attempts``."""
    lost = {}
    for position, attempt in begun.items():
        if position in done or attempt < attempts.get(position, FIRST_ATTEMPT):
            continue
        if attempt > row.options.retries:
            lost[position] = attempt
        else:
            attempts[position] = attempt + 1
    return lost


def _latest(begun: set[tuple[int, int, int]]) -> Attempts:
    """The highest attempt of each task that has begun."""
    latest: Attempts = defaultdict(dict)
    for batch, position, attempt in begun:
        latest[batch][position] = max(attempt, latest[batch].get(position, 0))
    return latest


def _due(read: Reader) -> Attempts:
    due: Attempts = defaultdict(dict)
    for batch, position, attempt in read.attempts_due():
        due[batch][position] = attempt
    return due


def orphaned_pools(pools: list[bytes], exists: Callable[[bytes], bool]) -> list[bytes]:
    """Pools that have open tasks and are not known: their tasks can never run."""
    return [pool for pool in pools if not exists(pool)]
