"""The holder's side of a lease: takes tasks from a grantor, has an engine run them, and keeps every outcome until the
grantor has stored it.

    Tasks -> held -> the engine takes -> ended -> outbox -> Report ... Stored
                            \\-> lost  -> outbox, as an outcome with the status LOST

A connection comes and goes (`connected`, `disconnected`); nothing ends because of it. Implements
`endpoint.pool.events.EngineEvents`. Owner: the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from compute_executor.endpoint.leases import credit, frames
from compute_executor.endpoint.leases.bodies import BodyExchange, BodyTrouble
from compute_executor.endpoint.leases.body_needs import BodyNeeds
from compute_executor.endpoint.leases.function_table import FunctionTable
from compute_executor.endpoint.leases.held_tasks import HeldTasks
from compute_executor.endpoint.leases.outbox import NumberedReport, ReportOutbox
from compute_executor.endpoint.pool.engine import Engine
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.worker.messages import Key
from compute_executor.protocol.frames import EXCEPTION, LOST, VALUE, Blob, Body, Reason, Written

log: logging.Logger = logging.getLogger(__name__)

LOOK_EVERY = 0.25
"""Seconds between two looks at whether tasks take longer than was expected, while some wait here."""

FULL_PAUSE = 5.0
"""Seconds without credit after a body could not be written: the disk may have room by then."""


GONE_AFTER = 60.0
"""Seconds without a grantor after which shared values go that no task here needs: nobody may ever say that they
can."""


class HolderConnection(Protocol):
    """The way to the grantor, as long as it is open."""

    def put(self, frame: object) -> None:
        """Send this frame in its turn."""

    @property
    def bodies(self) -> BodyExchange:
        """The bodies on their way."""
        ...

    @property
    def clock_ahead(self) -> float:
        """Seconds that this machine's clock is ahead of the grantor's."""
        ...


Recall = Callable[[list[frames.TaskName], Callable[[], None]], None]
"""Asks an engine whose workers are elsewhere for tasks back, and calls the function when they have come, if they
do."""


class Leftovers(Protocol):
    """What is known of tasks that an earlier process of this holder had: see `agent.recovery`."""

    def outcome(self, key: Key) -> TaskEnded | None:
        """Return how this task ended: with a result, or lost, because it had begun. None: it has surely not begun."""
        ...

    def settled(self) -> None:
        """Note that everything that was asked about is stored: forget the rest."""


class LeaseHolder:
    """See the module. ``pool``: what the engine calls its pool; ``workers``: how many tasks can run at a time;
    ``stored``: called with outcomes that are stored, so that their files can go; ``room``: bytes of shared values
    that are kept although no task needs them now; ``discard``: called with the names of bodies whose files can go;
    ``shared_dropped``: with those of shared values that nobody needs any more."""

    def __init__(
        self,
        pool: bytes,
        workers: Callable[[], int],
        *,
        leftovers: Leftovers | None = None,
        stored: Callable[[list[TaskEnded]], object] = lambda _: None,
        failed: Callable[[str], object] = lambda _: None,
        recall: Recall | None = None,
        waiting: Callable[[int], object] = lambda _: None,
        prefetch: float = credit.PREFETCH,
        room: int = 0,
        discard: Callable[[list[str]], object] = lambda _: None,
        shared_dropped: Callable[[list[str]], object] = lambda _: None,
    ) -> None:
        self._pool = pool
        self._workers = workers
        self._leftovers = leftovers
        self._stored = stored
        self._failed = failed
        self._recall_elsewhere = recall
        self._waiting_there = waiting
        self._credit = credit.HolderCredit(time.monotonic(), prefetch)
        self._recalled: set[frames.TaskName] = set()
        self._needs = BodyNeeds(room)
        self._gone_timer: asyncio.TimerHandle | None = None
        self._discard = discard
        self._shared_dropped = shared_dropped
        self._held = HeldTasks(self._release_bodies)
        self._outbox = ReportOutbox()
        self._functions = FunctionTable()
        self._failure = ""  # why no worker can start
        self._connection: HolderConnection | None = None
        self._reporting = self._looking = False
        self._recovered_through = 0  # the report with the last leftovers
        self.draining: bool = False
        self.engine: Engine

    # -- for whoever shows it -----------------------------------------------------------------------------

    @property
    def open(self) -> int:
        """How many tasks are held."""
        return len(self._held)

    @property
    def running(self) -> int:
        """How many of them are with the engine."""
        return len(self._held) - self._held.waiting

    @property
    def unstored(self) -> int:
        """How many outcomes the grantor has not stored."""
        put, stored = self._outbox.progress
        return put - stored

    @property
    def idle(self) -> bool:
        """Whether nothing is held and everything is stored."""
        return not len(self._held) and self._outbox.empty

    # -- the connection -----------------------------------------------------------------------------------

    def connected(self, connection: HolderConnection) -> None:
        """Note that there is a connection; the grantor's `Leased` comes first on it."""
        self._connection = connection
        if self._gone_timer is not None:
            self._gone_timer.cancel()
        self._credit.new_connection()
        self._functions.new_connection()
        if self._failure:
            self._send(frames.WorkersFailed(self._failure))

    def disconnected(self) -> None:
        """Note that it is gone. What runs goes on, and what has ended is kept."""
        self._connection = None
        self._gone_timer = asyncio.get_running_loop().call_later(GONE_AFTER, self._grantor_is_gone)

    def _grantor_is_gone(self) -> None:
        self._drop_shared(self._needs.shared_here())

    def _send(self, frame: object) -> None:
        if self._connection is not None:
            self._connection.put(frame)

    # -- from the grantor -----------------------------------------------------------------------------------

    def received(self, frame: object) -> None:
        """Note that a frame has come."""
        handler: Callable[[LeaseHolder, Any], None] = _HANDLERS[type(frame)]
        handler(self, frame)

    def _on_leased(self, frame: frames.Leased) -> None:
        named, reported = set(frame.tasks), self._outbox.names()
        self._drop([key for key in self._held.keys if key not in named])
        self._held.give_back(
            [key[:2] for key in self._needs.incomplete()]
        )  # what was on its way is asked for anew
        unknown = [key for key in frame.tasks if key not in self._held and key not in reported]
        found = [(key, self._leftovers.outcome(key) if self._leftovers else None) for key in unknown]
        for report in self._outbox.unstored():
            self._send_report(report)
        self._outbox.add([outcome for _, outcome in found if outcome is not None])
        self._report()
        self._recovered_through = self._outbox.last
        if back := [key for key, outcome in found if outcome is None]:
            self._send(frames.TasksReturned(back))
        if shared := self._needs.shared_here():
            self._send(frames.SharedHeld(shared))
        self._send(frames.Settled())
        self._send_credit(at_once=True)
        self._forget_leftovers()

    def _drop(self, keys: list[Key]) -> None:
        """Note that the grantor has leased these to us no more."""
        if not keys:
            return
        log.warning("%d tasks are no longer leased to this machine: they are dropped", len(keys))
        names = [key[:2] for key in keys]
        self._held.give_back(names)
        for name in self.engine.withdraw(self._pool, names):
            self._held.remove(next(key for key in keys if key[:2] == name))
        self.engine.stop_tasks(self._pool, names)

    def _on_functions(self, frame: frames.FunctionCodes) -> None:
        assert self._connection is not None
        for number, code in frame.functions:
            self._functions.add(number, code)
            if isinstance(code, Blob):
                self._needs.lasts(code.name)

    def _on_tasks(self, frame: frames.Tasks) -> None:
        connection = self._connection
        assert connection is not None
        self._credit.received(len(frame.tasks))
        if not self._held.running():
            self._credit.progressed(time.monotonic())
        shared = dict(frame.shared)
        for sent in frame.tasks:
            task = sent._replace(function=self._functions.local(sent.function))
            self._held.add(task)
            self._gather(task, shared.get(task.batch, ()), connection)
        self.engine.wake(self._pool)
        self._send_credit()
        self._keep_looking()

    def _gather(self, task: Assignment, shared: Sequence[Blob], connection: HolderConnection) -> None:
        """Make a task ready when all that it needs is here."""
        key = task[:3]
        own = [body for body in (task.body, self._functions.code(task.function)) if isinstance(body, Blob)]
        wanted = self._needs.add(key, own, shared) if own or shared else []
        if self._needs.complete(key):
            self._held.ready(key)
        for blob in wanted:
            connection.bodies.fetch(blob, partial(self._came, blob))

    def _came(self, blob: Blob, trouble: BodyTrouble | None) -> None:
        if trouble is not None:
            self._not_fetched(blob, trouble)
        elif not self._needs.needed(blob.name):
            self._discard([blob.name])
        else:
            for key in self._needs.came(blob):
                self._held.ready(key)
            self.engine.wake(self._pool)

    def _not_fetched(self, blob: Blob, trouble: BodyTrouble) -> None:
        """Note that a body cannot come. Where there is no room for it here, others may have some; else it is
        nowhere."""
        waiting = self._needs.waiting_for(blob.name)
        log.warning("%d tasks cannot run here: %s", len(waiting), trouble.text)
        if trouble.here:
            self._credit.pause(time.monotonic() + FULL_PAUSE)
            asyncio.get_running_loop().call_later(FULL_PAUSE + 0.01, self._send_credit)
            self._return(self._held.give_back([key[:2] for key in waiting]))
            return
        reason = Reason(f"{blob.size} bytes that it needs did not come: {trouble.text}", began=False)
        for key in waiting:
            self.lost(self._pool, *key, reason)

    def _release_bodies(self, key: Key) -> None:
        if unneeded := self._needs.remove(key):
            self._discard(unneeded)

    def shared_by(self, batch: int) -> Sequence[Blob]:
        """Return what the tasks of a batch share, as long as one of them is held."""
        return self._needs.shared_by(batch)

    def _on_shared_dropped(self, frame: frames.SharedDropped) -> None:
        self._drop_shared(frame.names)

    def _drop_shared(self, names: list[str]) -> None:
        if unneeded := self._needs.drop(names):
            self._discard(unneeded)
        self._shared_dropped(names)

    def _on_recall(self, frame: frames.Recall) -> None:
        def answer() -> None:
            self._recalled.difference_update(frame.tasks)
            self._send(frames.Recalled(frame.request))
            self._send_credit()

        self._recall(frame.tasks)
        held = [key[:2] for key in self._running_keys(frame.tasks)]
        if held and self._recall_elsewhere is not None:
            self._recalled.update(held)
            self._recall_elsewhere(held, answer)
        else:
            answer()

    def _recall(self, tasks: list[frames.TaskName]) -> None:
        """Give back those of these that have not begun."""
        self._held.came_back(self._running_keys(self.engine.withdraw(self._pool, tasks)))
        self._return(self._held.give_back(tasks))

    def _running_keys(self, names: Iterable[tuple[int, int]]) -> list[Key]:
        wanted = set(names)
        return [key for key in self._held.running() if key[:2] in wanted]

    def _return(self, keys: list[Key]) -> None:
        if keys:
            self._send(frames.TasksReturned(keys))

    def _on_stop(self, frame: frames.StopTasks) -> None:
        self._recall(frame.tasks)
        self.engine.stop_tasks(self._pool, frame.tasks)

    def _on_stored(self, frame: frames.Stored) -> None:
        self._stored(self._outbox.stored(frame.report))
        self._forget_leftovers()
        self.engine.wake(self._pool)  # a worker whose ring is full has room now

    def _forget_leftovers(self) -> None:
        """Once what the process before us left is stored, as far as the grantor asked for it, the rest is history."""
        if self._leftovers is not None and not self._outbox.holds_through(self._recovered_through):
            self._leftovers.settled()
            self._leftovers = None

    def _on_queued(self, frame: frames.TasksQueued) -> None:
        self._waiting_there(frame.count)

    def _on_body_wanted(self, frame: frames.BodyWanted) -> None:
        assert self._connection is not None
        self._connection.bodies.wanted(frame)

    def _on_body_part(self, frame: frames.BodyPart) -> None:
        assert self._connection is not None
        self._connection.bodies.part(frame)

    # -- credit -------------------------------------------------------------------------------------------

    @property
    def mean(self) -> float:
        """Seconds that tasks take, as far as is known."""
        return self._credit.mean(self.running, time.monotonic()) or 0.0

    def target(self) -> int:
        """Return how many tasks to hold."""
        if self.draining:
            return 0
        return self._credit.target(self._workers(), self.running, time.monotonic())

    def _send_credit(self, *, at_once: bool = False) -> None:
        limit = self._credit.next_limit(self.target(), len(self._held), at_once=at_once)
        if limit is not None:
            self._send(frames.CreditLimit(limit))

    def workers_changed(self) -> None:
        """Note that there are more or fewer workers than before."""
        self._send_credit()

    def _keep_looking(self) -> None:
        if not self._looking and self._held.waiting:
            self._looking = True
            asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)

    def _look(self) -> None:
        """Give back what others could run sooner."""
        self._looking = False
        if self._connection is not None:
            keep = self.target() - self.running
            if self._held.waiting > 2 * max(keep, 1):
                self._return(self._held.give_back_newest(keep))
        self._keep_looking()

    def drain(self) -> None:
        """Take no more, give back what has not begun."""
        self.draining = True
        self._recall([key[:2] for key in self._held.keys])
        self._send_credit(at_once=True)

    # -- EngineEvents -------------------------------------------------------------------------------------

    def take(self, pool: bytes, limit: int) -> list[Assignment]:  # noqa: ARG002 - there is one pool
        """See EngineEvents."""
        return self._held.take(limit)

    def function_code(self, number: int) -> Body:
        """See EngineEvents."""
        return self._functions.code(number)

    def began(self, pool: bytes, tasks: list[tuple[int, int, int, float]]) -> None:  # noqa: ARG002
        """See EngineEvents."""
        if self._connection is not None:
            ahead = self._connection.clock_ahead
            self._send(frames.TasksBegan([(*task[:3], task[3] - ahead) for task in tasks]))

    def ended(self, pool: bytes, outcomes: list[TaskEnded], *, kept: bool = False) -> None:  # noqa: ARG002
        """See EngineEvents."""
        for one in outcomes:
            self._held.remove((one.batch, one.position, one.attempt))
        self._credit.learn([one.ended - one.began for one in outcomes if one.status in (VALUE, EXCEPTION)])
        self._credit.progressed(time.monotonic())
        self._outbox.add(outcomes)
        self._report_soon()

    def progress(self) -> tuple[int, int]:
        """See EngineEvents."""
        return self._outbox.progress

    def returned(self, pool: bytes, tasks: list[Key]) -> None:  # noqa: ARG002
        """See EngineEvents."""
        self._held.came_back(tasks)
        unwanted = [key[:2] for key in tasks if self.draining or key[:2] in self._recalled]
        if unwanted:
            self._return(self._held.give_back(unwanted))

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
        """See EngineEvents."""
        outcome = TaskEnded(
            batch, position, attempt, LOST, frames.encode(reason), 0.0, time.time(), output, worker
        )
        self.ended(pool, [outcome])

    def broken(self, pool: bytes, message: str) -> None:  # noqa: ARG002
        """See EngineEvents."""
        self._failure = message
        self._failed(message)
        self._send(frames.WorkersFailed(message))  # first: else what is given back comes again
        self._return(self._held.give_back_newest(0))

    def working(self) -> None:
        """Note that workers can start again, as far as is known."""
        self._failure = ""
        self._send(frames.WorkersFailed(""))
        self._send_credit(at_once=True)

    def output(self, pool: bytes, batch: int, position: int, part: Written) -> None:  # noqa: ARG002
        """See EngineEvents."""
        self._send(frames.TaskWritten([(batch, position, part)]))

    # -- reports ------------------------------------------------------------------------------------------

    def _report_soon(self) -> None:
        """Report soon: results that come in the same turn of the loop travel in one frame."""
        if not self._reporting:
            self._reporting = True
            asyncio.get_running_loop().call_soon(self._report)

    def _report(self) -> None:
        self._reporting = False
        report = self._outbox.close_report()
        if report is not None:
            self._send_report(report)
            self._send_credit()

    def _send_report(self, report: NumberedReport) -> None:
        connection = self._connection
        if connection is None:
            return
        for outcome in report.outcomes:
            if isinstance(outcome.body, Blob):
                connection.bodies.announce(outcome.body)
        ahead = connection.clock_ahead
        connection.put(frames.Report(report.number, [_by_grantor(one, ahead) for one in report.outcomes]))


def _by_grantor(outcome: TaskEnded, ahead: float) -> TaskEnded:
    """Return an outcome with its times by the grantor's clock."""
    began = outcome.began - ahead if outcome.began else 0.0
    return outcome._replace(began=began, ended=outcome.ended - ahead)


_HANDLERS: dict[type, Callable[[LeaseHolder, Any], None]] = {
    frames.Leased: LeaseHolder._on_leased,
    frames.FunctionCodes: LeaseHolder._on_functions,
    frames.Tasks: LeaseHolder._on_tasks,
    frames.Recall: LeaseHolder._on_recall,
    frames.StopTasks: LeaseHolder._on_stop,
    frames.Stored: LeaseHolder._on_stored,
    frames.TasksQueued: LeaseHolder._on_queued,
    frames.SharedDropped: LeaseHolder._on_shared_dropped,
    frames.BodyWanted: LeaseHolder._on_body_wanted,
    frames.BodyPart: LeaseHolder._on_body_part,
}
