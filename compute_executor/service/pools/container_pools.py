"""Pools whose workers start in containers: opened when the container is ready, ended if it never will be.

Each Executor's pool, and the default one, has such a pool beside it for each container that its tasks ask for. Its id
follows from both, so that a task finds it also after a restart. Until the container is ready the engine does not know
the pool, and the tasks wait in their queue. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from compute_executor.errors import ComputeError
from compute_executor.protocol.frames import PoolSpec
from compute_executor.service.pools.containers import Containers
from compute_executor.service.store.rows import ID_BYTES

if TYPE_CHECKING:
    from compute_executor.endpoint.environments.environment import Environment


def lodged(pool: bytes, container: bytes) -> bytes:
    """The id of the pool like ``pool`` whose workers are in ``container``."""
    return hashlib.sha256(b"compute-executor pool in container" + pool + container).digest()[:ID_BYTES]


class ContainerPools:
    """``opened``: called with pool, its description and its environment; ``broken``: with pool and reason."""

    def __init__(
        self,
        containers: Containers,
        opened: Callable[[bytes, PoolSpec, Environment], object],
        broken: Callable[[bytes, str], object],
    ) -> None:
        self._containers = containers
        self._opened = opened
        self._broken = broken
        self._waiting: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """How many pools wait for their container."""
        return len(self._waiting)

    def open(self, pool: bytes, spec: PoolSpec) -> None:
        """Open this pool as soon as it can be."""
        task = asyncio.get_running_loop().create_task(self._open(pool, spec))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _open(self, pool: bytes, spec: PoolSpec) -> None:
        assert spec.container is not None
        try:
            environment = await self._containers.environment(spec.container)
        except ComputeError as error:
            self._broken(pool, str(error))
        else:
            self._opened(pool, spec, environment)

    async def close(self) -> None:
        """Open no more."""
        waiting = list(self._waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
