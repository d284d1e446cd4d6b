"""Looking after user endpoints: that each with open tasks has its queues, runs, and has what it was given.

Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from compute_executor.endpoint.pool.events import EngineEvents
from compute_executor.errors import BrokerUnconfirmed, BrokerUnroutable, ServiceUnavailable
from compute_executor.protocol.frames import Reason
from compute_executor.service.access import subject
from compute_executor.service.endpoints.registry import Endpoints
from compute_executor.service.globus_compute import documents, names
from compute_executor.service.globus_compute.broker_link import BrokerLink
from compute_executor.service.globus_compute.heartbeats import COMMAND_LIFE, Task
from compute_executor.service.globus_compute.inbox import ResultInbox
from compute_executor.service.globus_compute.publisher import TaskPublisher
from compute_executor.service.globus_compute.task_writer import TaskWriter
from compute_executor.service.globus_compute.user_endpoints import WINDOW, UserEndpoint, UserEndpoints

if TYPE_CHECKING:
    from compute_executor.service.scheduling.dispatch import Dispatch

log = logging.getLogger(__name__)

LOOK = 2.0
"""Seconds between two looks at the user endpoints that have open tasks."""

UrlFor = Callable[[uuid.UUID], Awaitable[str]]
"""The broker's address with the credentials of an endpoint or user endpoint, which exist when it returns."""


class Reconciler:
    """Looks when there is ``news``, and now and then."""

    def __init__(
        self,
        *,
        events: EngineEvents,
        dispatch: Dispatch,
        endpoints: Endpoints,
        users: UserEndpoints,
        tasks: TaskWriter,
        inbox: ResultInbox,
        giving: TaskPublisher,
        news: asyncio.Event,
    ) -> None:
        self._events = events
        self._dispatch = dispatch
        self._endpoints = endpoints
        self._users = users
        self._tasks = tasks
        self._inbox = inbox
        self._giving = giving
        self._news = news

    async def for_ever(self, link: BrokerLink, url_for: UrlFor) -> None:
        """Look after all that have open tasks, at any news and every `LOOK` seconds, until cancelled."""
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK)
            self._news.clear()
            for one in self._users:
                if link.open and self._dispatch.open_in(one.pool):
                    await self._once(one, link, url_for)

    async def _once(self, one: UserEndpoint, link: BrokerLink, url_for: UrlFor) -> None:
        try:
            await self.look_after(one, link, url_for)
        except ServiceUnavailable as error:
            log.warning("user endpoint %s: %s", one.row.id, error)
        except Exception:
            log.exception("user endpoint %s", one.row.id)

    async def look_after(self, one: UserEndpoint, link: BrokerLink, url_for: UrlFor) -> None:
        """See that it has its queues, runs, and has what it was given. Raises ServiceUnavailable."""
        if not one.declared:
            await self._declare(one, link)
        queue = names.task_queue(one.row.id)
        sight = await link.look(queue)
        one.watch.looked(sight.consumers, time.monotonic())
        if one.uncertain:
            await self._ascertain(one, link)
        if one.watch.unsettled and not sight.consumers:
            await self.settle(one, link)
        self.judge(one, await self._heard_everything(link), sight.ready)
        if one.watch.command_due(time.monotonic()) and self._endpoints.online(one.row.endpoint):
            await self._start(one, link, url_for)
        self._giving.feed(one)

    async def _declare(self, one: UserEndpoint, link: BrokerLink) -> None:
        key = names.task_queue(one.row.id)
        await link.declare(key, None, (names.TASKS, key))
        await link.declare(names.log_queue(one.row.id), {"x-max-length": WINDOW}, (names.TASKS, key))
        one.declared = True

    async def _ascertain(self, one: UserEndpoint, link: BrokerLink) -> None:
        """Of what was given last: what did not arrive is given again."""
        if one.in_flight:  # some confirmations are still to come
            return
        arrived = await link.peek(names.log_queue(one.row.id))
        if arrived is None:
            return
        seen = {str(headers.get("task_uuid")) for headers in arrived}
        missing = [task for task in one.recent if task in one.given and self._tasks.name(task) not in seen]
        one.uncertain = False
        one.recent.clear()
        if missing:
            log.warning("%d tasks had not arrived at the broker and are sent again", len(missing))
            self._giving.give_back(one, missing)

    async def settle(self, one: UserEndpoint, link: BrokerLink) -> bool:
        """It has ended: what it had taken from its queue is suspect. False if that cannot be told."""
        waiting = await link.peek(names.task_queue(one.row.id))
        if waiting is None:
            return False
        seen = {str(headers.get("task_uuid")) for headers in waiting}
        taken = [(task, attempt) for task, attempt in one.given.items() if self._tasks.name(task) not in seen]
        one.watch.settled(taken)
        for task, _attempt in taken:
            one.credit.dropped(task)  # nobody works on it: the next one may be given as much as a new one
        if taken:
            log.warning(
                "user endpoint %s has ended with %d tasks that it had taken, %d still wait in its queue",
                one.row.id,
                len(taken),
                len(waiting),
            )
        return True

    async def _heard_everything(self, link: BrokerLink) -> bool:
        """Whether no result waits that would acquit a suspect."""
        return self._inbox.empty and not (await link.look(names.RESULTS)).ready

    def judge(self, one: UserEndpoint, heard_everything: bool, waiting: int = 0) -> None:
        """End as lost what it had taken and will send no result of. ``waiting``: messages in its queue."""
        if not heard_everything:
            return
        now = time.monotonic()
        for task, attempt in one.watch.lost(now).items():
            self._lose(one, task, attempt, "and then its user endpoint ended without a result")
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
        log.info("endpoint %s is told to start user endpoint %s", endpoint.id, one.row.id)
        try:
            await link.publish("", queue, json.dumps(command).encode(), properties)
        except BrokerUnroutable:
            await link.declare(queue)
        except BrokerUnconfirmed:
            return
        one.watch.commanded(time.monotonic())
