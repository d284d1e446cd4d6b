"""Room on the disk for large arguments and results: checked and reclaimed. Owner: the loop thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from compute_executor.protocol.frames import Blob
from compute_executor.service.blobs.disk import DiskUse
from compute_executor.service.blobs.references import BlobReferences
from compute_executor.service.tasks.large_results import LargeResults

ORPHANS_ON_FULL_DISK = 600.0
"""Seconds that a file may lie to which nothing refers when the disk is full."""


class DiskSpace:
    """Check of the room for files, and clean-up where there is none. ``keep_orphans``: seconds that a file may lie to
    which nothing refers."""

    def __init__(
        self, disk: DiskUse, blobs: BlobReferences, results: LargeResults, keep_orphans: float
    ) -> None:
        self._disk = disk
        self._blobs = blobs
        self._results = results
        self._keep_orphans = keep_orphans

    def check(self) -> None:
        """Raise StorageFull if there is no room for more; then what may go goes, for who tries again."""
        if self._disk.is_full():
            self._results.make_room(self._disk.used - self._disk.budget + 1)
            self._disk.check(self._results.waiting)

    def taken(self, blobs: Iterable[Blob]) -> None:
        """Note that clients have put these files there."""
        self._disk.add(blobs)

    async def reclaim(self) -> None:
        """Measure what the files take, and delete those that nothing refers to any more."""
        files = await asyncio.to_thread(self._disk.look)
        self._disk.measured(files)
        self._blobs.sweep_of(files, ORPHANS_ON_FULL_DISK if self._disk.is_full() else self._keep_orphans)
        self._results.prune(self._blobs.holds)
