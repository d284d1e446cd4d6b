"""Deleting what has been kept long enough, in steps so small that nobody notices.

A finished batch goes `ServiceLimits.keep_acknowledged` after its end if a client has acknowledged all its outcomes,
else `ServiceLimits.keep` after it; one that says how long it is to be kept, by that (`frames.Options.keep`). Its
outcomes go first, some at a time, then its row and the files that only it referred to. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from compute_executor.service.blobs.references import BlobReferences
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.reader import Reader

log: logging.Logger = logging.getLogger(__name__)

PERIOD = 60.0
"""Seconds between two looks for something to delete."""
PAUSE = 0.02
"""Seconds between two steps: others get the loop and the store in between."""
JUMP = 300.0
"""Seconds by which the wall clock may get ahead between two looks."""
DISTRUST = 3600.0
"""Seconds after a jump in which nothing is deleted by age."""
STEP = 500
"""Outcomes deleted in one step: about 2 ms."""


class Deleted(NamedTuple):
    """What went in a clean-up."""

    batches: int
    tasks: int
    groups: int


class ClockCheck:
    """Judge of the wall clock: the age of things is trusted when it has kept pace with the monotonic one for a while.
    Times are passed in, in seconds."""

    def __init__(self, wall: float, monotonic: float) -> None:
        self._ahead = wall - monotonic
        self._steady_from = monotonic

    def steady(self, wall: float, monotonic: float) -> bool:
        """Look at both clocks; False for `DISTRUST` seconds after a jump: what is deleted is gone."""
        ahead, before = wall - monotonic, self._ahead
        self._ahead = ahead
        if abs(ahead - before) > JUMP:
            self._steady_from = monotonic + DISTRUST
            log.warning("the wall clock has jumped by %.0f s: nothing is deleted for an hour", ahead - before)
        return monotonic >= self._steady_from


class Retention:
    """Runs by itself from `start` to `stop`. ``acknowledged``: gives what clients have
    acknowledged since the last call; ``housekeeping``: what else is to be done now and then."""

    def __init__(  # noqa: PLR0917 - what it asks, then what it does
        self,
        read: Reader,
        committer: Committer,
        blobs: BlobReferences,
        limits: ServiceLimits,
        acknowledged: Callable[[], list[tuple[bytes, int]]],
        housekeeping: Callable[[], Awaitable[object]],
    ) -> None:
        self._housekeeping = housekeeping
        self._read = read
        self._committer = committer
        self._blobs = blobs
        self._limits = limits
        self._acknowledged = acknowledged
        self.deleted: int = 0  # batches, since the start
        self._task: asyncio.Task[None] | None = None
        self._cleaning = asyncio.Lock()

    def start(self) -> None:
        """Look now and then, from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Take no more steps; what is acknowledged is written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._write_acknowledged()

    async def _run(self) -> None:
        clock = ClockCheck(time.time(), time.monotonic())
        while True:
            await asyncio.sleep(PERIOD)
            if not clock.steady(time.time(), time.monotonic()):
                continue
            try:
                await self.clean(time.time())
                await self._housekeeping()
            except Exception:
                log.exception("cleaning up")

    async def clean(self, now: float, *, older: float | None = None) -> Deleted:
        """Delete everything that may go at Unix time ``now``; also what ended ``older`` seconds ago, acknowledged or
        not."""
        async with self._cleaning:
            await self._write_acknowledged()
            keep = self._limits.keep if older is None else min(older, self._limits.keep)
            before = now - min(self._limits.keep_acknowledged, keep), now - keep
            batches = tasks = 0
            while (
                found := self._read.expired_batch(*before) or self._read.expired_kept_batch(now)
            ) is not None:
                tasks += await self._drop(*found)
                batches += 1
            groups = await self._committer.commit(lambda writer: writer.drop_groups(before[0], STEP))
            return Deleted(batches, tasks, groups)

    async def _drop(self, number: int, prefix: bytes) -> int:
        """Delete a batch; how many outcomes it had."""
        self.deleted += 1
        tasks = some = await self._drop_some(number)
        while some == STEP:
            await asyncio.sleep(PAUSE)
            some = await self._drop_some(number)
            tasks += some
        self._blobs.delete(await self._committer.commit(lambda writer: writer.drop_batch(number, prefix)))
        return tasks

    async def _drop_some(self, number: int) -> int:
        found: int = await self._committer.commit(lambda writer: writer.drop_outcomes(number, STEP))
        return found

    async def _write_acknowledged(self) -> None:
        acknowledged = self._acknowledged()
        if acknowledged:
            await self._committer.commit(lambda writer: writer.acknowledge(acknowledged))
