"""Outcomes on their way into the store: in order, in groups, and never dropped.

    put -> waiting -> one operation of the committer -> stored(outcomes)
       \\-> published, at once or after the commit

What waits is stored for its users in turn (`unstored`). An outcome is *published* to the subscribers of its
group, with the number by which clients acknowledge it, as soon as it cannot be lost: after the commit; or at
once, if a worker has put it into its result ring and nothing of its user is being stored: the ring keeps it until
it is stored, and the next start reads it (`endpoint.pool.result_files`). That holds for the death of any process; a
store that promises more (durable: the loss of power) always commits first. Numbers are published in order. At
most AHEAD are published and not stored, and a start that finds open batches leaves out as many numbers: none is
published twice.

There is one operation at a time, so that a batch is never marked finished before an earlier outcome of it is
stored. If it fails (disk full), the outcomes wait and are tried again; meanwhile engines get no new work, so
that what waits is bounded by what is with the workers. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

import msgspec

from compute_executor.backoff import Backoff
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.protocol.frames import Reason, Result
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.scheduling.speakers import PRESENT, Speakers
from compute_executor.service.store.committer import Committer, settle
from compute_executor.service.store.rows import FinishedBatch
from compute_executor.service.tasks.unstored import Entry, UnstoredOutcomes

log: logging.Logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds before a failed write is tried again; doubled each time."""

MOST_AT_ONCE, MOST_BESIDE_OTHERS = 500, 100
"""Outcomes in one transaction; and while several users are there: for so long what another one has waits, some 2 ms
of CPU, and 0.4. With more than 500, no less CPU time for each was measured; with 100 it is a tenth more."""

AHEAD = 100_000
"""Outcomes that may be published and not stored; and numbers that a start leaves out because they may have been
published."""

Publish = Callable[[int, list[Entry]], None]
Stored = Callable[[list[Entry], list[OpenBatch], list[str]], None]

encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode


def made_here(tasks: Iterable[tuple[OpenBatch, int]], status: int, reason: Reason) -> list[Entry]:
    """Return outcomes that come from the service, not from a worker: the same for all these tasks."""
    body, now = encode(reason), time.time()
    return [
        (batch, TaskEnded(batch.number, position, batch.attempt(position), status, body, 0.0, now))
        for batch, position in tasks
    ]


class Outcomes:
    """Tasks that have ended and are not stored yet. ``publish`` is called with the first number and outcomes that
    cannot be lost any more; ``stored`` after each commit: outcomes, batches that are finished by them, blobs that
    nothing needs; ``recovered`` when writing works again after trouble. ``commit_first``: whether nothing is
    published before. ``users``: those who submit and whose tasks end."""

    def __init__(
        self,
        committer: Committer,
        loop: asyncio.AbstractEventLoop,
        publish: Publish,
        stored: Stored,
        recovered: Callable[[], None],
        *,
        commit_first: bool,
        users: Speakers,
    ) -> None:
        self._committer = committer
        self._loop = loop
        self._publish = publish
        self._stored = stored
        self._recovered = recovered
        self._waiting = UnstoredOutcomes()
        self._sent: list[Entry] = []  # in the operation under way, or in the one that failed
        self._finishing: list[OpenBatch] = []  # belongs to _sent
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._commit_first = commit_first
        self._users = users
        self._put = self._published = self._done = (
            0  # how many outcomes ever came, were published, were stored
        )
        self._settled = 0  # how many, the first that came, are all stored, at least
        self._only_here = 0  # how many had come with the last that is in no result ring
        self._before = 0  # highest number that was given before
        self._busy = False
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self.stalled: bool = False

    def number_from(self, before: int) -> None:
        """Give numbers above ``before``. To be called before anything is put."""
        self._before = before

    def put(self, entries: list[Entry], *, kept: bool = False) -> None:
        """Have these stored. The caller has checked that they count (`dispatch.ended` and the like). ``kept``: they
        are in result rings until they are stored."""
        if not entries:
            return
        self._users.spoke(entries[0][0].owner, self._loop.time())
        at_once = kept and self._may_publish(entries)
        self._put += len(entries)
        if not kept:
            self._only_here = self._put
        if at_once:
            self._publish_what_has_numbers()
            self._waiting.put_numbered(entries)
            self._publish_up_to(self._numbers(), entries)
        else:
            self._waiting.put(entries)
        if not self._busy:
            self._busy = True
            self._send()

    def _may_publish(self, entries: list[Entry]) -> bool:
        """Return whether outcomes that are kept may be published now. While others of their user are being stored
        they go with those: fewer and larger frames, and in order. All that have numbers before them must be kept,
        too."""
        if self._commit_first or self._numbers() - self._done + len(entries) > AHEAD:
            return False
        if not self._busy:
            return True
        return not self.stalled and self._settled >= self._only_here and self._are_of_another(entries)

    def _are_of_another(self, entries: list[Entry]) -> bool:
        """Return whether these are of one user of whom nothing else waits."""
        owner = entries[0][0].owner
        if self._waiting.has(owner):
            return False
        if any(batch.owner == owner for batch, _ in chain(self._sent, self._waiting.numbered)):
            return False
        return all(batch.owner == owner for batch, _ in entries)

    def _numbers(self) -> int:
        """Return how many outcomes have numbers: those that are stored, are being stored, or are published."""
        return self._done + len(self._sent) + len(self._waiting.numbered)

    def _publish_what_has_numbers(self) -> None:
        """Publish what comes before those that are published next."""
        published = self._published - self._done
        if entries := [*self._sent, *self._waiting.numbered][published:]:
            self._publish_up_to(self._numbers(), entries)

    def _publish_up_to(self, count: int, entries: list[Entry]) -> None:
        """``entries`` are the last of the first ``count`` ever put, and the first that are not published."""
        first = self._before + self._published + 1
        self._published = count
        self._publish(first, entries)

    def ahead(self, group: bytes, after: int) -> list[Result]:
        """Return what of a group is published and not stored, of numbers above ``after``."""
        return [
            result_of(seq, entry)
            for seq, entry in self._published_only()
            if seq > after and entry[0].group == group
        ]

    def outcome(self, number: int, position: int) -> Result | None:
        """Return how a task of batch ``number`` ended, if that is published and not stored."""
        for seq, entry in self._published_only():
            if entry[1][:2] == (number, position):
                return result_of(seq, entry)
        return None

    def _published_only(self) -> Iterator[tuple[int, Entry]]:
        entries = chain(self._sent, self._waiting.numbered)
        return enumerate(islice(entries, max(0, self._published - self._done)), self._before + self._done + 1)

    def all_stored(self) -> asyncio.Future[None]:
        """Return a future that is done when everything put so far is stored."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self._settled == self._put:
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
        """How many were ever put, and how many of these, the first, are all stored."""
        return self._put, self._settled

    @property
    def stored_count(self) -> int:
        """How many outcomes were stored since the start."""
        return self._done

    def _send(self) -> None:
        if not self._sent:
            several = self._users.several_since(self._loop.time() - PRESENT)
            self._sent = self._waiting.take(MOST_BESIDE_OTHERS if several else MOST_AT_ONCE)
            self._finishing = _count_off(self._sent)
        first = self._before + self._done + 1
        outcomes = [outcome for _, outcome in self._sent]
        finished = [
            FinishedBatch(batch.number, batch.with_blobs, bool(batch.attempts), batch.tally)
            for batch in self._finishing
        ]
        now = time.time()
        self._committer.soon(
            lambda writer: writer.add_outcomes(first, outcomes, finished, now), self._written
        )

    def _written(self, unused: list[str], error: Exception | None) -> None:
        if error is not None:
            self._trouble(error)
            return
        entries, finished, self._sent = self._sent, self._finishing, []
        self._done += len(entries)
        self._settled = self._waiting.taken
        if self.stalled:
            self._recover()
        if self._published < self._done:
            self._publish_up_to(self._done, entries[self._published - self._done :])
        self._stored(entries, finished, unused)
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
        self._loop.call_later(self._backoff.failed(), self._send)

    def _recover(self) -> None:
        log.warning("outcomes can be stored again")
        self.stalled = False
        self._backoff.succeeded()
        self._recovered()

    def _wake(self) -> None:
        while self._waiters and self._waiters[0][0] <= self._settled:
            settle(self._waiters.pop(0)[1], None, None)


def result_of(seq: int, entry: Entry) -> Result:
    """Return an outcome in the form in which subscribers get it."""
    batch, (_, position, _, status, body, began, ended, output, _) = entry
    return Result(seq, batch.prefix, position, status, body, began, ended, output)


def _count_off(entries: list[Entry]) -> list[OpenBatch]:
    """Return the batches whose last outcome is among these."""
    finished = []
    for batch, (_, _, _, status, *_) in entries:
        batch.unstored -= 1
        if status and batch.tally is not None:
            batch.tally[status] = batch.tally.get(status, 0) + 1
        if not batch.unstored:
            finished.append(batch)
    return finished
