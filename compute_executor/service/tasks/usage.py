"""How much the service keeps for each user: measured now and then, and counted up in between (`additions`).

Bodies of results come and go by thousands, so nothing is counted for them one by one: a thread with a connection of
its own adds up what the tables and the blob folder have. Nobody asks for the usage of a service of one's own, so
nothing is measured there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from compute_executor.service.store.database import open_reader
from compute_executor.service.store.reader import Reader
from compute_executor.service.tasks.additions import Additions

log: logging.Logger = logging.getLogger(__name__)

PERIOD = 30.0
"""Seconds for which a measurement is good."""
SHARE = 20
"""A measurement that took long is good for so many times as long: it costs at most 5 % of a processor."""


class Usage(NamedTuple):
    """Bytes and files that are kept for a user."""

    bytes: int
    files: int


class StoredUsage:
    """The usage of all users. ``fresh``: owners of blobs that nothing refers to yet, by name. Owner: the loop
    thread; one thread at a time measures for it."""

    def __init__(self, database: Path, folder: Path, fresh: Callable[[], dict[str, str]]) -> None:
        self._database = database
        self._folder = folder
        self._fresh = fresh
        self._measured: dict[str, Usage] = {}
        self.additions: Additions = Additions()
        """What comes: whoever stores something says so here."""
        self._good_until = 0.0
        self._measuring: asyncio.Task[None] | None = None

    def of(self, owner: str) -> Usage:
        """Return what is kept for a user, as far as it is known; measured anew in the background when that is due."""
        if self._measuring is None and time.monotonic() > self._good_until:
            self._measuring = asyncio.get_running_loop().create_task(self._measure())
        known = self._measured.get(owner, Usage(0, 0))
        size, files = self.additions.of(owner)
        return Usage(known.bytes + size, known.files + files)

    async def close(self) -> None:
        """Measure no more."""
        if self._measuring is not None:
            await asyncio.gather(self._measuring, return_exceptions=True)

    async def _measure(self) -> None:
        began, counted = time.monotonic(), None
        self.additions.begin()
        try:
            measured = await asyncio.to_thread(measure, self._database, self._folder, self._fresh())
            self._measured, counted = measured.usages, measured.batches
        except Exception:
            log.exception("what is kept for each user cannot be measured now")
        finally:
            self.additions.end(counted)
            took = time.monotonic() - began
            self._good_until = time.monotonic() + max(PERIOD, SHARE * took)
            self._measuring = None


class Measured(NamedTuple):
    """The usage of each user, by what tables and blob folder have; the batches up to this number are in it."""

    usages: dict[str, Usage]
    batches: int


def measure(database: Path, folder: Path, fresh: dict[str, str]) -> Measured:
    """Add up what there is."""
    sizes, names = Counter[str](), defaultdict[str, set[str]](set)
    with contextlib.closing(open_reader(database)) as connection:
        connection.execute("BEGIN")  # all queries see the same
        read = Reader(connection)
        ((batches,),) = read.rows("last_batch_number")
        for query in ("kept_arguments", "kept_results", "kept_functions"):
            for owner, size in read.rows(query):
                sizes[owner] += size
        for owner, name in read.rows("kept_files"):
            names[owner].add(name)
    for name, owner in fresh.items():
        names[owner].add(name)
    on_disk = {entry.name: entry.stat().st_size for entry in _files(folder)}
    for owner, its in names.items():
        sizes[owner] += sum(on_disk.get(name, 0) for name in its)
    return Measured(
        {owner: Usage(sizes[owner], len(names[owner])) for owner in {*sizes, *names}}, int(batches)
    )


def _files(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if len(entry.name) == 32]
