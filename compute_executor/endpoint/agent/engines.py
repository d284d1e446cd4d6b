"""The engine of an endpoint by the name in its configuration."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from compute_executor.endpoint.agent.folder import EndpointFolder
from compute_executor.endpoint.engine_kinds import KINDS
from compute_executor.endpoint.leases.frames import TaskName
from compute_executor.endpoint.leases.holder import LeaseHolder
from compute_executor.endpoint.own_workers import local_offer, worker_spec
from compute_executor.endpoint.pool.engine import Engine, ProcessEngine
from compute_executor.endpoint.settings import EndpointSettings
from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import PoolSpec

TRY_AGAIN = 15.0
"""Seconds until workers are started again that could not start."""


class RunningEngine(Protocol):
    """An engine with what the endpoint asks of it besides."""

    @property
    def engine(self) -> Engine: ...

    def workers(self) -> int:
        """Return how many tasks can run at a time now, or could if they came."""
        ...

    def failed(self, message: str) -> None:
        """Note that the pool is broken: open it again after a while."""

    def queued(self, count: int) -> None:
        """So many tasks wait at the service."""

    def shared_dropped(self, names: list[str]) -> None:
        """Note that nobody needs these shared values any more."""

    def recall(self, tasks: list[TaskName], done: Callable[[], None]) -> None:
        """Ask workers elsewhere for these tasks; ``done`` is called when they have given back what has not begun."""

    def state(self) -> dict[str, Any]:
        """Return how it is doing, for people to look at."""
        ...


class ProcessWorkers:
    """Worker processes on this machine. A `RunningEngine`."""

    def __init__(self, engine: ProcessEngine, pool: bytes, spec: PoolSpec, holder: LeaseHolder) -> None:
        self.engine: Engine = engine
        self._pool = pool
        self._spec = spec
        self._holder = holder
        self._trouble = ""
        engine.open(pool, spec)

    def workers(self) -> int:
        """See RunningEngine."""
        return 0 if self._trouble else self._spec.max_workers

    def failed(self, message: str) -> None:
        """See RunningEngine."""
        self._trouble = message
        asyncio.get_running_loop().call_later(TRY_AGAIN, self._again)

    def _again(self) -> None:
        self._trouble = ""
        self.engine.open(self._pool, self._spec)
        self._holder.working()

    def queued(self, count: int) -> None:
        """See RunningEngine. There are as many workers as there are."""

    def shared_dropped(self, names: list[str]) -> None:
        """See RunningEngine. They are files of this machine alone."""

    def recall(self, tasks: list[TaskName], done: Callable[[], None]) -> None:  # noqa: ARG002
        """See RunningEngine. `Engine.withdraw` has told already."""
        done()

    def state(self) -> dict[str, Any]:
        """See RunningEngine."""
        offer = local_offer(self._spec)._asdict()
        return {"trouble": self._trouble, "python": sys.version.split()[0], "offer": offer}


OpenEngine = Callable[[EndpointSettings, EndpointFolder, Path, bytes, LeaseHolder], Awaitable[RunningEngine]]
"""Starts the engine of an endpoint, see `open_engine`."""


async def open_engine(
    settings: EndpointSettings, folder: EndpointFolder, rings: Path, pool: bytes, holder: LeaseHolder
) -> RunningEngine:
    """Return the engine that the settings name, started. Raises InvalidRequest."""
    if settings.gpus and not settings.kind.one_on_a_machine:
        able = [kind.name for kind in KINDS.values() if kind.one_on_a_machine]
        raise InvalidRequest(
            f"--gpus is for the engines {', '.join(able)}: of {settings.engine}, several places "
            "for workers may be on one machine, and none knows which devices the others have. Leave it out, and have "
            "the engine give devices to its tasks"
        )
    if settings.kind.is_here:
        engine = ProcessEngine(holder, blob_folder=folder.blobs, ring_folder=rings)
        return ProcessWorkers(engine, pool, worker_spec(settings, folder.name), holder)
    from compute_executor.endpoint.agent.pilot_workers import open_pilots  # only engines elsewhere need it

    return await open_pilots(settings, folder, rings, pool, holder)
