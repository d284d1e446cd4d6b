"""The engines of a service: that of the built-in endpoint, and one for each kind of registered endpoints."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from compute_executor.endpoint.pool.engine import Engine
from compute_executor.endpoint.pool.events import WorkerView
from compute_executor.protocol.frames import PoolSpec
from compute_executor.service.endpoints.remote_kind import AccountOpener, RemoteKind
from compute_executor.service.system_accounts import AccountUser

if TYPE_CHECKING:
    from compute_executor.endpoint.environments.environment import Environment


class Engines:
    """An `endpoint.pool.engine.Engine` that hands each call to the engine of the pool: that of a remote kind, if the
    pool is on an endpoint of that kind, else that of the built-in endpoint.

    Made empty, because engines report to components that need this one; `wiring` adds them before anything starts.
    """

    def __init__(self) -> None:
        self._built_in: list[Engine] = []
        self._kinds: dict[str, RemoteKind] = {}
        self._accounts: list[AccountOpener] = []

    def add_built_in(self, engine: Engine) -> None:
        """Add the engine of the built-in endpoint: there is one."""
        assert not self._built_in
        self._built_in.append(engine)

    def add(self, kind: RemoteKind) -> None:
        """Add a kind of registered endpoints."""
        assert kind.name not in self._kinds
        self._kinds[kind.name] = kind

    def add_accounts(self, kind: AccountOpener) -> None:
        """Add what runs pools of the built-in endpoint under accounts of their users."""
        self.add(kind)
        self._accounts.append(kind)

    def open_as(self, pool: bytes, spec: PoolSpec, user: AccountUser) -> None:
        """Open a pool of the built-in endpoint whose workers run under the account of its user."""
        self._accounts[0].open(pool, spec, user)

    def released(self, exists: Callable[[bytes], bool]) -> None:
        """Note that all pools that there were before a restart and are needed are open again; ``exists``: which are
        known."""
        for kind in self._accounts:
            kind.released(exists)

    # -- registered endpoints -----------------------------------------------------------------------------

    def kind(self, name: str) -> RemoteKind:
        """Return the kind that registered endpoints of this name are of."""
        return self._kinds[name]

    def endpoint_of(self, pool: bytes) -> uuid.UUID | None:
        """Return the endpoint that a pool is on; None if it is a pool of the service's own workers."""
        kind = self._remote(pool)
        return None if kind is None else kind.endpoint_of(pool)

    def worker_details(self, pool: bytes) -> dict[str, Any] | None:
        """Return what the workers of a pool say of themselves; None if they are our own, or have not said
        anything."""
        kind = self._remote(pool)
        return None if kind is None else kind.worker_details(pool)

    def batch_finished(self, pool: bytes, batch: int) -> None:
        """Note that every outcome of a batch of this pool is stored."""
        kind = self._remote(pool)
        if kind is not None:
            kind.batch_finished(pool, batch)

    async def recalled(self, pool: bytes) -> None:
        """Return when the endpoint of a pool has given back what it was asked for."""
        kind = self._remote(pool)
        if kind is not None:
            await kind.recalled(pool)

    def outcomes_stored(self) -> None:
        """Note that more outcomes are stored."""
        for kind in self._kinds.values():
            kind.outcomes_stored()

    def bodies_deleted(self, names: list[str]) -> None:
        """Note that the files of these bodies are deleted."""
        for kind in self._kinds.values():
            kind.bodies_deleted(names)

    def is_sent_shared(self, pool: bytes) -> bool:
        """Return whether the workers of a pool have to be sent values that calls share: ours read the service's."""
        kind = self._remote(pool)
        return kind is not None and kind.takes_shared

    def takes_shared(self, pool: bytes) -> bool:
        """Return whether the workers of a pool can be given values that calls share."""
        kind = self._remote(pool)
        return kind is None or kind.takes_shared

    def restore(self) -> None:
        """Recover which tasks endpoints hold from before a restart."""
        for kind in self._kinds.values():
            kind.restore()

    async def start(self) -> None:
        """Begin to speak to registered endpoints."""
        for kind in self._kinds.values():
            await kind.start()

    def _remote(self, pool: bytes) -> RemoteKind | None:
        for kind in self._kinds.values():
            if kind.endpoint_of(pool) is not None:
                return kind
        return None

    # -- Engine -------------------------------------------------------------------------------------------

    def _of(self, pool: bytes) -> Engine:
        kind = self._remote(pool)
        return self._built_in[0] if kind is None else kind.engine

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
        for kind in self._accounts:
            kind.close_pool(pool)
        self._of(pool).close_pool(pool)

    def workers(self) -> list[WorkerView]:
        """See Engine."""
        engines = [*self._built_in, *(kind.engine for kind in self._kinds.values())]
        return [view for engine in engines for view in engine.workers()]

    async def close(self) -> None:
        """See Engine."""
        own = [engine.close() for engine in self._built_in]
        await asyncio.gather(*own, *(kind.close() for kind in self._kinds.values()))
