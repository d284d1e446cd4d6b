"""An engine runs tasks in pools of workers. :class:`ProcessEngine`: each worker a process on this machine.

The service gives work when it is asked (:meth:`EngineEvents.take`) and is told what became of it. Everything happens
on the event loop that runs when the engine is made; nothing blocks it but starting a process (about 1 ms).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection
from typing import Protocol

from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.pool.events import EngineEvents, WorkerView
from compute_executor.endpoint.pool.pool import WorkerPool
from compute_executor.endpoint.pool.prestarted import PrestartedWorker
from compute_executor.endpoint.pool.worker_set import BegunLogFiles, WorkerPlace, WorkerSet
from compute_executor.protocol.frames import PoolSpec
from compute_executor.surroundings import usable_memory


class Engine(Protocol):
    """What runs tasks. All calls are made on the loop's thread and return at once."""

    def open(self, pool: bytes, spec: PoolSpec, environment: Environment | None = None) -> None:
        """Note that there is a pool; its workers start in ``environment``. Again with the same name: nothing
        happens."""

    def wake(self, pool: bytes) -> None:
        """Note that there is work to take for it."""

    def withdraw(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """Of these (batch, position) that the engine has taken: those that now surely do not run and are not the
        engine's any more."""
        ...

    def stop_tasks(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """End the workers that run any of these (batch, position) now; which of them these workers had. Each is
        reported as lost or returned when its worker is gone, unless it has ended by itself."""
        ...

    def close_pool(self, pool: bytes) -> None:
        """Note that no more work will come: its workers end when it is done. A name that is not open: nothing
        happens."""

    def workers(self) -> list[WorkerView]:
        """Return all workers there are."""
        ...

    async def close(self) -> None:
        """Stop everything. What had not begun is returned, what ran is lost. Returns when all workers are gone."""


class ProcessEngine:
    """Pools of worker processes on this machine. An :class:`Engine`.

    ``blob_folder``: where large bodies are read and results above INLINE_LIMIT written, under names drawn here;
    ``durable``: synced before they are reported. ``ring_folder``: where the begun logs and result rings lie, which
    the service has read and cleared. Both must exist.
    """

    def __init__(
        self,
        events: EngineEvents,
        *,
        blob_folder: str | os.PathLike[str],
        ring_folder: str | os.PathLike[str],
        durable: bool = False,
    ) -> None:
        self._events = events
        self._place = WorkerPlace(os.fspath(blob_folder), os.fspath(ring_folder), durable, usable_memory())
        self._rings = BegunLogFiles(self._place.ring_folder)
        self._spare = PrestartedWorker(self._rings.ring_files)
        self._closing = False
        self._pools: dict[bytes, WorkerPool] = {}
        self._empty = asyncio.Event()

    def open(self, pool: bytes, spec: PoolSpec, environment: Environment | None = None) -> None:
        """See Engine. Starts the first worker."""
        if pool in self._pools:
            return

        def gone() -> None:
            self._forget(pool)
            if not self._closing:
                workers.leave_spare()

        workers = WorkerSet(spec, self._place, self._rings, self._spare, environment)
        self._pools[pool] = WorkerPool(pool, self._events, workers, gone)
        self._pools[pool].open()

    def _forget(self, pool: bytes) -> None:
        self._pools.pop(pool, None)
        if not self._pools:
            self._empty.set()

    def wake(self, pool: bytes) -> None:
        """See Engine."""
        if pool in self._pools:
            self._pools[pool].feed()

    def withdraw(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """See Engine. A task that shares a chunk with one that has begun is not withdrawn any more."""
        return self._pools[pool].withdraw(tasks) if pool in self._pools else set()

    def stop_tasks(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """See Engine."""
        return self._pools[pool].stop_tasks(tasks) if pool in self._pools else set()

    def close_pool(self, pool: bytes) -> None:
        """See Engine."""
        if pool in self._pools:
            self._pools[pool].close()

    def workers(self) -> list[WorkerView]:
        """See Engine."""
        return [view for pool in self._pools.values() for view in pool.views()]

    async def close(self) -> None:
        """See Engine. Takes up to 2 s: SIGTERM first, then SIGKILL."""
        self._closing = True
        for pool in list(self._pools.values()):
            pool.stop()
        if self._pools:
            self._empty.clear()
            await self._empty.wait()
        await self._spare.close()
