"""What follows a commit of outcomes: finished batches are forgotten, subscribers notified, files deleted."""

from __future__ import annotations

from compute_executor.protocol.frames import Blob
from compute_executor.service.blobs.references import BlobReferences
from compute_executor.service.endpoints.engines import Engines
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.store.reader import Reader
from compute_executor.service.tasks.figures import FinishedCounts
from compute_executor.service.tasks.groups import TaskGroups
from compute_executor.service.tasks.large_results import LargeResults
from compute_executor.service.tasks.open_batches import OpenBatches
from compute_executor.service.tasks.unstored import Entry


class AfterCommit:
    """The consequences of a commit of outcomes. Called on the loop thread."""

    def __init__(
        self,
        *,
        batches: OpenBatches,
        engines: Engines,
        groups: TaskGroups,
        blobs: BlobReferences,
        counts: FinishedCounts,
        large_results: LargeResults,
        read: Reader,
    ) -> None:
        self._counts = counts
        self._large_results = large_results
        self._read = read
        self._batches = batches
        self._engines = engines
        self._groups = groups
        self._blobs = blobs

    def stored(self, entries: list[Entry], finished: list[OpenBatch], unused: list[str]) -> None:
        """Go on after these outcomes were stored. They were the last ones of the batches ``finished``; the files
        ``unused`` are not needed any more."""
        if any(isinstance(ended.body, Blob) for _, ended in entries):
            first = self._read.last_seq() - len(entries) + 1
            self._large_results.stored(first, entries)
        for batch in finished:
            self._counts.finished(batch)
            self._batches.finish(batch)
            self._engines.batch_finished(batch.pool, batch.number)
        self._groups.stored(entries)
        self._engines.outcomes_stored()
        self._blobs.delete(unused)
