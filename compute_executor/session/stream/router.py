"""Task to future: early, duplicate and unknown results, and how far each group has been read. No I/O.

The client draws the ids, so a result that comes before its batch was confirmed finds its future like any
other. The first outcome of a task counts: its place in the batch is empty afterwards, and a second one, or one
of a task of another process that shares the group, is counted and ignored.

Owner: the session's I/O thread; other threads read ``open``, as a number to show.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from compute_executor.batch import CallBatch
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import Results

RECENT = 8
"""Frames whose results are sent again after a reconnect, of those that have been read."""


class Router:
    """Table of open batches by prefix. ``read``: highest result number seen per group (what to acknowledge)."""

    def __init__(self) -> None:
        self.open: int = 0
        self.duplicates: int = 0
        self.unknown: int = 0
        self.read: dict[bytes, int] = {}
        self._recent: dict[bytes, deque[int]] = {}
        self._batches: dict[bytes, CallBatch] = {}

    def add(self, batch: CallBatch) -> bool:
        """Expect the results of ``batch``; return False if they are expected already."""
        if batch.prefix in self._batches:
            return False
        self._batches[batch.prefix] = batch
        self.open += batch.open
        return True

    def remove(self, prefix: bytes) -> None:
        """Expect no results of a batch any longer: it was refused, its calls went into other batches or failed."""
        batch = self._batches.pop(prefix, None)
        if batch is not None:
            self.open -= batch.open

    def read_up_to(self, frame: Results) -> None:
        """Note that all results of ``frame`` have reached their futures."""
        if frame.results:
            last = max(result.seq for result in frame.results)
            recent = self._recent.setdefault(frame.group, deque([self.resume_from(frame.group)], RECENT))
            recent.append(self.read.get(frame.group, 0))
            self.read[frame.group] = max(last, self.read.get(frame.group, 0))

    def resume_from(self, group: bytes) -> int:
        """Return the number after which results of a group are wanted on a new connection: a few frames before the
        last one, in case something in between had changed their order when the old connection ended."""
        recent = self._recent.get(group)
        return recent[0] if recent else self.read.get(group, 0)

    def read_anew(self, group: bytes) -> None:
        """Want all results of a group again."""
        self.read.pop(group, None)
        self._recent.pop(group, None)

    def pop(self, prefix: bytes, position: int) -> ComputeFuture[Any] | None:
        """Take out and return the future of one task; None for a duplicate or an unknown task."""
        batch = self._batches.get(prefix)
        if batch is None:
            self.unknown += 1
            return None
        future = batch.pop(position)
        if future is None:
            self.duplicates += 1
            return None
        self.open -= 1
        if batch.open == 0:
            del self._batches[prefix]
        return future

    def find(self, prefix: bytes, position: int) -> ComputeFuture[Any] | None:
        """Return the future of an open task, which stays open."""
        batch = self._batches.get(prefix)
        if batch is None or not 0 <= position < len(batch.futures):
            return None
        return batch.futures[position]

    def expects(self, prefix: bytes, pool: bytes | None) -> bool:
        """Return whether results of this batch are expected, and it was sent to this pool or to another endpoint."""
        batch = self._batches.get(prefix)
        return batch is not None and (batch.target.pool == pool or bool(batch.target.endpoint))

    def batches(self) -> list[CallBatch]:
        """Return all open batches."""
        return list(self._batches.values())

    def futures(self) -> list[ComputeFuture[Any]]:
        """Return all futures that are still open."""
        return [future for batch in self._batches.values() for future in batch.futures if future is not None]

    def tasks(self) -> Iterator[tuple[bytes, list[int]]]:
        """Yield all open tasks: prefix and positions."""
        for prefix, batch in list(self._batches.items()):
            yield prefix, [number for number, future in enumerate(batch.futures) if future is not None]
