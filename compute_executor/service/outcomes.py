"""Outcomes on their way into the store: in order, in groups, and never dropped.

    put -> waiting -> one operation of the committer -> stored(first seq, outcomes)

There is one operation at a time, so that a batch is never marked finished before an earlier outcome of it is
stored. If it fails (disk full), the outcomes wait and are tried again; meanwhile engines get no new work, so
that what waits is bounded by what is with the workers. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

import msgspec

from compute_executor.endpoint.events import Ended
from compute_executor.protocol.frames import Reason
from compute_executor.service.committer import Committer, settle
from compute_executor.service.dispatch import Batch
from compute_executor.service.rows import FinishedBatch

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds before a failed write is tried again; doubled each time."""

MOST_AT_ONCE = 4000
"""Outcomes in one transaction, some 15 ms: when a million tasks are cancelled, others are not to wait for all."""

Entry = tuple[Batch, Ended]
Stored = Callable[[int, list[Entry], list[Batch], list[str]], None]

encode = msgspec.msgpack.Encoder().encode


def made_here(tasks: Iterable[tuple[Batch, int]], status: int, reason: Reason) -> list[Entry]:
    """Outcomes that come from the service, not from a worker: the same for all these tasks."""
    body, now = encode(reason), time.time()
    return [
        (batch, Ended(batch.number, position, batch.attempt(position), status, body, 0.0, now))
        for batch, position in tasks
    ]


class Outcomes:
    """What has ended and is not stored yet. ``stored`` is called after each commit: first number, outcomes,
    batches that are finished by them, blobs not needed any more; ``recovered`` when
    writing works again after trouble."""

    def __init__(
        self,
        committer: Committer,
        loop: asyncio.AbstractEventLoop,
        with_blobs: Callable[[int], bool],
        stored: Stored,
        recovered: Callable[[], None],
    ) -> None:
        self._committer = committer
        self._loop = loop
        self._with_blobs = with_blobs
        self._stored = stored
        self._recovered = recovered
        self._waiting: list[Entry] = []
        self._sent: list[Entry] = []  # in the operation under way, or in the one that failed
        self._finishing: list[Batch] = []  # belongs to _sent
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._put = self._done = 0  # how many outcomes ever came, were stored
        self._busy = False
        self._pause = FIRST_PAUSE
        self.stalled = False

    def put(self, entries: list[Entry]) -> None:
        """Have these stored. The caller has checked that they count (`dispatch.ended` and the like)."""
        if not entries:
            return
        self._waiting += entries
        self._put += len(entries)
        if not self._busy:
            self._busy = True
            self._send()

    def all_stored(self) -> asyncio.Future[None]:
        """A future that is done when everything put so far is stored."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._done == self._put:
            future.set_result(None)
        else:
            self._waiters.append((self._put, future))
        return future

    @property
    def pending(self) -> int:
        """How many outcomes wait to be stored."""
        return self._put - self._done

    @property
    def progress(self) -> tuple[int, int]:
        """How many were ever put, and how many of these, the first, are stored."""
        return self._put, self._done

    @property
    def stored_count(self) -> int:
        """How many outcomes were stored since the start."""
        return self._done

    def _send(self) -> None:
        if not self._sent:
            self._sent = self._waiting[:MOST_AT_ONCE]
            del self._waiting[:MOST_AT_ONCE]
            self._finishing = _count_off(self._sent)
        outcomes = [outcome for _, outcome in self._sent]
        finished = [
            FinishedBatch(batch.number, self._with_blobs(batch.number), bool(batch.attempts))
            for batch in self._finishing
        ]
        now = time.time()
        self._committer.soon(lambda writer: writer.add_outcomes(outcomes, finished, now), self._written)

    def _written(self, written: tuple[int, list[str]], error: Exception | None) -> None:
        if error is not None:
            self._trouble(error)
            return
        entries, finished, self._sent = self._sent, self._finishing, []
        self._done += len(entries)
        if self.stalled:
            self._recover()
        first, unused = written
        self._stored(first, entries, finished, unused)
        self._wake()
        if self._waiting:
            self._send()
        else:
            self._busy = False

    def _trouble(self, error: Exception) -> None:
        if not self.stalled:
            log.error(
                "%d outcomes cannot be stored now; they are kept and tried again: %s", self.pending, error
            )
        self.stalled = True
        self._loop.call_later(self._pause, self._send)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _recover(self) -> None:
        log.warning("outcomes can be stored again")
        self.stalled = False
        self._pause = FIRST_PAUSE
        self._recovered()

    def _wake(self) -> None:
        while self._waiters and self._waiters[0][0] <= self._done:
            settle(self._waiters.pop(0)[1], None, None)


def _count_off(entries: list[Entry]) -> list[Batch]:
    """The batches whose last outcome is among these."""
    finished = []
    for batch, _ in entries:
        batch.unstored -= 1
        if not batch.unstored:
            finished.append(batch)
    return finished
