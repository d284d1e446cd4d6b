"""The rooms of a service, made in the order in which they need each other. Nothing is started or read by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from compute_executor.endpoint.environments.environments import Environments
from compute_executor.protocol.frames import PoolSpec
from compute_executor.service.agents.kind import Agents
from compute_executor.service.audit import Audit
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.blobs.holds import BlobHolds
from compute_executor.service.blobs.references import BlobReferences
from compute_executor.service.blobs.rights import BlobRights
from compute_executor.service.endpoints.engines import Engines
from compute_executor.service.endpoints.registry import Endpoints
from compute_executor.service.globus_compute.peers import BrokerSettings, GlobusCompute
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.pools.container_pools import ContainerPools
from compute_executor.service.pools.containers import Containers
from compute_executor.service.pools.pools import Pools
from compute_executor.service.scheduling.dispatch import Dispatch, OpenBatch
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.store import Store
from compute_executor.service.tasks.cancelling import Cancelling
from compute_executor.service.tasks.engine_reports import EngineReports
from compute_executor.service.tasks.figures import TaskFigures
from compute_executor.service.tasks.functions import Functions
from compute_executor.service.tasks.groups import TaskGroups
from compute_executor.service.tasks.listing import Listing
from compute_executor.service.tasks.live_output import LiveOutput
from compute_executor.service.tasks.open_batches import OpenBatches
from compute_executor.service.tasks.outcomes import Entry, Outcomes
from compute_executor.service.tasks.printed import Printed
from compute_executor.service.tasks.recheck import AuthorizationRecheck
from compute_executor.service.tasks.retention import Retention
from compute_executor.service.tasks.status import ServiceStatus
from compute_executor.service.tasks.submissions import Submissions

if TYPE_CHECKING:
    from compute_executor.endpoint.pool.engine import Engine
    from compute_executor.endpoint.pool.events import EngineEvents

READ_AGAIN = 1.0
"""Seconds until arguments that could not be read are tried again."""


class Components:
    """Everything in a service, by name. Owner of all of it: the loop thread that runs when this is made."""

    def __init__(
        self,
        store: Store,
        blobs: BlobFolder,
        engine: Callable[[EngineEvents], Engine],
        default_pool: PoolSpec | None,
        environments: Environments,
        *,
        limits: ServiceLimits,
        broker: BrokerSettings | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.store = store
        self.committer = Committer(store, self._loop)
        self.holds = BlobHolds(self._loop, self._let_go, limits.pool_grace)
        self.blobs = BlobReferences(blobs, limits.body, store.read.blob_in_use, self.holds.held)
        self.dispatch = Dispatch()
        self.blob_rights = BlobRights(store.read)
        self.functions = Functions(store.read, self.committer, self.blobs, self.blob_rights, limits)
        self.groups = TaskGroups(store.read)
        self.containers = Containers(store.read, self.committer, environments, limits)
        self.engines = Engines()
        self.endpoints = Endpoints(store.read, self.committer)
        self.pools = Pools(
            self.committer, self.dispatch, default_pool, self.containers, limits, self.engines, self._loop
        )
        self.batches = self._open_batches(limits)
        self.submissions = self._submissions(limits)
        self.outcomes = Outcomes(
            self.committer,
            self._loop,
            self.batches.with_blobs,
            self.groups.tell,
            self._stored,
            self.wake_all,
            commit_first=store.durable,
        )
        self.audit = Audit()
        self.cancelling = Cancelling(
            dispatch=self.dispatch,
            submissions=self.submissions,
            outcomes=self.outcomes,
            pools=self.pools,
            engines=self.engines,
            read=store.read,
            audit=self.audit,
        )
        self.live = LiveOutput()
        self.permits = self._permits()
        self.batches.accepted = self.permits.accepted
        self.events = self._events()
        self.pools.lodging = ContainerPools(self.containers, self.pools.lodge, self.events.broken)
        self.containers.again = self.pools.try_again
        self.views = ServiceStatus(
            store, self.dispatch, self.outcomes, self.pools, self.containers, self.engines
        )
        self.listing = Listing(
            store.read, self.dispatch, self.groups, blobs.read, self.live, self.engines.workers
        )
        self.printed = Printed(store.read, self.dispatch, self.live)
        self.retention = Retention(
            store.read, self.committer, self.blobs, limits, self.groups.take_acknowledged
        )
        self.figures = TaskFigures(store.path, self.dispatch, lambda: self.retention.deleted)
        self.globus_compute = self._globus_compute(broker)
        self.agents = self._agents()
        self.engines.add_built_in(engine(self.events))
        self.engines.add(self.globus_compute)
        self.engines.add(self.agents)

    def _let_go(self, names: list[str]) -> None:
        """Nobody holds these blobs any more."""
        self.blobs.let_go(names)

    def _open_batches(self, limits: ServiceLimits) -> OpenBatches:
        return OpenBatches(
            read=self.store.read,
            dispatch=self.dispatch,
            functions=self.functions,
            groups=self.groups,
            budget=limits.decoded_tasks,
            wake=self._wake,
            wake_later=lambda pool: self._loop.call_later(READ_AGAIN, self._wake, pool),
        )

    def _submissions(self, limits: ServiceLimits) -> Submissions:
        return Submissions(
            committer=self.committer,
            functions=self.functions,
            containers=self.containers,
            groups=self.groups,
            pools=self.pools,
            endpoints=self.endpoints,
            engines=self.engines,
            blobs=self.blobs,
            rights=self.blob_rights,
            holds=self.holds,
            batches=self.batches,
            limits=limits,
        )

    def _permits(self) -> AuthorizationRecheck:
        return AuthorizationRecheck(
            dispatch=self.dispatch,
            batches=self.batches,
            functions=self.functions,
            outcomes=self.outcomes,
            endpoints=self.endpoints,
            engines=self.engines,
            withdraw=self.cancelling.withdraw,
        )

    def _events(self) -> EngineReports:
        return EngineReports(
            dispatch=self.dispatch,
            batches=self.batches,
            outcomes=self.outcomes,
            functions=self.functions,
            groups=self.groups,
            pools=self.pools,
            permits=self.permits,
            stopping=self.cancelling.stopping,
            recalling=self.cancelling.recalling,
            live=self.live,
            committer=self.committer,
            loop=self._loop,
        )

    def _globus_compute(self, broker: BrokerSettings | None) -> GlobusCompute:
        return GlobusCompute(
            read=self.store.read,
            committer=self.committer,
            dispatch=self.dispatch,
            batches=self.batches,
            functions=self.functions,
            groups=self.groups,
            outcomes=self.outcomes,
            blobs=self.blobs,
            events=self.events,
            endpoints=self.endpoints,
            registered=self.permits.endpoint_changed,
            details=self.views.worker_details,
            settings=broker,
        )

    def _agents(self) -> Agents:
        return Agents(
            read=self.store.read,
            committer=self.committer,
            dispatch=self.dispatch,
            events=self.events,
            endpoints=self.endpoints,
            registered=self.permits.endpoint_changed,
        )

    def exists(self, pool: bytes) -> bool:
        """Whether tasks of this pool can be run."""
        return self.engines.endpoint_of(pool) is not None or self.pools.exists(pool)

    # -- what happens after commits -----------------------------------------------------------------------

    def _stored(self, entries: list[Entry], finished: list[OpenBatch], unused: list[str]) -> None:
        for batch in finished:
            self.batches.finish(batch)
            self.permits.finished(batch.number)
            self.engines.batch_finished(batch.lane.pool, batch.number)
        self.groups.stored(entries)
        self.engines.outcomes_stored()
        self.blobs.delete(unused)

    def _wake(self, pool: bytes) -> None:
        """Have the engine take from a pool; the tasks of one that has failed end, also those accepted since."""
        if failure := self.pools.failure(pool):
            self.events.end_queued(pool, failure)
        else:
            self.engines.wake(pool)

    def wake_all(self) -> None:
        """Have the engines take from every pool that has tasks."""
        for pool in self.dispatch.pools():
            self._wake(pool)
