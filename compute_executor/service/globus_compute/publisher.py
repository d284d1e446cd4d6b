"""Tasks out: what a user endpoint may be given is stored as given, then published. Owner: the loop thread."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from compute_executor.endpoint.pool.events import EngineEvents, TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.errors import BrokerUnroutable, ComputeError
from compute_executor.protocol.frames import BROKEN, Reason
from compute_executor.service.endpoints.spans import spans
from compute_executor.service.globus_compute import names
from compute_executor.service.globus_compute.broker_link import BrokerLink
from compute_executor.service.globus_compute.heartbeats import Task
from compute_executor.service.globus_compute.log_limit import limited_logger
from compute_executor.service.globus_compute.task_writer import TaskWriter
from compute_executor.service.globus_compute.user_endpoints import WINDOW, UserEndpoint
from compute_executor.service.tasks.outcomes import encode

if TYPE_CHECKING:
    from compute_executor.service.store.committer import Committer
    from compute_executor.service.store.writer import Writer

log: logging.Logger = limited_logger(__name__)


class TaskPublisher:
    """The sender of tasks to user endpoints that run. ``due`` is set where one must be reconciled first."""

    def __init__(
        self, events: EngineEvents, committer: Committer, tasks: TaskWriter, due: asyncio.Event
    ) -> None:
        self._events = events
        self._committer = committer
        self._tasks = tasks
        self._due = due
        self.link: BrokerLink | None = None

    def wake(self, one: UserEndpoint) -> None:
        """Send what there is; have a user endpoint reconciled first that cannot be sent anything yet, or that had
        nothing to do: its queue may have been deleted, and the broker would not say so (see `engine`)."""
        if self._ready(one) and one.given:
            self.feed(one)
        else:
            self._due.set()

    @staticmethod
    def _ready(one: UserEndpoint) -> bool:
        return one.watch.running and one.declared and not one.uncertain

    def feed(self, one: UserEndpoint) -> None:
        """Send what there is, if it runs and the broker takes messages; else do nothing."""
        link = self.link
        if link is None or not link.open or link.blocked or not self._ready(one):
            return
        assignments = self._take(one)
        if assignments:
            keys = [(task.batch, task.position, task.attempt) for task in assignments]
            self._record(one, keys, back=False, done=lambda error: self._recorded(one, assignments, error))

    def _take(self, one: UserEndpoint) -> list[Assignment]:
        """Return what it may be given now: noted, and to be recorded and published."""
        taken: list[Assignment] = []
        while (room := min(WINDOW - one.in_flight, one.credit.room())) > 0:
            some = self._events.take(one.pool, room)
            if not some:
                break
            one.in_flight += len(some)
            for task in some:
                one.note((task.batch, task.position), task.attempt, task.function)
            taken += some
        return taken

    def _record(
        self,
        one: UserEndpoint,
        tasks: list[tuple[int, int, int]],
        *,
        back: bool,
        done: Callable[[Exception | None], None],
    ) -> None:
        values = [(one.pool, *span, back) for span in spans(tasks)]

        def store(writer: Writer) -> None:
            for row in values:
                writer.run("add_given", row)

        self._committer.soon(store, lambda _result, error: done(error))

    def _recorded(self, one: UserEndpoint, assignments: list[Assignment], error: Exception | None) -> None:
        if error is not None:
            log.error("tasks for user endpoint %s wait: %s", one.row.id, error)
            one.in_flight = max(0, one.in_flight - len(assignments))
            for task in assignments:
                one.forget((task.batch, task.position))
            self._events.returned(
                one.pool, [(task.batch, task.position, task.attempt) for task in assignments]
            )
            return
        for task in assignments:
            self._publish(one, task)

    def _publish(self, one: UserEndpoint, task: Assignment) -> None:
        from pika import BasicProperties  # see broker_link.py

        assert self.link is not None
        try:
            body, headers = self._tasks.message(task)
        except ComputeError as error:
            one.in_flight = max(0, one.in_flight - 1)
            self._refuse(one, task, f"the task cannot be sent to a stock endpoint: {error}")
            return
        key = names.task_queue(one.row.id)
        sent = self.link.publish(names.TASKS, key, body, BasicProperties(headers=headers))
        sent.add_done_callback(lambda sent: self._published(one, sent.exception()))

    def _published(self, one: UserEndpoint, error: BaseException | None) -> None:
        """Note that a message was confirmed; if that is not known, the log queue will tell."""
        one.in_flight = max(0, one.in_flight - 1)
        if error is not None:
            one.uncertain = True
            one.declared = one.declared and not isinstance(error, BrokerUnroutable)
            self._due.set()
        elif one.in_flight <= WINDOW // 2:
            self.feed(one)

    def _refuse(self, one: UserEndpoint, task: Assignment, message: str) -> None:
        one.forget((task.batch, task.position))
        body, now = encode(Reason(message, None, False, 0)), time.time()
        ended = TaskEnded(task.batch, task.position, task.attempt, BROKEN, body, 0.0, now)
        self._events.ended(one.pool, [ended])

    def give_back(self, one: UserEndpoint, tasks: list[Task]) -> None:
        """Queue these again: they are not with the broker."""
        back = [(*task, one.forget(task)) for task in dict.fromkeys(tasks)]
        self._record(one, back, back=True, done=lambda _error: None)
        self._events.returned(one.pool, back)
