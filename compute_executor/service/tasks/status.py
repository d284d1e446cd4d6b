"""What can be seen of the service: one task, a group's batches, how it is doing as a whole."""

from __future__ import annotations

import platform
import time
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from compute_executor._version import __version__
from compute_executor.protocol.frames import VALUE, Result
from compute_executor.protocol.ids import task_uuid
from compute_executor.service.access import Identity, check
from compute_executor.service.blobs.disk import DiskUse
from compute_executor.service.endpoints.engines import Engines
from compute_executor.service.pools.containers import Containers
from compute_executor.service.pools.pools import Pools
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.scheduling.lifecycle import State
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.store.store import Store
from compute_executor.service.tasks.outcomes import Outcomes
from compute_executor.service.tasks.ownership import owner_of_task

if TYPE_CHECKING:
    from compute_executor.endpoint.pool.events import WorkerView

STATUS_WORDS = {
    State.QUEUED: "waiting-for-ep",
    State.LEASED: "waiting-for-launch",
    State.BEGAN: "running",
    State.DONE: "running",  # until its outcome is stored
}
"""How Globus Compute calls the states of a task that has not ended."""
SUCCESS, FAILED = "success", "failed"


@cache
def _own_workers() -> dict[str, str]:
    """Return what is told of workers of this machine."""
    return {"os": platform.platform(), "compute_executor_version": __version__}


class TaskView(NamedTuple):
    """One task as its owner sees it. ``status``: a word of Globus Compute's. ``outcome``: how it ended, if it has."""

    prefix: bytes
    position: int
    status: str
    outcome: Result | None
    group: bytes


class ServiceStatus:
    """Read-only views of a service: one task, the service as a whole, the counts of one user."""

    def __init__(  # noqa: PLR0917 - what it reads
        self,
        store: Store,
        dispatch: Dispatch,
        outcomes: Outcomes,
        pools: Pools,
        containers: Containers,
        engines: Engines,
        disk: DiskUse,
    ) -> None:
        self._disk = disk
        self._store = store
        self._dispatch = dispatch
        self._outcomes = outcomes
        self._pools = pools
        self._containers = containers
        self._engines = engines
        self._started = time.monotonic()

    def task(self, who: Identity, prefix: bytes, position: int) -> TaskView:
        """Return one task. Raises NotFound."""
        name = f"task {task_uuid(prefix, position)}"
        batch = self._store.read.batch(prefix)
        check(who, "read task", owner_of_task(batch, position), name)
        assert batch is not None
        outcome = self._store.read.outcome(batch.number, prefix, position)
        if outcome is None and not batch.finished:
            outcome = self._outcomes.outcome(batch.number, position)
        if outcome is not None:
            status = SUCCESS if outcome.status == VALUE else FAILED
        else:
            status = _waiting(self._dispatch.by_prefix(prefix), position)
        return TaskView(prefix, position, status, outcome, batch.group)

    def worker_details(self, prefix: bytes) -> dict[str, Any] | None:
        """Return what the workers that run tasks of a batch say of themselves; None if they are our own."""
        found = self._store.read.rows("batch_pool", (prefix,))
        return self._engines.worker_details(bytes(found[0][0])) if found else None

    def task_details(self, outcome: Result) -> dict[str, Any]:
        """Return what is known of the workers that ran a task, and when they did, as Unix times of their clock."""
        found = {
            name: when
            for name, when in (("execution-start", outcome.began), ("execution-end", outcome.ended))
            if when
        }
        return {**(self.worker_details(outcome.prefix) or _own_workers()), "task_transitions": found}

    def overview(self, connections: int) -> dict[str, Any]:
        """Return what `status` shows: plain values."""
        return {
            "uptime": time.monotonic() - self._started,
            "durability": "machine" if self._store.durable else "process",
            "tasks": {**self._dispatch.by_state(), "ended_since_start": self._outcomes.stored_count},
            "storing": "stalled" if self._outcomes.stalled else "ok",
            "disk": self._disk.view(),
            "connections": connections,
            "workers": [self._worker(view) for view in self._engines.workers()],
            "pools": self._pools.view(),
            "environments": self._containers.environments.all(),
        }

    def own(self, who: Identity) -> dict[str, Any]:
        """Return what `status` shows of the tasks of one user."""
        states = Counter[int]()
        for batch in self._dispatch.batches():
            if batch.owner == who.id:
                states.update(batch.states)
        return {"tasks": {state.name.lower(): states[state] for state in State}}

    def _worker(self, view: WorkerView) -> dict[str, Any]:
        task = None
        if view.task is not None:
            batch = self._dispatch.by_number(view.task[0])
            task = task_uuid(batch.prefix, view.task[1]) if batch else None
        return {"pid": view.pid, "pool": view.pool.hex(), "state": view.state, "task": task}


def _waiting(batch: OpenBatch | None, position: int) -> str:
    """Return the word for a task without outcome. A batch that is stored this moment is not in dispatch yet."""
    return STATUS_WORDS[State(batch.states[position]) if batch else State.QUEUED]
