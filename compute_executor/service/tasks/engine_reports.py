"""What engines report, and what it changes: the service's side of the seam to `endpoint.pool.engine`.

Owner: the loop thread. Each report is checked by `dispatch` (does this attempt still count?), then its outcome
goes to the store, and only from there to those who wait for it.
"""

from __future__ import annotations

import asyncio
import logging

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.worker import trace
from compute_executor.protocol.frames import CANCELLED, LOST, Body, Reason, Written
from compute_executor.protocol.ids import task_uuid
from compute_executor.service.pools.pools import Pools
from compute_executor.service.scheduling.dispatch import Dispatch, EndedBatch, Task
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.store.committer import Committer
from compute_executor.service.tasks.cancelling import BEFORE, STOPPED
from compute_executor.service.tasks.functions import Functions
from compute_executor.service.tasks.groups import TaskGroups
from compute_executor.service.tasks.live_output import LiveOutput
from compute_executor.service.tasks.open_batches import OpenBatches
from compute_executor.service.tasks.outcomes import Outcomes, made_here
from compute_executor.service.tasks.queue_control import QueueControl
from compute_executor.service.tasks.recheck import AuthorizationRecheck
from compute_executor.service.tasks.unstored import Entry

log: logging.Logger = logging.getLogger(__name__)
task_log: logging.Logger = logging.getLogger("compute_executor.task")


class EngineReports:
    """Given to an engine, which calls it on the loop thread. A report about unknown or past things is ignored."""

    def __init__(
        self,
        *,
        dispatch: Dispatch,
        batches: OpenBatches,
        outcomes: Outcomes,
        functions: Functions,
        groups: TaskGroups,
        pools: Pools,
        queues: QueueControl,
        recheck: AuthorizationRecheck,
        stopping: set[tuple[int, int]],
        live: LiveOutput,
        committer: Committer,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._dispatch = dispatch
        self._batches = batches
        self._outcomes = outcomes
        self._functions = functions
        self._groups = groups
        self._pools = pools
        self._queues = queues
        self._recheck = recheck
        self._stopping = stopping
        self._live = live
        self._committer = committer
        self._loop = loop

    def take(self, pool: bytes, limit: int) -> list[Assignment]:
        """Lease up to ``limit`` tasks to be run now; none while outcomes cannot be stored."""
        if self._outcomes.stalled:
            return []
        while True:
            taken = self._batches.take(pool, limit)
            if taken.denied:
                self._recheck.refuse(taken.denied)
                self._loop.call_soon(self._queues.shrunk, pool)
            if taken.assignments or not taken.denied:
                break
        if self._dispatch.deferring:
            self._loop.call_soon(self._queues.wake_released)
        return taken.assignments

    def function_code(self, number: int) -> Body:
        """Return the code of the function that assignments call ``number``."""
        return self._functions.code(number)

    def began(self, pool: bytes, tasks: list[tuple[int, int, int, float]]) -> None:  # noqa: ARG002
        """Note that workers have begun these tasks: (batch, position, attempt, Unix time)."""
        self._groups.began(self._dispatch.began(tasks))

    def ended(self, pool: bytes, outcomes: list[TaskEnded], *, kept: bool = False) -> None:
        """Note that tasks have ended. ``kept``: each is in the result ring of its worker until it is stored."""
        if trace.marks is not None:
            trace.reported(trace.marks, outcomes)
        if self._stopping:
            self._stopping.difference_update((one.batch, one.position) for one in outcomes)
        self._live.ended(outcomes)
        entries = self._dispatch.ended(outcomes)
        if not self._pools.to_program(pool):
            _log_ends(entries)
        self._outcomes.put(entries, kept=kept)
        self._queues.shrunk(pool)

    def progress(self) -> tuple[int, int]:
        """Return how many outcomes ever came, and how many of these are stored."""
        return self._outcomes.progress

    def returned(self, pool: bytes, tasks: list[Task]) -> None:
        """Note that these (batch, position, attempt) have surely not begun; they are first in the queue again, apart
        from those that were being stopped: these end."""
        self._dispatch.returned(tasks)
        if self._queues.recalling:
            self._end_recalled(pool, tasks)
        if self._stopping:
            self._end_stopped(pool, tasks)
        if message := self._pools.failure(pool):  # no engine will take them
            self._queues.end_queued(pool, message)

    def _end_recalled(self, pool: bytes, tasks: list[Task]) -> None:
        """Note that an endpoint gives these back: what was to be cancelled ends."""
        for number, position, _ in tasks:
            batch = self._dispatch.by_number(number)
            if (
                batch is not None
                and (number, position) in self._queues.recalling
                and self._dispatch.cancel(batch, [position])[0]
            ):
                self._queues.recalling[number, position] = True
                self._outcomes.put(made_here([(batch, position)], CANCELLED, BEFORE))
        self._queues.shrunk(pool)

    def _end_stopped(self, pool: bytes, tasks: list[Task]) -> None:
        """Note that a worker was ended to stop the task that it ran: these were with it and had not begun."""
        for number, position, _ in tasks:
            if (number, position) in self._stopping:
                self._stopping.discard((number, position))
                batch = self._dispatch.by_number(number)
                if batch is not None and self._dispatch.cancel(batch, [position])[0]:
                    self._outcomes.put(made_here([(batch, position)], CANCELLED, BEFORE))
        self._queues.shrunk(pool)

    def lost(
        self,
        pool: bytes,
        batch: int,
        position: int,
        attempt: int,
        reason: Reason,
        *,
        output: Written | None = None,
        worker: int = 0,
    ) -> None:
        """Note that the worker died under this task: run it again if retries are left, else that is its outcome."""
        self._live.forget(batch, position)
        stopped = (batch, position) in self._stopping
        self._stopping.discard((batch, position))
        began = self._running_since(batch, position)
        lost = self._dispatch.lost(batch, position, attempt, final=stopped)
        if lost is None:
            return
        if stopped:
            batch_stopped, ended = cancelled_entry(lost.batch, position, attempt)
            self._outcomes.put([(batch_stopped, ended._replace(began=began))])
            self._queues.shrunk(pool)
            return
        if lost.again:
            # Runs again at once; if this very write is lost in a crash, the worker's ring still tells of it.
            due = lost.attempt
            self._committer.soon(lambda writer: writer.next_attempts([(batch, position, due)]), _logged)
            self._queues.wake(pool)
            return
        batch_lost, ended = lost_entry(lost.batch, position, attempt, reason)
        self._outcomes.put([(batch_lost, ended._replace(output=output, worker=worker, began=began))])
        self._queues.shrunk(pool)

    def _running_since(self, number: int, position: int) -> float:
        """When a task began that runs; 0.0: that was not told."""
        batch = self._dispatch.by_number(number)
        if batch is None or not 0 <= position < batch.count:
            return 0.0
        return batch.running_since(position) or 0.0

    def broken(self, pool: bytes, message: str) -> None:
        """Note that the workers of this pool cannot start: what is queued ends so, and what comes later is
        refused."""
        self._pools.failed(pool, message)
        self._queues.end_queued(pool, message)

    def output(self, pool: bytes, batch: int, position: int, part: Written) -> None:
        """Pass on what a task has written so far, or what it has left running: to those who listen, or into the
        log."""
        found: OpenBatch | EndedBatch | None = self._dispatch.by_number(batch)
        if found is not None:
            self._live.add(batch, position, part)
        else:
            found = self._dispatch.finished(batch)
        if found is None:
            return
        if self._pools.to_program(pool):
            self._groups.output(found, position, part)
        else:
            _log_output(found, position, part)


def lost_entry(batch: OpenBatch, position: int, attempt: int, reason: Reason) -> Entry:
    """Return the outcome of a task whose worker died, after so many attempts."""
    reported = Reason(reason.message, reason.exit_code, reason.began, attempt)
    return made_here([(batch, position)], LOST, reported)[0]


def cancelled_entry(batch: OpenBatch, position: int, attempt: int) -> Entry:
    """Return the outcome of a task that was stopped while it ran."""
    return made_here([(batch, position)], CANCELLED, Reason(STOPPED, None, True, attempt))[0]


def _log_ends(entries: list[Entry]) -> None:
    """Write the end of what these tasks have written, into the log."""
    for batch, outcome in entries:
        if outcome.output is not None:
            _log_output(batch, outcome.position, outcome.output)


def _log_output(batch: OpenBatch | EndedBatch, position: int, part: Written) -> None:
    """Write part of what a task wrote to its standard output and error: line by line, made harmless."""
    name = task_uuid(batch.prefix, position)
    for start, text in zip(part.starts, (part.out, part.err), strict=False):
        if text and start:
            task_log.info("task %s: [%d bytes before]", name, start)
        for line in text.decode("utf-8", "backslashreplace").splitlines():
            task_log.info("task %s: %s", name, harmless(line))


def harmless(line: str) -> str:
    """Return text without control characters: whoever reads the log has a terminal."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)


def _logged(_result: object, error: Exception | None) -> None:
    if error is not None:
        log.error("that a task runs again could not be stored: %s", error)
