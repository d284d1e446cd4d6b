"""Deleting what has been kept long enough, in steps so small that nobody notices.

A finished batch goes `Limits.keep_acknowledged` after its end if a client has acknowledged all its outcomes, else
`Limits.keep` after it. Its outcomes go first, some at a time, then its row and the files that only it referred to.
Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from compute_executor.service.blobs.references import BlobReferences
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.reader import Reader

log = logging.getLogger(__name__)

PERIOD = 60.0
"""Seconds between two looks for something to delete."""
PAUSE = 0.02
"""Seconds between two steps: others get the loop and the store in between."""
SWEEP_PERIOD = 3600.0
"""Seconds between two looks for files that nothing refers to."""
STEP = 500
"""Outcomes deleted in one step: about 2 ms."""


class Retention:
    """Runs by itself from `start` to `stop`. ``acknowledged``: gives what clients have
    acknowledged since the last call."""

    def __init__(
        self,
        read: Reader,
        committer: Committer,
        blobs: BlobReferences,
        limits: ServiceLimits,
        acknowledged: Callable[[], list[tuple[bytes, int]]],
    ) -> None:
        self._read = read
        self._committer = committer
        self._blobs = blobs
        self._limits = limits
        self._acknowledged = acknowledged
        self._swept = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now and then, from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """No more steps; what is acknowledged is written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._write_acknowledged()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self.clean(time.time())
            except Exception:
                log.exception("cleaning up")

    async def clean(self, now: float) -> int:
        """Delete everything that may go at Unix time ``now``; how many batches went."""
        await self._write_acknowledged()
        count = 0
        while (found := self._expired(now)) is not None:
            await self._drop(*found)
            count += 1
        await self._committer.commit(
            lambda writer: writer.drop_groups(now - self._limits.keep_acknowledged, STEP)
        )
        return count

    def _expired(self, now: float) -> tuple[int, bytes] | None:
        return self._read.expired_batch(now - self._limits.keep_acknowledged, now - self._limits.keep)

    async def _drop(self, number: int, prefix: bytes) -> None:
        while await self._committer.commit(lambda writer: writer.drop_outcomes(number, STEP)) == STEP:
            await asyncio.sleep(PAUSE)
        self._blobs.delete(await self._committer.commit(lambda writer: writer.drop_batch(number, prefix)))

    async def _write_acknowledged(self) -> None:
        acknowledged = self._acknowledged()
        if acknowledged:
            await self._committer.commit(lambda writer: writer.acknowledge(acknowledged))
