"""The composition root: constructs the components of a service, each after those that it needs. Nothing is started or
read by it.

Two circles are in the nature of the thing. Engines report to components that ask engines to run tasks, so `Engines`
is made empty and filled last. And a container that is registered again gives the pools that failed for want of it
another try, so `Pools` listens to `Containers`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from compute_executor.endpoint.environments.environments import Environments
from compute_executor.protocol.frames import PoolSpec
from compute_executor.service.agents.kind import Agents
from compute_executor.service.audit import Audit
from compute_executor.service.blobs.disk import DiskUse
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.blobs.holds import BlobHolds
from compute_executor.service.blobs.references import BlobReferences
from compute_executor.service.blobs.rights import BlobRights
from compute_executor.service.endpoints.engines import Engines
from compute_executor.service.endpoints.registry import Endpoints
from compute_executor.service.globus_compute.peers import BrokerSettings, GlobusCompute
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.pools.container_pools import ContainerEngine
from compute_executor.service.pools.containers import Containers
from compute_executor.service.pools.pools import Pools
from compute_executor.service.pools.served import ServedUsers
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.scheduling.speakers import Speakers
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.store import Store
from compute_executor.service.tasks.after_commit import AfterCommit
from compute_executor.service.tasks.cancelling import Cancelling
from compute_executor.service.tasks.disk_space import DiskSpace
from compute_executor.service.tasks.engine_reports import EngineReports
from compute_executor.service.tasks.figures import FinishedCounts, TaskFigures
from compute_executor.service.tasks.functions import Functions
from compute_executor.service.tasks.groups import TaskGroups
from compute_executor.service.tasks.large_results import LargeResults
from compute_executor.service.tasks.listing import Listing
from compute_executor.service.tasks.live_output import LiveOutput
from compute_executor.service.tasks.open_batches import OpenBatches
from compute_executor.service.tasks.outcomes import Outcomes
from compute_executor.service.tasks.printed import Printed
from compute_executor.service.tasks.queue_control import QueueControl, wake_all
from compute_executor.service.tasks.recheck import AuthorizationRecheck
from compute_executor.service.tasks.retention import Retention
from compute_executor.service.tasks.status import ServiceStatus
from compute_executor.service.tasks.submissions import Submissions
from compute_executor.service.tasks.usage import StoredUsage

if TYPE_CHECKING:
    from compute_executor.endpoint.pool.engine import Engine
    from compute_executor.endpoint.pool.events import EngineEvents
    from compute_executor.service.run_as.kind import AccountPools, RunAs


class Components:
    """Everything in a service, by name. Owner of all of it: the loop thread that runs when this is made.

    The store is open already. ``engine`` makes the engine of the service's own pools; ``default_pool``: the workers
    for tasks without a pool. ``operators``: see `pools.Pools`.
    """

    def __init__(
        self,
        store: Store,
        blobs: BlobFolder,
        engine: Callable[[EngineEvents], Engine],
        *,
        environments: Environments,
        limits: ServiceLimits,
        default_pool: PoolSpec | None = None,
        broker: BrokerSettings | None = None,
        operators: frozenset[str] | None = None,
        run_as: RunAs | None = None,
    ) -> None:
        self.limits = limits
        self.environments = environments
        self._run_as = run_as
        self._loop = asyncio.get_running_loop()
        self._make_what_is_stored(store, blobs)
        self._make_places(default_pool, operators)
        self._make_the_way_of_tasks()
        self._make_views()
        self._make_engines(engine, broker)

    def _make_what_is_stored(self, store: Store, blobs: BlobFolder) -> None:
        self.store = store
        self.blob_folder = blobs
        self.users: Speakers = Speakers()
        self.committer: Committer = Committer(store, self._loop, self.users)
        self.holds: BlobHolds = BlobHolds(self._loop, self._let_go, self.limits.pool_grace)
        self.disk: DiskUse = DiskUse(blobs.folder, self.limits.disk)
        self.blobs: BlobReferences = BlobReferences(
            blobs,
            self.limits.body,
            store.read.blob_in_use,
            self.holds.held,
            self.disk,
            deleted=self._bodies_deleted,
        )
        self.blob_rights: BlobRights = BlobRights(store.read)
        self.usage: StoredUsage = StoredUsage(store.path, blobs.folder, self.blob_rights.unreferred)
        self.functions: Functions = Functions(
            read=store.read,
            committer=self.committer,
            blobs=self.blobs,
            rights=self.blob_rights,
            usage=self.usage,
            limits=self.limits,
        )
        self.audit: Audit = Audit()

    def _bodies_deleted(self, names: list[str]) -> None:
        self.engines.bodies_deleted(names)

    def _let_go(self, names: list[str]) -> None:
        """Delete blobs that no client holds any more, unless the store refers to them."""
        self.blobs.let_go(names)

    def _make_places(self, default_pool: PoolSpec | None, operators: frozenset[str] | None) -> None:
        self.dispatch: Dispatch = Dispatch()
        self.engines: Engines = Engines()
        self.endpoints: Endpoints = Endpoints(self.store.read, self.committer, self.limits)
        run_as = self._run_as
        served = ServedUsers(operators, run_as.accounts if run_as else None)
        self.served: ServedUsers = served
        self.containers: Containers = Containers(
            self.store.read, self.committer, self.environments, self.limits, served
        )
        self.pools: Pools = Pools(
            committer=self.committer,
            dispatch=self.dispatch,
            default=default_pool,
            containers=self.containers,
            engine=self.engines,
            limits=self.limits,
            loop=self._loop,
            served=served,
            open_as=self.engines.open_as,
            known_user=run_as.folders.user if run_as else lambda _: None,
        )

    def _make_the_way_of_tasks(self) -> None:
        self.groups: TaskGroups = TaskGroups(self.store.read, self.dispatch)
        self.large_results: LargeResults = LargeResults(
            self.store.read,
            self.committer,
            self._loop,
            disk=self.disk,
            grace=self.limits.keep_results,
            clients=self.groups.clients,
            delete=self.blobs.delete,
        )
        self.disk_space: DiskSpace = DiskSpace(
            self.disk, self.blobs, self.large_results, self.limits.keep_orphans
        )
        self.batches: OpenBatches = OpenBatches(
            read=self.store.read,
            dispatch=self.dispatch,
            functions=self.functions,
            groups=self.groups,
            engines=self.engines,
            body=self.blobs.named,
            budget=self.limits.decoded_tasks,
            loop=self._loop,
        )
        self.finished_counts: FinishedCounts = FinishedCounts(
            self.store.read, self.store.path, self.dispatch, lambda: self.retention.deleted
        )
        self.outcomes: Outcomes = Outcomes(
            self.committer,
            self._loop,
            self.groups.publish,
            AfterCommit(
                batches=self.batches,
                engines=self.engines,
                groups=self.groups,
                blobs=self.blobs,
                counts=self.finished_counts,
                large_results=self.large_results,
                read=self.store.read,
            ).stored,
            functools.partial(wake_all, self.dispatch, self.engines),
            commit_first=self.store.durable,
            users=self.users,
        )
        self.queues: QueueControl = QueueControl(self.dispatch, self.engines, self.outcomes, self.pools)
        self.recheck: AuthorizationRecheck = AuthorizationRecheck(
            dispatch=self.dispatch,
            batches=self.batches,
            functions=self.functions,
            outcomes=self.outcomes,
            endpoints=self.endpoints,
            engines=self.engines,
            queues=self.queues,
        )
        self.submissions: Submissions = Submissions(
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
            disk_space=self.disk_space,
            batches=self.batches,
            recheck=self.recheck,
            queues=self.queues,
            usage=self.usage,
            users=self.users,
            limits=self.limits,
        )
        self.cancelling: Cancelling = Cancelling(
            dispatch=self.dispatch,
            submissions=self.submissions,
            outcomes=self.outcomes,
            queues=self.queues,
            engines=self.engines,
            read=self.store.read,
            audit=self.audit,
        )

    def _make_views(self) -> None:
        self.status: ServiceStatus = ServiceStatus(
            self.store, self.dispatch, self.outcomes, self.pools, self.containers, self.engines, self.disk
        )
        self.live: LiveOutput = LiveOutput()
        self.listing: Listing = Listing(
            self.store.read,
            self.dispatch,
            self.groups,
            self.blob_folder.read,
            self.live,
            self.engines.workers,
            self.finished_counts,
        )
        self.printed: Printed = Printed(self.store.read, self.dispatch, self.live)
        self.retention: Retention = Retention(
            self.store.read,
            self.committer,
            self.blobs,
            self.limits,
            self.groups.take_acknowledged,
            self.disk_space.reclaim,
        )
        self.figures: TaskFigures = TaskFigures(
            self.store.read,
            self.store.path,
            self.dispatch,
            lambda: self.retention.deleted,
            self.finished_counts,
        )

    def _make_engines(self, engine: Callable[[EngineEvents], Engine], broker: BrokerSettings | None) -> None:
        self.reports: EngineReports = EngineReports(
            dispatch=self.dispatch,
            batches=self.batches,
            outcomes=self.outcomes,
            functions=self.functions,
            groups=self.groups,
            pools=self.pools,
            queues=self.queues,
            recheck=self.recheck,
            stopping=self.cancelling.stopping,
            live=self.live,
            committer=self.committer,
            loop=self._loop,
        )
        self.globus_compute: GlobusCompute = GlobusCompute(
            read=self.store.read,
            committer=self.committer,
            dispatch=self.dispatch,
            functions=self.functions,
            groups=self.groups,
            outcomes=self.outcomes,
            blobs=self.blobs,
            events=self.reports,
            endpoints=self.endpoints,
            registered=self.recheck.endpoint_changed,
            details=self.status.worker_details,
            settings=broker,
        )
        self.agents: Agents = Agents(
            read=self.store.read,
            committer=self.committer,
            dispatch=self.dispatch,
            events=self.reports,
            endpoints=self.endpoints,
            registered=self.recheck.endpoint_changed,
            limits=self.limits,
            shared=self.batches.shared_by,
        )
        self.engines.add_built_in(ContainerEngine(engine(self.reports), self.containers, self.reports))
        self.engines.add(self.globus_compute)
        self.engines.add(self.agents)
        self.account_pools: AccountPools | None = self._account_pools(self._run_as) if self._run_as else None

    def _account_pools(self, run_as: RunAs) -> AccountPools:
        from compute_executor.service.run_as.kind import (
            AccountPools,  # few services have it, and it is slow to import
        )

        made = AccountPools(
            read=self.store.read,
            committer=self.committer,
            dispatch=self.dispatch,
            events=self.reports,
            shared=self.batches.shared_by,
            folders=run_as.folders,
            address=run_as.address,
        )
        self.engines.add_accounts(made)
        return made

    def exists(self, pool: bytes) -> bool:
        """Return whether tasks of this pool can be run."""
        return self.engines.endpoint_of(pool) is not None or self.pools.exists(pool)
