"""Pools whose workers start in containers: opened when the container is ready, broken if it never will be.

Each Executor's pool, and the default one, has such a pool beside it for each container that its tasks ask for. Its id
follows from both, so that a task finds it also after a restart. Until the container is ready, the engine of the
workers does not know the pool, and the tasks wait in their queue. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection

from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.pool.engine import Engine
from compute_executor.endpoint.pool.events import EngineEvents, WorkerView
from compute_executor.errors import ComputeError
from compute_executor.protocol.frames import PoolSpec
from compute_executor.service.pools.containers import Containers
from compute_executor.service.store.rows import ID_BYTES


def container_pool_id(pool: bytes, container: bytes) -> bytes:
    """Return the id of the pool like ``pool`` whose workers are in ``container``."""
    return hashlib.sha256(b"compute-executor pool in container" + pool + container).digest()[:ID_BYTES]


class ContainerEngine:
    """An `endpoint.pool.engine.Engine` over another one, which opens a pool as soon as its container is ready."""

    def __init__(self, engine: Engine, containers: Containers, events: EngineEvents) -> None:
        self._engine = engine
        self._containers = containers
        self._events = events
        self._waiting: dict[bytes, asyncio.Task[None]] = {}  # pools for their containers

    def open(self, pool: bytes, spec: PoolSpec, environment: Environment | None = None) -> None:
        """See Engine."""
        if spec.container is None:
            self._engine.open(pool, spec, environment)
        elif pool not in self._waiting:
            waiting = asyncio.get_running_loop().create_task(self._open(pool, spec, spec.container))
            self._waiting[pool] = waiting
            waiting.add_done_callback(lambda _: self._waiting.pop(pool, None))

    async def _open(self, pool: bytes, spec: PoolSpec, container: bytes) -> None:
        try:
            environment = await self._containers.environment(container)
        except ComputeError as error:
            self._events.broken(pool, str(error))
            return
        if environment.image and (spec.devices or spec.threads):
            self._events.broken(
                pool,
                "gpus and threads_per_worker set environment variables of workers, and those in the image "
                f"{environment.image} are the image's own: leave them out, or take an environment without an image",
            )
        else:
            self._engine.open(pool, spec, environment)
            self._engine.wake(pool)

    def wake(self, pool: bytes) -> None:
        """See Engine."""
        self._engine.wake(pool)

    def withdraw(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """See Engine."""
        return self._engine.withdraw(pool, tasks)

    def stop_tasks(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """See Engine."""
        return self._engine.stop_tasks(pool, tasks)

    def close_pool(self, pool: bytes) -> None:
        """See Engine. A pool that still waits for its container is not opened."""
        if pool in self._waiting:
            self._waiting.pop(pool).cancel()
        self._engine.close_pool(pool)

    def workers(self) -> list[WorkerView]:
        """See Engine."""
        return self._engine.workers()

    async def close(self) -> None:
        """See Engine."""
        waiting = list(self._waiting.values())
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await self._engine.close()
