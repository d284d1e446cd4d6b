"""Results that are files, until nobody needs them. Owner: the loop thread.

    stored -> waiting -> acknowledged by their client -> a short grace -> deleted
                      \\-> kept for as long as their batch asks (`Options.keep`)

The outcome itself stays as promised, and says how large its result was. While several clients listen to a group, a
result of it waits until one is left: they may not all have read it. Where the disk is full, what was acknowledged
goes at once, also what was to be kept: the oldest first. What was not acknowledged never goes before its time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.errors import StorageFull
from compute_executor.protocol.frames import UNTIL_TAKEN, Blob
from compute_executor.service.blobs.disk import DiskUse
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.reader import Reader

log: logging.Logger = logging.getLogger(__name__)

STEP = 500
"""Results that are deleted in one transaction."""
LOOK_AGAIN = 5.0
"""Seconds until results are looked at again that another client may still want, or whose rows could not be
written."""


class LargeResult(NamedTuple):
    """The file of an outcome. ``keep``: seconds after its end; None: as usual."""

    seq: int
    group: bytes
    blob: Blob
    keep: float | None


class LargeResults:
    """Files of results. ``grace``: seconds between acknowledgement and end; ``clients``: how many listen to a group;
    ``delete``: called with
    the names of files that may go."""

    def __init__(
        self,
        read: Reader,
        committer: Committer,
        loop: asyncio.AbstractEventLoop,
        *,
        disk: DiskUse,
        grace: float,
        clients: Callable[[bytes], int],
        delete: Callable[[list[str]], None],
    ) -> None:
        self._read = read
        self._committer = committer
        self._loop = loop
        self._disk = disk
        self._grace = grace
        self._clients = clients
        self._delete = delete
        self._waiting: dict[bytes, deque[LargeResult]] = {}
        self._acknowledged: dict[bytes, int] = {}
        self._going: deque[tuple[float, LargeResult]] = deque()
        self._kept: deque[LargeResult] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.waiting: int = 0
        """Bytes of results that were not acknowledged."""

    def restore(self, is_gone: Callable[[str], bool]) -> None:
        """Know again what is stored. A service that was killed on a full disk may have deleted files that had been
        taken, without the word in their rows: that is written now."""
        gone: list[str] = []
        for seq, group, name, size, keep, acknowledged in self._read.rows("large_results"):
            if not isinstance(size, int):  # one user's row: the service goes on, and the file stays
                log.warning("how large the file of outcome %d is cannot be read: %r", seq, size)
                continue
            self._acknowledged[bytes(group)] = acknowledged
            if is_gone(name):
                gone.append(name)
            else:
                self._add(LargeResult(seq, bytes(group), Blob(name, size), keep))
        if gone:
            log.warning(
                "the files of %d results are gone, such as %s: whoever asks is told so", len(gone), gone[0]
            )
            self._committer.soon(
                lambda writer: [writer.run("drop_result_blob", (name,)) for name in gone], lambda _, __: None
            )

    def stored(self, first: int, outcomes: Iterable[tuple[OpenBatch, TaskEnded]]) -> None:
        """Note that outcomes are stored, with numbers from ``first``."""
        for seq, (batch, ended) in enumerate(outcomes, first):
            if isinstance(ended.body, Blob):
                self._disk.add([ended.body])
                self._add(LargeResult(seq, batch.group, ended.body, batch.options.keep))

    def acknowledge(self, group: bytes, seq: int) -> None:
        """Note that a client has everything of a group up to this number."""
        self._acknowledged[group] = max(seq, self._acknowledged.get(group, 0))
        waiting = self._waiting.get(group)
        while waiting and waiting[0].seq <= seq:
            result = waiting.popleft()
            self.waiting -= result.blob.size
            self._taken(result)
        if not waiting:
            self._waiting.pop(group, None)

    def prune(self, exists: Callable[[Blob], bool]) -> None:
        """Forget what was deleted with its batch, and what groups have acknowledged to which nobody listens."""
        for group, waiting in list(self._waiting.items()):
            while waiting and not exists(waiting[0].blob):
                self.waiting -= waiting.popleft().blob.size
            if not waiting:
                del self._waiting[group]
        for group in list(self._acknowledged):
            if group not in self._waiting and not self._clients(group):
                del self._acknowledged[group]

    def _add(self, result: LargeResult) -> None:
        if result.seq <= self._acknowledged.get(result.group, 0):
            self._taken(result)
            return
        self._waiting.setdefault(result.group, deque()).append(result)
        self.waiting += result.blob.size

    def _taken(self, result: LargeResult) -> None:
        if result.keep is not None and result.keep != UNTIL_TAKEN:
            self._kept.append(result)
            return
        self._going.append((self._loop.time() + self._grace, result))
        self._wait(self._grace)

    def _wait(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        due: list[LargeResult] = []
        later: list[LargeResult] = []
        while self._going and self._going[0][0] <= now and len(due) < STEP:
            _, result = self._going.popleft()
            (later if self._clients(result.group) > 1 else due).append(result)
        self._later(later)
        if due:
            self._drop(due)
        if self._going:
            self._wait(max(0.0, min(when for when, _ in islice(self._going, STEP)) - now))

    def _drop(self, results: list[LargeResult]) -> None:
        """Have their rows forget the files, then delete these. On a full disk the other way round: files make room
        for rows."""
        names = [result.blob.name for result in results]

        def dropped(_: object, error: Exception | None) -> None:
            if error is None or isinstance(error, StorageFull):
                self._delete(names)
            if error is not None:
                self._later(results)

        self._committer.soon(
            lambda writer: [writer.run("drop_result_blob", (name,)) for name in names], dropped
        )

    def _later(self, results: list[LargeResult]) -> None:
        self._going.extend((self._loop.time() + LOOK_AGAIN, result) for result in results)
        if results:
            self._wait(LOOK_AGAIN)

    def make_room(self, size: int) -> None:
        """Delete at once what was acknowledged, the oldest first, until at least so many bytes are free."""
        chosen: list[LargeResult] = []
        while size > 0 and self._going:
            chosen.append(self._going.popleft()[1])
            size -= chosen[-1].blob.size
        while size > 0 and self._kept:
            chosen.append(self._kept.popleft())
            size -= chosen[-1].blob.size
        if chosen:
            self._drop(chosen)

    def close(self) -> None:
        """Look no more. What is left goes after the next start."""
        if self._timer is not None:
            self._timer.cancel()
