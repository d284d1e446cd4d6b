"""Reconciles user endpoints: each with open tasks has its queues, runs, and has what it was given.

Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from compute_executor.endpoint.pool.events import EngineEvents
from compute_executor.errors import BrokerUnconfirmed, BrokerUnroutable, QueueMissing, ServiceUnavailable
from compute_executor.protocol.frames import Reason
from compute_executor.service.access import subject
from compute_executor.service.endpoints.registry import Endpoints
from compute_executor.service.globus_compute import documents, names
from compute_executor.service.globus_compute.broker_link import BrokerLink, QueueDepth
from compute_executor.service.globus_compute.heartbeats import COMMAND_LIFE, Task, is_online
from compute_executor.service.globus_compute.inbox import ResultInbox
from compute_executor.service.globus_compute.log_limit import limited_logger
from compute_executor.service.globus_compute.publisher import TaskPublisher
from compute_executor.service.globus_compute.task_writer import TaskWriter
from compute_executor.service.globus_compute.user_endpoints import WINDOW, UserEndpoint, UserEndpoints

if TYPE_CHECKING:
    from compute_executor.service.scheduling.dispatch import Dispatch

log: logging.Logger = limited_logger(__name__)

PERIOD = 2.0
"""Seconds between two passes over the user endpoints that have open tasks."""
STARTING_PERIOD = 0.25
"""The same for those that are expected to come up: their first task is sent as soon as they consume."""

UrlFor = Callable[[uuid.UUID], Awaitable[str]]
"""The broker's address with the credentials of an endpoint or user endpoint, which exist when it returns."""


class Reconciler:
    """The loop that reconciles: when ``due`` is set, and every `PERIOD` seconds."""

    def __init__(
        self,
        *,
        events: EngineEvents,
        dispatch: Dispatch,
        endpoints: Endpoints,
        users: UserEndpoints,
        tasks: TaskWriter,
        inbox: ResultInbox,
        publisher: TaskPublisher,
        due: asyncio.Event,
    ) -> None:
        self._events = events
        self._dispatch = dispatch
        self._endpoints = endpoints
        self._users = users
        self._tasks = tasks
        self._inbox = inbox
        self._publisher = publisher
        self._due = due

    async def run(self, link: BrokerLink, url_for: UrlFor) -> None:
        """Reconcile until cancelled."""
        last = -PERIOD
        while True:
            everything = await self._wait(last + PERIOD - time.monotonic())
            if everything:
                last = time.monotonic()
            for one in self._users:
                if (everything or one.watch.starting(time.monotonic())) and self._is_due(one, link):
                    await self._once(one, link, url_for)

    async def _wait(self, seconds: float) -> bool:
        """Wait until ``due``, the next pass, or the start of a user endpoint; whether all are to be reconciled.

        `asyncio.wait`, because `wait_for` loses a cancellation that comes together with ``due`` (before Python 3.12).
        """
        now = time.monotonic()
        starting = any(one.watch.starting(now) for one in self._users)
        pause = max(0.0, min(seconds, STARTING_PERIOD if starting else PERIOD))
        waiting = asyncio.ensure_future(self._due.wait())
        try:
            await asyncio.wait([waiting], timeout=pause)
        finally:
            waiting.cancel()
        is_due = self._due.is_set()
        self._due.clear()
        return is_due or pause >= seconds

    def _is_due(self, one: UserEndpoint, link: BrokerLink) -> bool:
        """Return whether there is something to find out: nothing is asked about one whose endpoint is off."""
        if not link.open or not self._dispatch.open_in(one.pool):
            return False
        return not one.watch.dormant or one.uncertain or self._online(one)

    def _online(self, one: UserEndpoint) -> bool:
        endpoint = self._endpoints.find(one.row.endpoint)
        return endpoint is not None and is_online(endpoint.state, endpoint.seen, time.time())

    async def _once(self, one: UserEndpoint, link: BrokerLink, url_for: UrlFor) -> None:
        try:
            await self.reconcile(one, link, url_for)
        except ServiceUnavailable as error:
            log.warning("user endpoint %s: %s", one.row.id, error)
        except Exception:
            log.exception("user endpoint %s", one.row.id)

    async def reconcile(self, one: UserEndpoint, link: BrokerLink, url_for: UrlFor) -> None:
        """See that it has its queues, runs, and has what it was given. Raises ServiceUnavailable."""
        if not one.declared:
            await self._declare(one, link)
        depth = await self._inspect(one, link)
        one.watch.observed(depth.consumers, time.monotonic())
        if one.uncertain:
            await self._ascertain(one, link)
        if one.watch.recovery_due and not depth.consumers:
            await self.recover(one, link)
        if one.watch.expiry_due(time.monotonic()):
            self.expire(one, await self._heard_everything(link), depth.ready)
        if one.watch.command_due(time.monotonic()) and self._online(one):
            await self._start(one, link, url_for)
        self._publisher.feed(one)

    async def _inspect(self, one: UserEndpoint, link: BrokerLink) -> QueueDepth:
        """Return the state of its task queue, which is declared again if it was deleted."""
        confirmed = len(one.queued) - one.in_flight
        try:
            depth = await link.inspect(names.task_queue(one.row.id))
        except QueueMissing:
            self._queue_deleted(one)
            await self._declare(one, link)
            return QueueDepth(0, 0)
        one.delivered(confirmed - depth.ready)
        return depth

    def _queue_deleted(self, one: UserEndpoint) -> None:
        """Note that what was in the queue is gone. Whether the user endpoint had it, if it runs, only a result can
        tell."""
        one.declared = False
        gone = [task for task in dict.fromkeys(one.queued) if task in one.given]
        one.queued.clear()
        log.warning(
            "the task queue of user endpoint %s was deleted, perhaps with %d tasks in it; it is declared again",
            one.row.id,
            len(gone),
        )
        if not one.watch.running:
            self._publisher.give_back(one, gone)
            return
        one.watch.queue_deleted([(task, one.given[task]) for task in gone], time.monotonic())
        for task in gone:
            one.credit.dropped(task)

    async def _declare(self, one: UserEndpoint, link: BrokerLink) -> None:
        key = names.task_queue(one.row.id)
        await link.declare(key, None, (names.TASKS, key))
        await link.declare(names.log_queue(one.row.id), {"x-max-length": WINDOW}, (names.TASKS, key))
        one.declared = True

    async def _ascertain(self, one: UserEndpoint, link: BrokerLink) -> None:
        """Find out which of the tasks sent last did not arrive; queue those again."""
        if one.in_flight:  # some confirmations are still to come
            return
        try:
            arrived = await link.peek(names.log_queue(one.row.id))
        except QueueMissing:  # nothing can tell any more
            self._queue_deleted(one)
            one.uncertain = False
            return
        if arrived is None:
            return
        seen = {str(message.headers.get("task_uuid")) for message in arrived}
        missing = [task for task in one.recent if task in one.given and self._tasks.name(task) not in seen]
        one.uncertain = False
        one.recent.clear()
        if missing:
            log.warning("%d tasks had not arrived at the broker and are sent again", len(missing))
            self._publisher.give_back(one, missing)

    async def recover(self, one: UserEndpoint, link: BrokerLink) -> bool:
        """Take back what an ended run of the user endpoint left in its queue. False if that cannot be done yet.

        What was never delivered to it is queued again. The rest is in doubt, also what is still there: it may have
        begun, and it may be what the user endpoint died of. A crash of ours between the two steps loses the
        tasks taken back, and runs none twice.
        """
        if one.in_flight or one.uncertain:  # more may come into the queue
            return False
        waiting = await link.drain(names.task_queue(one.row.id))
        if waiting is None:
            return False
        one.queued.clear()
        fresh = {str(message.headers.get("task_uuid")) for message in waiting if not message.redelivered}
        untouched = [task for task in one.given if self._tasks.name(task) in fresh]
        self._publisher.give_back(one, untouched)
        one.watch.recovered(list(one.given.items()))
        for task in one.given:
            one.credit.dropped(task)  # nobody works on it: the next one may be given as much as a new one
        if one.given:
            log.warning(
                "user endpoint %s has ended with %d tasks that it had taken; %d that it had not are queued again",
                one.row.id,
                len(one.given),
                len(untouched),
            )
        return True

    async def _heard_everything(self, link: BrokerLink) -> bool:
        """Return whether no result waits that would clear a task in doubt."""
        return self._inbox.empty and not (await link.inspect(names.RESULTS)).ready

    def expire(self, one: UserEndpoint, heard_everything: bool, waiting: int = 0) -> None:
        """End as lost what it had taken and will send no result of. ``waiting``: messages in its queue."""
        if not heard_everything:
            return
        now = time.monotonic()
        for task, attempt in one.watch.lost(now).items():
            self._lose(
                one, task, attempt, "and then its user endpoint, or its queue, was gone without a result"
            )
        if one.watch.forgotten(now) and not (waiting or one.in_flight or one.uncertain):
            for task, attempt in list(one.given.items()):
                self._lose(one, task, attempt, "has nothing to do any more, and has sent no result")

    def _lose(self, one: UserEndpoint, task: Task, attempt: int, what: str) -> None:
        one.forget(task)
        message = (
            f"endpoint {one.row.endpoint} took this task {what}: it may have run, in part or whole. (Stock endpoints "
            "acknowledge a task when they take it.)"
        )
        self._events.lost(one.pool, *task, attempt, Reason(message, None, True, attempt))

    async def _start(self, one: UserEndpoint, link: BrokerLink, url_for: UrlFor) -> None:
        from pika import BasicProperties

        endpoint = self._endpoints.find(one.row.endpoint)
        if endpoint is None:
            return
        if one.watch.unresponsive:
            self._give_up(one)
            return
        who = (one.row.owner, one.row.owner_name) if endpoint.multi_user else (endpoint.owner, endpoint.owner)
        command = documents.start_command(
            endpoint.id,
            one.row.id,
            await url_for(one.row.id),
            (subject(who[0]), who[1]),
            one.row.config,
            one.row.runtime,
        )
        properties = BasicProperties(
            content_type="application/json",
            timestamp=int(time.time()),
            expiration=str(int(COMMAND_LIFE * 1000)),
        )
        queue = names.command_queue(endpoint.id)
        log.info(
            "endpoint %s is asked to start user endpoint %s%s",
            endpoint.id,
            one.row.id,
            f", which has not come up after {one.watch.commands} such commands" if one.watch.commands else "",
        )
        try:
            await link.publish("", queue, json.dumps(command).encode(), properties)
        except BrokerUnroutable:
            await link.declare(queue)  # the endpoint looks for it until it is there
            return
        except BrokerUnconfirmed:
            return
        one.watch.commanded(time.monotonic())

    def _give_up(self, one: UserEndpoint) -> None:
        """End what waits for a user endpoint that does not come up. The next submit has it tried again."""
        commands, one.watch.commands = one.watch.commands, 0
        message = (
            f"endpoint {one.row.endpoint} has been asked {commands} times to start the user endpoint of this task, "
            "and it has not come up. See its log at the endpoint: it may crash when it starts"
        )
        log.error("%s", message)
        self._events.broken(one.pool, message)
