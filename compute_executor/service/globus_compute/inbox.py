"""Results that come through the broker: read, stored, acknowledged, in this order. Owner: the loop thread."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from compute_executor.endpoint.pool.events import EngineEvents, TaskEnded
from compute_executor.errors import ComputeError, InvalidRequest
from compute_executor.service.globus_compute import messages, names
from compute_executor.service.globus_compute.broker_link import Delivery
from compute_executor.service.globus_compute.log_limit import limited_logger

if TYPE_CHECKING:
    from compute_executor.service.blobs.references import BlobReferences
    from compute_executor.service.globus_compute.user_endpoints import UserEndpoint, UserEndpoints
    from compute_executor.service.scheduling.dispatch import Dispatch
    from compute_executor.service.tasks.outcomes import Outcomes

log: logging.Logger = limited_logger(__name__)


class ResultInbox:
    """What has come and is not stored yet. Duplicates, and results of tasks that have ended, change nothing."""

    def __init__(
        self,
        events: EngineEvents,
        dispatch: Dispatch,
        outcomes: Outcomes,
        blobs: BlobReferences,
        users: UserEndpoints,
    ) -> None:
        self._events = events
        self._dispatch = dispatch
        self._outcomes = outcomes
        self._blobs = blobs
        self._users = users
        self._waiting: list[Delivery] = []
        self._working: asyncio.Task[None] | None = None
        self._ended: Callable[[bytes, list[TaskEnded]], None] = lambda _pool, _ended: None
        self._detailed: Callable[[UserEndpoint, dict[str, Any]], None] = lambda _one, _details: None
        self.dropped: int = 0

    def tell(
        self,
        ended: Callable[[bytes, list[TaskEnded]], None],
        detailed: Callable[[UserEndpoint, dict[str, Any]], None],
    ) -> None:
        """Set who hears of tasks that have ended, and of what workers say of themselves."""
        self._ended = ended
        self._detailed = detailed

    @property
    def empty(self) -> bool:
        """Whether everything that came is stored."""
        return self._working is None

    def came(self, delivery: Delivery) -> None:
        """Note that a result has come."""
        self._waiting.append(delivery)
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    async def close(self) -> None:
        """Close it: what is not stored will come again."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while self._waiting:
                deliveries, self._waiting = self._waiting, []
                await self._store(deliveries)
        finally:
            self._working = None

    async def _store(self, deliveries: list[Delivery]) -> None:
        by_pool: dict[bytes, list[TaskEnded]] = {}
        for delivery in deliveries:
            try:
                await self._read(delivery, by_pool)
            except InvalidRequest as error:
                log.warning("a result is dropped: %s", error)
            except (
                ComputeError
            ) as error:  # the disk is full: it stays with the broker until the next connection
                log.warning("a result cannot be stored: %s", error)
                await asyncio.sleep(1.0)
                self._waiting = deliveries + self._waiting
                return
        for pool, ended in by_pool.items():
            self._events.ended(pool, ended)
            self._ended(pool, ended)
        await asyncio.shield(self._outcomes.all_stored())
        deliveries[-1].done()

    async def _read(self, delivery: Delivery, by_pool: dict[bytes, list[TaskEnded]]) -> None:
        outcome = messages.outcome(messages.read_result(delivery.body), time.time())
        batch = self._dispatch.by_prefix(outcome.prefix)
        if batch is None or outcome.position >= batch.count:
            self.dropped += 1
            return
        one = self._users.get(batch.pool)
        if one is None or delivery.key != names.routing_key(one.row.id, names.RESULTS):
            raise InvalidRequest(f"it came as {delivery.key[:100]!r}, and the task is not there")
        kept = await self._blobs.keep(outcome.body)
        attempt = batch.attempt(outcome.position)
        where = (batch.number, outcome.position, attempt)
        ended = TaskEnded(*where, outcome.status, kept, outcome.began, outcome.ended)
        by_pool.setdefault(batch.pool, []).append(ended)
        if outcome.details:
            self._detailed(one, outcome.details)

    def report(self, delivery: Delivery) -> messages.ReportData | None:
        """Return a heartbeat; None if it cannot be read, or is about another endpoint than the one that sent it."""
        try:
            report = messages.read_report(delivery.body)
            if delivery.key != names.routing_key(report.endpoint_id, names.HEARTBEATS):
                raise InvalidRequest(f"it came as {delivery.key[:100]!r}, and is about {report.endpoint_id}")
            return report
        except InvalidRequest as error:
            log.warning("a heartbeat is dropped: %s", error)
            return None
