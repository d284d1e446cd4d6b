"""Results of task groups, once more in queues of the broker, for SDKs that listen there.

    wanted (before the batch is stored) -> outcome stored -> published -> confirmed -> noted
    listened (open tasks are listed) ----^

Published from the store, so that a restart, or a broker that was away, costs nothing but time. A group that has no
open task and whose results are all published is forgotten. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from compute_executor.errors import BrokerUnroutable, ServiceUnavailable
from compute_executor.protocol import frames
from compute_executor.protocol.ids import task_uuid
from compute_executor.service.access import Identity
from compute_executor.service.globus_compute import messages, names
from compute_executor.service.globus_compute.broker_link import BrokerLink
from compute_executor.service.globus_compute.log_limit import limited_logger
from compute_executor.service.tasks.outcome_text import outcome_text

if TYPE_CHECKING:
    from compute_executor.service.blobs.references import BlobReferences
    from compute_executor.service.pools.subscriber import Began
    from compute_executor.service.store.committer import Committer
    from compute_executor.service.store.reader import Reader
    from compute_executor.service.tasks.groups import TaskGroups

log: logging.Logger = limited_logger(__name__)

AT_ONCE = 1024 * 1024
"""About so many bytes of results are read and published before their confirmations are waited for."""
UNUSED = 14 * 24 * 3600
"""Seconds that a queue stays without a consumer: as long as results are kept."""

Details = Callable[[bytes], "dict[str, Any] | None"]


class ResultQueue:
    """One group. A `groups.Subscriber` that takes each call as a sign to look into the store."""

    def __init__(self, group: bytes, owner: str, sent: int, publish: Callable[[ResultQueue], None]) -> None:
        self.group = group
        self.owner = owner
        self.sent = sent
        self.publishing = False
        self.expecting = 0  # batches that are being stored
        self._publish = publish

    @property
    def name(self) -> str:
        """What the broker calls it."""
        return names.result_queue(self.owner, self.group)

    def results(self, group: bytes, results: list[frames.Result]) -> None:
        """See Subscriber. They are published from the store."""

    def stored(self, group: bytes) -> None:  # noqa: ARG002 - it has but one
        """See Subscriber."""
        self._publish(self)

    def began(self, tasks: list[Began]) -> None:
        """See Subscriber. Stock SDKs are not told."""

    def output(self, prefix: bytes, position: int, part: frames.Written) -> None:
        """Nothing: the SDK does not read it."""

    def pool_failed(self, pool: bytes, message: str) -> None:
        """See Subscriber."""

    async def goodbye(self, reason: str) -> None:
        """See Subscriber."""


class ResultQueues:
    """All of them."""

    def __init__(
        self, read: Reader, committer: Committer, groups: TaskGroups, blobs: BlobReferences, details: Details
    ) -> None:
        self._read = read
        self._committer = committer
        self._groups = groups
        self._blobs = blobs
        self._details = details
        self._queues: dict[bytes, ResultQueue] = {}
        self._link: BrokerLink | None = None
        self._running: set[asyncio.Task[None]] = set()

    # -- life ---------------------------------------------------------------------------------------------

    def connect(self, link: BrokerLink) -> None:
        """Use this connection, and go on where the service before us ended."""
        self._link = link
        for group, owner, sent in self._read.rows("all_result_queues"):
            self._subscribe(ResultQueue(bytes(group), owner, sent, self._publish))

    def opened(self) -> None:
        """Note that the broker can be reached (again)."""
        for queue in list(self._queues.values()):
            self._run(self._make_again(queue, 0.0))

    async def close(self) -> None:
        """Close it: what is not noted as published is published again by the next service."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def wanted(self, who: Identity, group: bytes) -> AsyncIterator[None]:
        """While a batch is being stored: there is a queue for its group, and what ends from now on will be in it.
        If the broker is away, the queue is made when it is back. Raises NotFound."""
        if self._link is None:
            yield
            return
        queue = self._queue(who, group)
        queue.expecting += 1
        try:
            await self._declare_if_possible(queue)
            yield
        finally:
            queue.expecting -= 1
            self._publish(queue)

    async def listened(self, who: Identity, group: bytes) -> None:
        """Have a queue for the open tasks of a group, whose owner lists them: an SDK then listens for the rest.
        Raises NotFound."""
        if self._link is not None and self._groups.open(group):
            await self._declare_if_possible(self._queue(who, group))

    def _queue(self, who: Identity, group: bytes) -> ResultQueue:
        self._groups.claim(who, group)
        queue = self._queues.get(group)
        if queue is None:
            queue = ResultQueue(group, who.id, self._read.last_seq(), self._publish)
            self._subscribe(queue)
            values = (group, who.id, queue.sent)
            self._committer.soon(lambda writer: writer.run("put_result_queue", values), _ignore)
        return queue

    async def _declare_if_possible(self, queue: ResultQueue) -> None:
        try:
            await self._declare(queue)
        except ServiceUnavailable as error:
            log.warning("the queue %s is made when the broker is back: %s", queue.name, error)

    async def _declare(self, queue: ResultQueue) -> None:
        assert self._link is not None
        await self._link.declare(queue.name, {"x-expires": UNUSED * 1000})

    def _subscribe(self, queue: ResultQueue) -> None:
        self._queues[queue.group] = queue
        self._groups.subscribe(Identity(queue.owner, queue.owner), queue, queue.group)

    # -- publishing ---------------------------------------------------------------------------------------

    def _publish(self, queue: ResultQueue) -> None:
        if queue.publishing or self._link is None or not self._link.open:
            return
        queue.publishing = True
        self._run(self._publish_all(queue, self._link))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _publish_all(self, queue: ResultQueue, link: BrokerLink) -> None:
        try:
            while await self._publish_some(queue, link):
                pass
        except BrokerUnroutable:
            await self._make_again(queue, 1.0)
        except ServiceUnavailable as error:
            log.warning("results for queue %s wait: %s", queue.name, error)
        except Exception:
            log.exception("results for queue %s wait", queue.name)
        finally:
            queue.publishing = False

    async def _make_again(self, queue: ResultQueue, pause: float) -> None:
        """Make a queue that is not there (any more), and publish into it after ``pause`` seconds."""
        try:
            await self._declare(queue)
            asyncio.get_running_loop().call_later(pause, self._publish, queue)
        except ServiceUnavailable as error:
            log.warning("results for queue %s wait: %s", queue.name, error)

    async def _publish_some(self, queue: ResultQueue, link: BrokerLink) -> bool:
        """Publish what is stored, up to a limit; whether there may be more."""
        results, until, all_of_it = self._groups.replay(queue.group, queue.sent, AT_ONCE)
        sent = [self._send(queue, link, result) for result in results]
        if sent:
            await asyncio.wait(sent)
            failures = [error for one in sent if (error := one.exception()) is not None]
            if failures:
                raise failures[0]
        queue.sent = until
        group = queue.group
        if results:
            self._committer.soon(lambda writer: writer.run("result_queue_sent", (until, group)), _ignore)
        if not all_of_it:
            return True
        if until < self._read.last_seq():
            return True
        self._forget_if_done(queue)
        return False

    def _send(self, queue: ResultQueue, link: BrokerLink, result: frames.Result) -> asyncio.Future[None]:
        import pika  # see broker_link.py

        task_id = task_uuid(result.prefix, result.position)
        _, text = outcome_text(task_id, result, self._blobs.read)
        body = messages.result(task_id, result, text, self._details(result.prefix))
        properties = pika.BasicProperties(timestamp=int(result.ended or time.time()))
        return link.publish("", queue.name, body, properties)

    def _forget_if_done(self, queue: ResultQueue) -> None:
        group = queue.group
        if queue.expecting or self._groups.open(group):
            return
        self._queues.pop(group, None)
        self._groups.unsubscribe(queue)
        self._committer.soon(lambda writer: writer.run("drop_result_queue", (group,)), _ignore)


def _ignore(_result: object, _error: Exception | None) -> None:
    """Ignore a failure: what could not be noted is published twice after a restart; SDKs drop what they know."""
