"""Who works in a pool: starting workers, counting those that fail to, letting go those that idle.

All state belongs to the loop's thread.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.environments.recipes import OWN_PYTHON
from compute_executor.endpoint.pool import loss_reasons
from compute_executor.endpoint.pool.launch import Launch, launch
from compute_executor.endpoint.pool.prestarted import PrestartedWorker
from compute_executor.endpoint.pool.result_files import ResultRingFiles
from compute_executor.endpoint.pool.worker_handle import WorkerEvents, WorkerHandle
from compute_executor.endpoint.worker import messages
from compute_executor.endpoint.worker.begun_log import SUFFIX, BegunLog
from compute_executor.protocol.frames import INLINE_LIMIT, PoolSpec
from compute_executor.protocol.resources import ResourceOffer, offer_of
from compute_executor.surroundings import local_text

log: logging.Logger = logging.getLogger(__name__)

MOST_FAILURES = 3
"""Workers in a row that may die before they are ready; then the pool is broken."""

SCARCE = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}
"""What the system says if there are too many descriptors, processes, or too little memory: that may pass."""
SCARCE_PAUSE = 1.0
"""Seconds until another try."""
SCARCE_PATIENCE = 60.0
"""Seconds without a single worker after which the pool is broken."""

IDLE_AFTER = 10.0
"""Seconds without work after which a worker is let go, unless it is the last."""


class WorkerPlace(NamedTuple):
    """Where an engine works. ``durable``: blobs of results survive a power loss as well; ``memory``: bytes that tasks
    may have together, 0 if that is not known."""

    blob_folder: str
    ring_folder: str
    durable: bool = False
    memory: int = 0


class BegunLogFiles:
    """The begun logs of an engine. One is given from worker to worker and not removed: see begun_log.py.
    ``ring_files``: the result rings that lie beside them."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.ring_files: ResultRingFiles = ResultRingFiles(folder)
        self._free: list[BegunLog] = []

    def take(self) -> BegunLog:
        """Return one that no living worker uses."""
        if self._free:
            return self._free.pop()
        return BegunLog(os.path.join(self._folder, os.urandom(8).hex() + SUFFIX))

    def give_back(self, begun_log: BegunLog) -> None:
        """Note that its worker is dead."""
        self._free.append(begun_log)


class WorkerSet:
    """The workers of a pool, of at most ``spec.max_workers``; in ``environment``, if there is one. ``spare``: where
    one may wait already."""

    def __init__(
        self,
        spec: PoolSpec,
        place: WorkerPlace,
        begun_logs: BegunLogFiles,
        spare: PrestartedWorker,
        environment: Environment | None = None,
    ) -> None:
        self.spec = spec
        self.most: int = spec.max_workers
        """How many there may be."""
        self.offer: ResourceOffer = offer_of(spec, place.memory)
        """What they have for tasks, all together."""
        self.handles: list[WorkerHandle] = []
        self._place = place
        self._begun_logs = begun_logs
        self._spare = spare
        self._environment = environment
        self._path = [local_text(entry) for entry in spec.path]
        self._launches = [launch(one, environment, place.blob_folder) for one in specs_by_devices(spec)]
        self._failures = 0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._scarce_timer: asyncio.TimerHandle | None = None
        self._scarce_since: float | None = None

    def ready(self) -> list[WorkerHandle]:
        """Return those that can be given tasks."""
        return [handle for handle in self.handles if handle.is_ready and not handle.ending]

    def starting(self) -> int:
        """Return how many are not ready yet."""
        return sum(not handle.is_ready and not handle.ending for handle in self.handles)

    def start(self, events: WorkerEvents) -> None:
        """Start one more. Raises OSError if the system would not."""
        begun_log = self._begun_logs.take()
        plan = self._next_launch()
        setup = self._setup(begun_log, plan)
        try:
            spare = self._spare.take(plan, self._path)
            self.handles.append(
                WorkerHandle(events, begun_log, plan, self._begun_logs.ring_files, setup, spare=spare)
            )
        except OSError:
            self._begun_logs.give_back(begun_log)
            raise

    def _next_launch(self) -> Launch:
        """Return how to start another: with the devices that fewest workers have. Those that end count last."""

        def taken(plan: Launch) -> tuple[int, int]:
            its = [handle.ending for handle in self.handles if handle.launch is plan]
            return its.count(False), len(its)

        return min(self._launches, key=taken)

    def _setup(self, begun_log: BegunLog, plan: Launch) -> bytes:
        place, inside = self._place, self._environment
        caller, path = b"", self._path
        if inside is not None:
            caller = (self.spec.python_version or OWN_PYTHON).encode()
            path = [*inside.path, *inside.caller_path(self.spec)]
        return messages.pack_parts(
            [
                os.fsencode(begun_log.path),
                os.fsencode(place.blob_folder),
                str(INLINE_LIMIT).encode(),
                b"1" if place.durable else b"0",
                self.spec.initializer or b"",
                b"\0".join(map(os.fsencode, plan.support)),
                caller,
                b"1" if plan.contained else b"0",
                self.spec.surroundings,
                *map(os.fsencode, path),
            ]
        )

    def remove(self, handle: WorkerHandle) -> None:
        """Note that this one is dead."""
        self.handles.remove(handle)
        self._begun_logs.give_back(handle.begun_log)

    def leave_spare(self) -> None:
        """Note that all are gone: let one wait for the next pool of this kind, if they worked."""
        if not self._failures:
            self._spare.prepare(self._launches[0], self._path)

    def could_not_start(self, error: OSError, again: Callable[[], None]) -> bool:
        """Note that the system would not start another. Return whether the pool can go on: with those that there are,
        or by waiting until the system has room (``again`` is called then), but not for ever if there are none."""
        self.most = len(self.handles)
        if error.errno not in SCARCE:
            return self.most > 0
        loop = asyncio.get_running_loop()
        if self._scarce_since is None:
            self._scarce_since = loop.time()
            log.warning("no more than %d workers can be started now: %s", self.most, error)
        if not self.handles and loop.time() - self._scarce_since > SCARCE_PATIENCE:
            return False
        if self._scarce_timer is None:
            self._scarce_timer = loop.call_later(SCARCE_PAUSE, self._try_again, again)
        return True

    def _try_again(self, again: Callable[[], None]) -> None:
        self._scarce_timer = None
        self.most = self.spec.max_workers
        again()

    def worker_started(self) -> None:
        """Note that a worker has become ready, so they can."""
        self._failures = 0
        self._scarce_since = None

    def failed(self, exit_code: int, final_output: bytes) -> str | None:
        """Note that a worker died before it was ready. Return what to say if that is once too often."""
        self._failures += 1
        if self._failures < MOST_FAILURES:
            return None
        return loss_reasons.cannot_start(self.spec, exit_code, final_output, self._failures)

    def end(self, handles: list[WorkerHandle], *, hurry: bool = False) -> None:
        """End these; the pool takes no more work. ``hurry``: the whole service ends."""
        for timer in (self._idle_timer, self._scarce_timer):
            if timer is not None:
                timer.cancel()
        self._idle_timer = self._scarce_timer = None
        for handle in handles:
            handle.end(hurry=hurry)

    def schedule_idle_end(self) -> None:
        """Let go workers beyond one that have nothing to do for a while, counting from now."""
        if self._idle_timer is None and len(self.handles) > 1 and len(self.ready()) > 1:
            self._idle_timer = asyncio.get_running_loop().call_later(
                IDLE_AFTER, self._end_idle, self._work_done()
            )

    def _work_done(self) -> dict[WorkerHandle, int]:
        return {handle: handle.begun_log.count() for handle in self.ready()}

    def _end_idle(self, work_done: dict[WorkerHandle, int]) -> None:
        self._idle_timer = None
        ready = self.ready()
        idle = [m for m in ready if not m.tasks and work_done.get(m) == m.begun_log.count()]
        for handle in idle[: len(ready) - 1]:
            handle.end()
        self.schedule_idle_end()


def specs_by_devices(spec: PoolSpec) -> list[PoolSpec]:
    """Return the specification with the variables of each worker's devices; as it is, if it has none."""
    if not spec.devices:
        return [spec]
    return [msgspec.structs.replace(spec, environ={**spec.environ, **one.variables}) for one in spec.devices]
