"""The rooms of a service, made in the order in which they need each other. Nothing is started or read by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from compute_executor.endpoint.environments.environments import Environments
from compute_executor.protocol.frames import PoolSpec
from compute_executor.service.audit import Audit
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.blobs.references import BlobReferences
from compute_executor.service.blobs.rights import BlobRights
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
from compute_executor.service.tasks.functions import Functions
from compute_executor.service.tasks.groups import TaskGroups
from compute_executor.service.tasks.listing import Listing
from compute_executor.service.tasks.open_batches import OpenBatches
from compute_executor.service.tasks.outcomes import Entry, Outcomes
from compute_executor.service.tasks.recheck import AuthorizationRecheck
from compute_executor.service.tasks.retention import Retention
from compute_executor.service.tasks.status import ServiceStatus
from compute_executor.service.tasks.submissions import Submissions

if TYPE_CHECKING:
    from compute_executor.endpoint.environments.environment import Environment
    from compute_executor.endpoint.pool.engine import Engine
    from compute_executor.endpoint.pool.events import EngineEvents, WorkerView
    from compute_executor.service.globus_compute.engine import BrokerEngine

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
        self._make_engine = engine
        self.store = store
        self.committer = Committer(store, self._loop)
        self.blobs = BlobReferences(blobs, limits.body)
        self.dispatch = Dispatch()
        self.blob_rights = BlobRights(store.read)
        self.functions = Functions(store.read, self.committer, self.blobs, self.blob_rights, limits)
        self.groups = TaskGroups(store.read)
        self.containers = Containers(store.read, self.committer, environments, limits)
        self.pools = Pools(self.committer, self.dispatch, default_pool, self.containers, limits, self._loop)
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
            read=store.read,
            audit=self.audit,
        )
        self.permits = self._permits()
        self.batches.accepted = self.permits.accepted
        self.events = self._events()
        self.stock = self._stock(broker)
        self.stock.changed = self.permits.endpoint_changed
        self.pools.lodging = ContainerPools(self.containers, self.pools.lodge, self.events.broken)
        self.containers.again = self.pools.try_again
        self.views = ServiceStatus(store, self.dispatch, self.outcomes, self.pools, self.containers)
        self.listing = Listing(store.read, self.dispatch, self.groups, blobs.read)
        self.retention = Retention(
            store.read, self.committer, self.blobs, limits, self.groups.take_acknowledged
        )

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
            blobs=self.blobs,
            rights=self.blob_rights,
            batches=self.batches,
            limits=limits,
            elsewhere=lambda *what: self.stock.place(*what),  # noqa: PLW0108 - stock is made after this
        )

    def _permits(self) -> AuthorizationRecheck:
        return AuthorizationRecheck(
            dispatch=self.dispatch,
            batches=self.batches,
            functions=self.functions,
            outcomes=self.outcomes,
            endpoint_of=lambda pool: self.stock.endpoint_of(pool),  # noqa: PLW0108 - stock is made after this
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
            committer=self.committer,
            loop=self._loop,
        )

    def _stock(self, broker: BrokerSettings | None) -> GlobusCompute:
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
            settings=broker,
        )

    def make_engine(self) -> None:
        """The engine comes last: it may ask for work at once."""
        self.stock.engine.restore()
        self.pools.engine = Engines(self._make_engine(self.events), self.stock.engine)

    def exists(self, pool: bytes) -> bool:
        """Whether tasks of this pool can be run."""
        return self.stock.engine.knows(pool) or self.pools.exists(pool)

    # -- what happens after commits -----------------------------------------------------------------------

    def _stored(self, entries: list[Entry], finished: list[OpenBatch], unused: list[str]) -> None:
        for batch in finished:
            self.batches.finish(batch)
            self.permits.finished(batch.number)
            self.stock.engine.finished(batch.lane.pool, batch.number)
        self.groups.stored(entries)
        self.blobs.delete(unused)

    def _wake(self, pool: bytes) -> None:
        """Have the engine take from a pool; the tasks of one that has failed end, also those accepted since."""
        if failure := self.pools.failure(pool):
            self.events.end_queued(pool, failure)
        else:
            self.pools.engine.wake(pool)

    def wake_all(self) -> None:
        """There may be work for any pool."""
        for pool in self.pools.running():
            self._wake(pool)
        self.stock.engine.wake_all()


class Engines:
    """An Engine: pools that are user endpoints of stock endpoints go to ``broker``, all others to ``own``."""

    def __init__(self, own: Engine, broker: BrokerEngine) -> None:
        self._own = own
        self._broker = broker

    def _of(self, pool: bytes) -> Engine:
        if self._broker.knows(pool):
            return self._broker
        return self._own

    def open(self, pool: bytes, spec: PoolSpec, environment: Environment | None = None) -> None:
        """See Engine."""
        self._of(pool).open(pool, spec, environment)

    def wake(self, pool: bytes) -> None:
        """See Engine."""
        self._of(pool).wake(pool)

    def withdraw(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """See Engine."""
        return self._of(pool).withdraw(pool, tasks)

    def stop_tasks(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """See Engine."""
        return self._of(pool).stop_tasks(pool, tasks)

    def close_pool(self, pool: bytes) -> None:
        """See Engine."""
        self._of(pool).close_pool(pool)

    def workers(self) -> list[WorkerView]:
        """See Engine."""
        return [*self._own.workers(), *self._broker.workers()]

    async def close(self) -> None:
        """See Engine."""
        await asyncio.gather(self._own.close(), self._broker.close())
