"""Stock endpoints as an engine: tasks out through the broker, results and heartbeats in.

    take -> given (stored) -> published -> confirmed -> ... result -> outcome stored -> acknowledged

That a task is given is stored before it is published, because nothing else remembers it when this process is killed.
Whether it then arrived, the *log queue* tells: the exchange puts every task message also there, where the last
`WINDOW` stay. So a task is published once, whatever breaks: one that did not arrive is given again, one that did is
waited for. What the stock endpoint itself loses, `watch` notices.

Tasks are published only to a user endpoint that runs; until then they can be cancelled. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from compute_executor.endpoint.events import Assignment, Ended, Events, WorkerView
from compute_executor.errors import ComputeError, ServiceUnavailable
from compute_executor.protocol.frames import BROKEN, PoolSpec, Reason
from compute_executor.service.outcomes import encode
from compute_executor.service.stock import documents, names
from compute_executor.service.stock.endpoints import Endpoints
from compute_executor.service.stock.inbox import Inbox
from compute_executor.service.stock.link import Delivery, Link, Unconfirmed, Unroutable
from compute_executor.service.stock.tasks import TaskWriter
from compute_executor.service.stock.user_endpoints import (
    WINDOW,
    UserEndpoint,
    UserEndpoints,
    report,
    spans,
)
from compute_executor.service.stock.watch import COMMAND_LIFE, Task

if TYPE_CHECKING:
    from compute_executor.endpoint.environment import Environment
    from compute_executor.service.committer import Committer
    from compute_executor.service.dispatch import Dispatch

log = logging.getLogger(__name__)

LOOK = 2.0
"""Seconds between two looks at the user endpoints that have open tasks."""


UrlFor = Callable[[uuid.UUID], Awaitable[str]]


class BrokerEngine:
    """An `endpoint.engine.Engine` whose pools are user endpoints. ``url_for``: the broker's address with the
    credentials of an endpoint or user endpoint, which exist when it returns."""

    def __init__(
        self,
        *,
        events: Events,
        dispatch: Dispatch,
        committer: Committer,
        endpoints: Endpoints,
        users: UserEndpoints,
        tasks: TaskWriter,
        inbox: Inbox,
    ) -> None:
        self._events = events
        self._dispatch = dispatch
        self._committer = committer
        self._endpoints = endpoints
        self._users = users
        self._tasks = tasks
        self._inbox = inbox
        self._link: Link | None = None
        self._url_for: UrlFor | None = None
        self._caring: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._failing: set[asyncio.Task[None]] = set()
        inbox.tell(self.ended, self._users.detailed)

    # -- life ---------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Before anything is taken: what was given by the service before us is with the broker."""
        for span in self._users.given_before():
            one = self._users.get(span.user_endpoint)
            batch = self._dispatch.by_number(span.batch)
            if one is None or batch is None:
                continue
            for position in range(span.start, span.stop):
                task = (span.batch, position)
                if span.back:
                    one.forget(task)
                else:
                    one.note(task, span.attempt)
        for one in self._users:
            self._lease_again(one)

    def _lease_again(self, one: UserEndpoint) -> None:
        for task, attempt in list(one.given.items()):
            if not self._dispatch.lease_again(task[0], task[1], attempt):
                one.forget(task)
        if one.given:
            one.uncertain = True
            one.watch.restored(report(one.row.state).process)

    def connect(self, link: Link, url_for: UrlFor) -> None:
        """Use this connection from now on."""
        self._link = link
        self._url_for = url_for
        self._caring = asyncio.get_running_loop().create_task(self._care_for_ever())

    async def close(self) -> None:
        """See Engine. What was given stays with the broker."""
        if self._caring is not None:
            self._caring.cancel()
            await asyncio.gather(self._caring, return_exceptions=True)

    def opened(self) -> None:
        """The broker can be reached (again)."""
        now = time.monotonic()
        for one in self._users:
            one.watch.connected(now)
        self._news.set()

    def closed(self) -> None:
        """The broker cannot be reached any more."""
        for one in self._users:
            one.declared = False
            one.in_flight = 0
            one.uncertain = one.uncertain or bool(one.given)

    # -- the engine's seam --------------------------------------------------------------------------------

    def knows(self, pool: bytes) -> bool:
        """Whether a pool is a user endpoint."""
        return self._users.get(pool) is not None

    def open(self, pool: bytes, spec: PoolSpec, environment: Environment | None = None) -> None:
        """See Engine. User endpoints are not opened by a specification of workers."""

    def wake(self, pool: bytes) -> None:
        """See Engine."""
        one = self._users.get(pool)
        if one is not None:
            self._feed(one)

    def wake_all(self) -> None:
        """There may be work for any of them."""
        for one in self._users:
            self._feed(one)

    def withdraw(self, pool: bytes, tasks: Collection[Task]) -> set[Task]:  # noqa: ARG002
        """See Engine. What was given to the broker cannot be taken back: the endpoint may have it already."""
        return set()

    def close_pool(self, pool: bytes) -> None:
        """See Engine. A user endpoint ends by itself when it is idle."""

    def workers(self) -> list[WorkerView]:
        """See Engine. Those of stock endpoints are not known one by one."""
        return []

    # -- giving -------------------------------------------------------------------------------------------

    def _feed(self, one: UserEndpoint) -> None:
        """Give what there is to a user endpoint that runs; have somebody look after one that does not."""
        link = self._link
        if link is None or not link.open or link.blocked:
            return
        if one.uncertain or not one.declared or not one.watch.running:
            self._news.set()
            return
        assignments = self._take(one)
        if assignments:
            keys = [(task.batch, task.position, task.attempt) for task in assignments]
            self._record(one, keys, back=False, done=lambda error: self._recorded(one, assignments, error))

    def _take(self, one: UserEndpoint) -> list[Assignment]:
        """What it may be given now: noted, and to be recorded and published."""
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

        def store(writer: object) -> None:
            for row in values:
                writer.run("add_given", row)  # type: ignore[attr-defined]

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
        from pika import BasicProperties  # see link.py

        assert self._link is not None
        try:
            body, headers = self._tasks.message(task)
        except ComputeError as error:
            one.in_flight = max(0, one.in_flight - 1)
            self._refuse(one, task, f"the task cannot be sent to a stock endpoint: {error}")
            return
        key = names.task_queue(one.row.id)
        sent = self._link.publish(names.TASKS, key, body, BasicProperties(headers=headers))
        sent.add_done_callback(lambda sent: self._published(one, sent.exception()))

    def _published(self, one: UserEndpoint, error: BaseException | None) -> None:
        """Confirmed; or nobody knows, then the log queue will tell."""
        one.in_flight = max(0, one.in_flight - 1)
        if error is not None:
            one.uncertain = True
            one.declared = one.declared and not isinstance(error, Unroutable)
            self._news.set()
        elif one.in_flight <= WINDOW // 2:
            self._feed(one)

    def _refuse(self, one: UserEndpoint, task: Assignment, message: str) -> None:
        one.forget((task.batch, task.position))
        body, now = encode(Reason(message, None, False, 0)), time.time()
        ended = Ended(task.batch, task.position, task.attempt, BROKEN, body, 0.0, now)
        self._events.ended(one.pool, [ended])

    # -- hearing ------------------------------------------------------------------------------------------

    def ended(self, pool: bytes, outcomes: list[Ended]) -> None:
        """Results came (and are being stored)."""
        one = self._users.get(pool)
        if one is None:
            return
        for outcome in outcomes:
            task = (outcome.batch, outcome.position)
            one.credit.ended(task, outcome.ended - outcome.began if outcome.began else None)
            one.forget(task)
            one.watch.ended(task)
        self._feed(one)

    def heartbeat(self, delivery: Delivery) -> None:
        """A heartbeat of an endpoint or a user endpoint; acknowledged when it is stored."""
        heard = self._inbox.report(delivery)
        if heard is not None:
            one = self._users.get(heard.endpoint_id.bytes)
            if one is not None:
                self._heard(one, heard.state)
            elif not self._endpoints.heard(heard.endpoint_id, heard.state):
                log.info("a heartbeat of endpoint %s, which is not registered here", heard.endpoint_id)
            self._news.set()
        self._committer.soon(lambda _writer: None, lambda _result, _error: delivery.done())

    def _heard(self, one: UserEndpoint, state: dict[str, object]) -> None:
        if "error" in state:
            self._refused(one, str(state["error"]))
            return
        self._users.heard(one, state)
        one.given.update(one.watch.report(report(state), time.monotonic()))
        self._feed(one)

    def _refused(self, one: UserEndpoint, reason: str) -> None:
        if not one.watch.refused(reason, time.monotonic()):
            log.warning("user endpoint %s cannot start yet: %s", one.row.id, reason)
            return
        message = f"endpoint {one.row.endpoint} cannot start its user endpoint: {reason}"
        failing = asyncio.ensure_future(self._fail(one, message))
        self._failing.add(failing)  # or it might be collected before it has run
        failing.add_done_callback(self._failing.discard)

    async def _fail(self, one: UserEndpoint, message: str) -> None:
        """It cannot start: what waits for it ends so. The next submit has it tried again."""
        log.error("%s", message)
        assert self._link is not None
        try:
            if await self._settle(one, self._link):
                await self._link.purge(names.task_queue(one.row.id))
                self._give_back(one, [task for task in one.given if task not in one.watch.suspects])
        except ServiceUnavailable as error:
            log.warning("user endpoint %s: %s", one.row.id, error)
        self._events.broken(one.pool, message)

    def abandon(self, one: UserEndpoint, message: str) -> None:
        """Its endpoint is deleted: what waits or is out ends."""
        out = [(*task, attempt) for task, attempt in one.given.items()]
        for task in list(one.given):
            one.forget(task)
        self._events.returned(one.pool, out)
        self._events.broken(one.pool, message)
        self._users.forget(one)

    def parent_restarted(self, endpoint: uuid.UUID) -> None:
        """An endpoint has registered again: what it had started before ends."""
        for one in self._users:
            if one.row.endpoint == endpoint:
                one.watch.parent_restarted()
        self._news.set()

    def finished(self, pool: bytes, batch: int) -> None:
        """A batch is done: what was given of it is of no interest any more."""
        if self.knows(pool):
            self._committer.soon(
                lambda writer: writer.run("drop_given", (batch,)), lambda _result, _error: None
            )

    # -- looking after user endpoints ---------------------------------------------------------------------

    async def _care_for_ever(self) -> None:
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK)
            self._news.clear()
            for one in self._users:
                if self._link is not None and self._link.open and self._dispatch.open_in(one.pool):
                    await self._care_once(one, self._link)

    async def _care_once(self, one: UserEndpoint, link: Link) -> None:
        try:
            await self._care(one, link)
        except ServiceUnavailable as error:
            log.warning("user endpoint %s: %s", one.row.id, error)
        except Exception:
            log.exception("user endpoint %s", one.row.id)

    async def _care(self, one: UserEndpoint, link: Link) -> None:
        if not one.declared:
            await self._declare(one, link)
        queue = names.task_queue(one.row.id)
        sight = await link.look(queue)
        one.watch.looked(sight.consumers, time.monotonic())
        if one.uncertain:
            await self._ascertain(one, link)
        if one.watch.unsettled and not sight.consumers:
            await self._settle(one, link)
        self._judge(one, await self._heard_everything(link), sight.ready)
        if one.watch.command_due(time.monotonic()) and self._endpoints.online(one.row.endpoint):
            await self._start(one, link)
        self._feed(one)

    async def _declare(self, one: UserEndpoint, link: Link) -> None:
        key = names.task_queue(one.row.id)
        await link.declare(key, None, (names.TASKS, key))
        await link.declare(names.log_queue(one.row.id), {"x-max-length": WINDOW}, (names.TASKS, key))
        one.declared = True

    async def _ascertain(self, one: UserEndpoint, link: Link) -> None:
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
            self._give_back(one, missing)

    def _give_back(self, one: UserEndpoint, tasks: list[Task]) -> None:
        """These are not with the broker: queued again."""
        back = [(*task, one.forget(task)) for task in dict.fromkeys(tasks)]
        self._record(one, back, back=True, done=lambda _error: None)
        self._events.returned(one.pool, back)

    async def _settle(self, one: UserEndpoint, link: Link) -> bool:
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

    async def _heard_everything(self, link: Link) -> bool:
        """Whether no result waits that would acquit a suspect."""
        return self._inbox.empty and not (await link.look(names.RESULTS)).ready

    def _judge(self, one: UserEndpoint, heard_everything: bool, waiting: int = 0) -> None:
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

    async def _start(self, one: UserEndpoint, link: Link) -> None:
        from pika import BasicProperties

        endpoint = self._endpoints.find(one.row.endpoint)
        if endpoint is None or self._url_for is None:
            return
        who = (one.row.owner, one.row.owner_name) if endpoint.multi_user else (endpoint.owner, endpoint.owner)
        command = documents.start_command(
            endpoint.id,
            one.row.id,
            await self._url_for(one.row.id),
            (names.subject(who[0]), who[1]),
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
        except Unroutable:
            await link.declare(queue)
        except Unconfirmed:
            return
        one.watch.commanded(time.monotonic())
