"""Stock endpoints as an engine: tasks out through the broker, results and heartbeats in.

    take -> given (stored) -> published -> confirmed -> ... result -> outcome stored -> acknowledged

That a task is given is stored before it is published, because nothing else remembers it when this process is killed.
Whether it then arrived, the *log queue* tells: the exchange puts every task message also there, where the last
`WINDOW` stay. So a task is published once, whatever breaks: one that did not arrive is given again, one that did is
waited for. What the stock endpoint itself loses, `heartbeats` notices.

Tasks are published only to a user endpoint that runs; until then they can be cancelled. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING

from compute_executor.endpoint.pool.events import EngineEvents, TaskEnded, WorkerView
from compute_executor.errors import ServiceUnavailable
from compute_executor.protocol.frames import PoolSpec
from compute_executor.service.endpoints.registry import Endpoints
from compute_executor.service.globus_compute.broker_link import BrokerLink, Delivery
from compute_executor.service.globus_compute.heartbeats import Task
from compute_executor.service.globus_compute.inbox import ResultInbox
from compute_executor.service.globus_compute.log_limit import limited_logger
from compute_executor.service.globus_compute.publisher import TaskPublisher
from compute_executor.service.globus_compute.reconciler import Reconciler, UrlFor
from compute_executor.service.globus_compute.task_writer import TaskWriter
from compute_executor.service.globus_compute.user_endpoints import UserEndpoint, UserEndpoints, report

if TYPE_CHECKING:
    from compute_executor.endpoint.environments.environment import Environment
    from compute_executor.service.scheduling.dispatch import Dispatch
    from compute_executor.service.store.committer import Committer

log: logging.Logger = limited_logger(__name__)


class BrokerEngine:
    """An `endpoint.pool.engine.Engine` whose pools are user endpoints."""

    def __init__(
        self,
        *,
        events: EngineEvents,
        dispatch: Dispatch,
        committer: Committer,
        endpoints: Endpoints,
        users: UserEndpoints,
        tasks: TaskWriter,
        inbox: ResultInbox,
    ) -> None:
        self._events = events
        self._dispatch = dispatch
        self._committer = committer
        self._endpoints = endpoints
        self._users = users
        self._inbox = inbox
        self._due = asyncio.Event()
        self._publisher = TaskPublisher(events, committer, tasks, self._due)
        self._reconciler = Reconciler(
            events=events,
            dispatch=dispatch,
            endpoints=endpoints,
            users=users,
            tasks=tasks,
            inbox=inbox,
            publisher=self._publisher,
            due=self._due,
        )
        self._reconciling: asyncio.Task[None] | None = None
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

    def connect(self, link: BrokerLink, url_for: UrlFor) -> None:
        """Use this connection from now on."""
        self._publisher.link = link
        self._reconciling = asyncio.get_running_loop().create_task(self._reconciler.run(link, url_for))

    async def close(self) -> None:
        """See Engine. What was given stays with the broker."""
        under_way = [*self._failing, *([self._reconciling] if self._reconciling is not None else [])]
        for one in under_way:
            one.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def opened(self) -> None:
        """Note that the broker can be reached (again)."""
        now = time.monotonic()
        for one in self._users:
            one.watch.connected(now)
        self._due.set()

    def closed(self) -> None:
        """Note that the broker cannot be reached any more."""
        for one in self._users:
            one.declared = False
            one.in_flight = 0
            one.uncertain = one.uncertain or bool(one.given)

    # -- the engine's seam --------------------------------------------------------------------------------

    def open(self, pool: bytes, spec: PoolSpec, environment: Environment | None = None) -> None:
        """See Engine. User endpoints are not opened by a specification of workers."""

    def wake(self, pool: bytes) -> None:
        """See Engine."""
        one = self._users.get(pool)
        if one is not None:
            self._publisher.wake(one)

    def withdraw(self, pool: bytes, tasks: Collection[Task]) -> set[Task]:  # noqa: ARG002
        """See Engine. What was given to the broker cannot be taken back: the endpoint may have it already."""
        return set()

    def stop_tasks(self, pool: bytes, tasks: Collection[Task]) -> set[Task]:  # noqa: ARG002
        """See Engine. Stock endpoints have no such command."""
        return set()

    def close_pool(self, pool: bytes) -> None:
        """See Engine. A user endpoint ends by itself when it is idle."""

    def workers(self) -> list[WorkerView]:
        """See Engine. Those of stock endpoints are not known one by one."""
        return []

    # -- hearing ------------------------------------------------------------------------------------------

    def ended(self, pool: bytes, outcomes: list[TaskEnded]) -> None:
        """Note that results came (and are being stored)."""
        one = self._users.get(pool)
        if one is None:
            return
        for outcome in outcomes:
            task = (outcome.batch, outcome.position)
            one.credit.ended(task, outcome.ended - outcome.began if outcome.began else None)
            one.forget(task)
            one.watch.ended(task)
        self._publisher.feed(one)

    def heartbeat(self, delivery: Delivery) -> None:
        """Take a heartbeat of an endpoint or a user endpoint; acknowledged when it is stored."""
        heard = self._inbox.report(delivery)
        if heard is not None:
            one = self._users.get(heard.endpoint_id.bytes)
            if one is not None:
                self._heard(one, heard.state)
            elif not self._endpoints.heard(heard.endpoint_id, heard.state):
                log.info("a heartbeat of endpoint %s, which is not registered here", heard.endpoint_id)
            self._due.set()
        self._committer.soon(lambda _writer: None, lambda _result, _error: delivery.done())

    def _heard(self, one: UserEndpoint, state: dict[str, object]) -> None:
        if "error" in state:
            self._refused(one, str(state["error"]))
            return
        self._users.heard(one, state)
        one.given.update(one.watch.report(report(state), time.monotonic()))
        self._publisher.feed(one)

    def _refused(self, one: UserEndpoint, reason: str) -> None:
        if not one.watch.refused(reason, time.monotonic()):
            log.warning("user endpoint %s cannot start yet: %s", one.row.id, reason)
            return
        message = f"endpoint {one.row.endpoint} cannot start its user endpoint: {reason}"
        failing = asyncio.ensure_future(self._fail(one, message))
        self._failing.add(failing)  # or it might be collected before it has run
        failing.add_done_callback(self._failing.discard)

    async def _fail(self, one: UserEndpoint, message: str) -> None:
        """End what waits for a user endpoint that cannot start. The next submit has it tried again."""
        log.error("%s", message)
        link = self._publisher.link
        assert link is not None
        try:
            await self._reconciler.recover(one, link)
        except ServiceUnavailable as error:
            log.warning("user endpoint %s: %s", one.row.id, error)
        self._events.broken(one.pool, message)

    def abandon(self, one: UserEndpoint, message: str) -> None:
        """Note that its endpoint is deleted: what waits or is out ends."""
        out = [(*task, attempt) for task, attempt in one.given.items()]
        for task in list(one.given):
            one.forget(task)
        self._events.returned(one.pool, out)
        self._events.broken(one.pool, message)
        self._users.forget(one)

    def parent_restarted(self, endpoint: uuid.UUID) -> None:
        """Note that an endpoint has registered again: what it had started before ends."""
        for one in self._users:
            if one.row.endpoint == endpoint:
                one.watch.parent_restarted()
        self._due.set()
