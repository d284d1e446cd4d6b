"""Start-up: from what the store, the result rings and the begun logs of workers say to what is to be done.

    open batches  ->  an outcome is stored            done
                      finished (result rings)         done, with what the worker put there
                      begun (begun logs), with retries queued again, as the next attempt
                      begun, none left                done, LOST
                      anything else                   queued

"Finished" and "begun" are known without a commit: see `endpoint.pool.result_files` and
`endpoint.worker.begun_log`. What follows from them is stored before they are cleared and before any worker starts.
The first outcome that was stored counts.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from compute_executor.endpoint.pool import leftovers
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.worker import begun_log
from compute_executor.protocol.frames import Body, Reason
from compute_executor.service.pools.pools import NO_POOL, default_pool_id
from compute_executor.service.scheduling.lifecycle import Event
from compute_executor.service.scheduling.queues import FIRST_ATTEMPT
from compute_executor.service.store.reader import Reader
from compute_executor.service.store.rows import BatchRow
from compute_executor.service.tasks.engine_reports import lost_entry
from compute_executor.service.tasks.open_batches import OpenBatches
from compute_executor.service.tasks.unstored import Entry

log: logging.Logger = logging.getLogger(__name__)

Attempts = dict[int, dict[int, int]]  # by batch number, then position

Finished = dict[int, dict[int, TaskEnded]]  # by batch number, then position

RESTARTED = "the service ended while this task ran, and its worker with it"


class RecoveredState(NamedTuple):
    """What was open at the end of the run before: outcomes to be stored, attempts to be stored."""

    ended: list[Entry]
    again: list[tuple[int, int, int]]


def restore(
    read: Reader, batches: OpenBatches, folder: Path, readable: Callable[[Body], bool]
) -> RecoveredState:
    """Queue what is open; what has finished, or has begun and is not done, becomes an outcome or another attempt.
    ``readable``: whether a result that is said to lie in a file does."""
    begun, due, results = _latest(begun_log.begun(folder)), _due(read), _finished(folder, readable)
    found, lost_count = RecoveredState([], []), 0
    for row in map(_in_pool_of_owner, list(read.open_batches())):
        done, attempts = set(read.ended_positions(row.number)), dict(due.get(row.number, {}))
        finished = _counting(row, results.get(row.number, {}), done, attempts)
        lost = _judge(row, begun.get(row.number, {}), done.union(finished), attempts)
        found.again.extend((row.number, position, attempt) for position, attempt in attempts.items())
        batch = batches.restore(row, done, attempts)
        found.ended.extend((batch, outcome) for outcome in finished.values())
        found.ended.extend(
            lost_entry(batch, position, attempt, Reason(RESTARTED)) for position, attempt in lost.items()
        )
        for position in (*finished, *lost):
            batch.apply(position, Event.RECOVER)
        lost_count += len(lost)
    if found.ended or found.again:
        saved = len(found.ended) - lost_count
        log.warning(
            "a restart found %d results; %d tasks were lost, %d run again",
            saved,
            lost_count,
            len(found.again),
        )
    return found


def _in_pool_of_owner(row: BatchRow) -> BatchRow:
    """In version 0.1.0 all users shared one default pool."""
    return row._replace(pool=default_pool_id(row.owner)) if row.pool == NO_POOL else row


def _finished(folder: Path, readable: Callable[[Body], bool]) -> Finished:
    """Return what workers had finished, each task at its highest attempt. A result whose file is gone is none."""
    finished: Finished = defaultdict(dict)
    for outcome in leftovers.finished(folder):
        known = finished[outcome.batch].get(outcome.position)
        if (known is None or known.attempt < outcome.attempt) and readable(outcome.body):
            finished[outcome.batch][outcome.position] = outcome
    return finished


def _counting(
    row: BatchRow, results: dict[int, TaskEnded], done: set[int], attempts: dict[int, int]
) -> dict[int, TaskEnded]:
    """Return those of the results that are outcomes: no other is stored, and no later attempt is due."""
    return {
        position: outcome
        for position, outcome in results.items()
        if position < row.size
        and position not in done
        and outcome.attempt >= attempts.get(position, FIRST_ATTEMPT)
    }


def _judge(row: BatchRow, begun: dict[int, int], done: set[int], attempts: dict[int, int]) -> dict[int, int]:
    """Return the tasks that had begun and may not run again, with their attempts. Those that may get their next
    attempt in ``attempts``."""
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
    """Return the highest attempt of each task that has begun."""
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
