"""The figures of everything that is kept: tasks by state, how long each function takes, how many end in a minute.

    finished batches    counts are columns of their row: read once, then added up as batches finish
    open batches        states are in memory (`dispatch`)
    functions           every outcome is read once, and added up; from the beginning again after a clean-up

The store is read over a connection of its own in a thread, so that a store of millions keeps nobody waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import operator
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.scheduling.lifecycle import State
from compute_executor.service.scheduling.queues import BEGAN, DONE, LEASED, QUEUED, OpenBatch
from compute_executor.service.store.database import open_reader
from compute_executor.service.store.reader import Reader
from compute_executor.service.store.rows import ID_BYTES
from compute_executor.service.store.writer import unsuccessful
from compute_executor.service.tasks.task_states import CANCELLED, ENDED, FAILED, LOST, SUCCEEDED

STEP = 50_000
"""Outcomes that one query reads: some 50 ms of a thread."""
RATE_PERIOD = 60.0
"""Seconds over which the rate is told."""
RATE_OUTCOMES = 10_000
"""Outcomes that are looked at for the rate, the newest: some milliseconds of a thread."""
FUNCTIONS = 50
"""Functions that are told, those with most tasks."""


class Counts(NamedTuple):
    """Tasks by state."""

    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    lost: int = 0
    cancelled: int = 0

    def document(self) -> dict[str, int]:
        """For an answer."""
        return self._asdict()


def open_counts(batches: Iterable[OpenBatch], tally: Callable[[int], dict[int, int]]) -> Counts:
    """Return the tasks of open batches by state. ``tally``: the stored outcomes of a batch by status, without
    values."""
    states, stored = [0] * len(State), 0
    failed = lost = cancelled = 0
    for batch in batches:
        waiting = batch.states.count(QUEUED)
        states[QUEUED] += waiting
        if waiting == batch.count:  # most batches of a long queue
            continue
        for state in (LEASED, BEGAN, DONE):
            states[state] += batch.states.count(state)
        stored += batch.count - batch.unstored
        found = batch.tally if batch.tally is not None else tally(batch.number)
        ends = unsuccessful(found)
        failed, lost, cancelled = failed + ends[0], lost + ends[1], cancelled + ends[2]
    return Counts(
        queued=states[QUEUED] + states[LEASED],
        running=states[BEGAN] + states[DONE] - stored,
        succeeded=stored - failed - lost - cancelled,
        failed=failed,
        lost=lost,
        cancelled=cancelled,
    )


def finished_counts(count: int, failed: int, lost: int, cancelled: int) -> Counts:
    """Return the tasks of finished batches by state."""
    return Counts(0, 0, count - failed - lost - cancelled, failed, lost, cancelled)


def added(one: Counts, two: Counts) -> Counts:
    """Return both together."""
    return Counts(*map(operator.add, one, two))


class FunctionFigures:
    """How the tasks of one function ended, and how long they ran."""

    __slots__ = ("ends", "longest", "ran", "seconds")

    def __init__(self) -> None:
        self.ends: dict[str, int] = dict.fromkeys((SUCCEEDED, FAILED, LOST, CANCELLED), 0)
        self.ran: int = 0
        self.seconds: float = 0.0
        self.longest: float = 0.0

    def add(self, status: int, count: int, ran: int, seconds: float, longest: float) -> None:
        """Add ``count`` outcomes of one status, of which ``ran`` ran for so many seconds together."""
        self.ends[ENDED[status]] += count
        self.ran += ran
        self.seconds += seconds
        self.longest = max(self.longest, longest)

    def document(self, name: str) -> dict[str, Any]:
        """For an answer. Times in seconds; None: none of them has run."""
        mean = self.seconds / self.ran if self.ran else None
        return {"function": name, **self.ends, "mean": mean, "longest": self.longest if self.ran else None}


class FinishedGroup(NamedTuple):
    """The finished batches of one task group: their tasks, and when the last one finished (None: there is none)."""

    counts: Counts = Counts()
    ended: float | None = None

    def and_also(self, counts: Counts, ended: float) -> FinishedGroup:
        """With a batch more."""
        return FinishedGroup(added(self.counts, counts), max(ended, self.ended or ended))


class _Finished:
    """The sums of finished batches by task group, and of all groups of an owner."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, bytes], FinishedGroup] = {}
        self.owners: dict[str, Counts] = {}

    def add(self, owner: str, group: bytes, counts: Counts, ended: float) -> None:
        """Add what has finished in a group."""
        self.groups[owner, group] = self.groups.get((owner, group), FinishedGroup()).and_also(counts, ended)
        self.owners[owner] = added(self.owners.get(owner, Counts()), counts)


class FinishedCounts:
    """The tasks of finished batches by owner, task group and state: read once, then added up. ``cleanups``: how often
    something was deleted. Owner: the loop thread."""

    def __init__(
        self,
        read: Reader,
        path: Path,
        dispatch: Dispatch,
        cleanups: Callable[[], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._loop_read, self._path, self._dispatch = read, path, dispatch
        self._cleanups, self._clock = cleanups, clock
        self._reading = asyncio.Lock()
        self._read_after_cleanups = -1
        self._found: _Finished | None = None
        self._since: list[tuple[str, bytes, Counts, float]] = []
        """What has finished since the reading began."""

    def finished(self, batch: OpenBatch) -> None:
        """Note that the last outcome of a batch is stored."""
        tally = batch.tally if batch.tally is not None else self._loop_read.tally(batch.number)
        counts = finished_counts(batch.count, *unsuccessful(tally))
        entry = (batch.owner, batch.group, counts, self._clock())
        if self._found is None:
            self._since.append(entry)
        else:
            self._found.add(*entry)

    async def read(self) -> None:
        """Read everything from the beginning, the first time and after something was deleted that is counted."""
        async with self._reading:
            cleanups = self._cleanups()
            if cleanups == self._read_after_cleanups:
                return
            self._found, self._since = None, []
            still_open = json.dumps([batch.number for batch in self._dispatch.batches()])
            ((last,),) = self._loop_read.rows("last_batch")  # those that come later are told by `finished`
            rows = await asyncio.to_thread(self._rows, last, still_open)
            found = _Finished()
            for owner, group, ended, *counts in rows:
                found.add(owner, bytes(group), finished_counts(*counts), ended)
            for entry in self._since:
                found.add(*entry)
            self._found, self._since, self._read_after_cleanups = found, [], cleanups

    def of(self, owner: str | None) -> Counts:
        """Return the counts of one user, or of all (None)."""
        owners = self._known().owners
        return reduce(added, owners.values(), Counts()) if owner is None else owners.get(owner, Counts())

    def of_group(self, owner: str, group: bytes) -> FinishedGroup:
        """Return those of one task group."""
        return self._known().groups.get((owner, group), FinishedGroup())

    def _known(self) -> _Finished:
        assert self._found is not None, "they are read before they are asked for"
        return self._found

    def _rows(self, last: int, still_open: str) -> list[Any]:
        with contextlib.closing(open_reader(self._path)) as connection:
            return Reader(connection).rows("finished_counts", (last, still_open))


class TaskFigures:
    """The figures of one store. ``cleanups``: how often something was deleted from it; ``finished``: told of finished
    batches. Owner: the loop thread; one thread at a time reads for it, under ``_reading``."""

    def __init__(
        self,
        read: Reader,
        path: Path,
        dispatch: Dispatch,
        cleanups: Callable[[], int],
        finished: FinishedCounts,
    ) -> None:
        self._loop_read = read
        self._path = path
        self._dispatch = dispatch
        self._cleanups = cleanups
        self._finished = finished
        self._reading = asyncio.Lock()
        self._functions: dict[tuple[str, bytes], FunctionFigures] = {}
        self._read_until = 0
        self._read_after_cleanups = -1

    async def of(self, owner: str | None) -> dict[str, Any]:
        """Return the figures of one user's tasks, or of all (None)."""
        async with self._reading:
            self._forget_deleted()
            found = await asyncio.to_thread(self._read, owner)
        return {**found, **await self.tasks_of(owner)}

    async def tasks_of(self, owner: str | None) -> dict[str, Any]:
        """Return the part of it that is in memory: the counts of tasks by state."""
        await self._finished.read()
        batches = [batch for batch in self._dispatch.batches() if owner in (None, batch.owner)]
        tasks = added(self._finished.of(owner), open_counts(batches, self._loop_read.tally))
        return {"tasks": tasks.document()}

    def _forget_deleted(self) -> None:
        """Begin anew after outcomes were deleted that are counted."""
        cleanups = self._cleanups()
        if cleanups != self._read_after_cleanups:
            self._functions, self._read_until, self._read_after_cleanups = {}, 0, cleanups

    def _read(self, owner: str | None) -> dict[str, Any]:
        """Return what the store has of functions and of the last minute, on a thread of its own."""
        with contextlib.closing(open_reader(self._path)) as connection:
            read = Reader(connection)
            self._add_up(read)
            return {"functions": self._by_name(read, owner), "rate": _rate(read, owner, time.time())}

    def _add_up(self, read: Reader) -> None:
        last = read.last_seq()
        while self._read_until < last:
            until = min(last, max(self._read_until, read.next_seq(self._read_until) - 1) + STEP)
            for owner, functions, index, *figures in read.rows("function_figures", (self._read_until, until)):
                place = int.from_bytes(index or b"", "little") * ID_BYTES
                key = (owner, bytes(functions[place : place + ID_BYTES]))
                self._functions.setdefault(key, FunctionFigures()).add(*figures)
            self._read_until = until

    def _by_name(self, read: Reader, owner: str | None) -> list[dict[str, Any]]:
        """Versions of a function have one name."""
        found: dict[str, FunctionFigures] = defaultdict(FunctionFigures)
        for (its_owner, function), figures in self._functions.items():
            if owner in (None, its_owner):
                rows = read.rows("function_name", (function,))
                _merge(found[rows[0][0] if rows else "?"], figures)
        most = sorted(found.items(), key=lambda entry: -sum(entry[1].ends.values()))
        return [figures.document(name) for name, figures in most[:FUNCTIONS]]


def _merge(into: FunctionFigures, figures: FunctionFigures) -> None:
    for state, count in figures.ends.items():
        into.ends[state] += count
    into.ran += figures.ran
    into.seconds += figures.seconds
    into.longest = max(into.longest, figures.longest)


def _rate(read: Reader, owner: str | None, now: float) -> float:
    """Return tasks that ended per second of the last minute; where that are more than are looked at, of a shorter
    time."""
    looked_at, ended, first = read.rows(
        "newest_ends", (now - RATE_PERIOD, now - RATE_PERIOD, owner, owner, RATE_OUTCOMES)
    )[0]
    period = RATE_PERIOD if looked_at < RATE_OUTCOMES else max(now - first, 0.001)
    return float(ended / period)
