"""A table that grows while the sweep runs: lines are appended in the order of the sweep, and handed to the operating
system whenever the sweep waits.

A row that takes long holds back those behind it, up to a limit; then they are appended before it, and the table is
written anew at the end, from the book, as it is when a column turns up late or the sweep goes on with an earlier one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from compute_executor.sweeps.destination import destination, replaced
from compute_executor.sweeps.tabulation import TableRecord, Tabulation

HELD = 2048
"""Rows that wait for one before them."""
HELD_SECONDS = 1.0
"""How long they wait."""


class LiveTable:
    """The file at ``path``. ``whole``: what it is made anew from, all that the book has. Owned by one thread."""

    def __init__(
        self, path: Path, layout: Any, whole: Callable[[], Tabulation], clock: Callable[[], float]
    ) -> None:
        self._path, self._layout, self._whole, self._clock = path, layout, whole, clock
        self.in_order: bool = True
        self._next = 0
        self._held: dict[int, TableRecord] = {}
        self._since = clock()
        self._empty = True
        with replaced(path) as file:
            file.write(layout.header())
        self._file = destination(path).open("ab")

    def go_on(self) -> None:
        """Begin with the rows that the book has already; the next come in any order."""
        self.in_order = False
        self._rewrite()

    def add(self, batch: Sequence[tuple[int, TableRecord]]) -> None:
        """Append records, now or when those before them are there. The book must have them."""
        if not self.in_order:
            self._append([record for _, record in batch])
            return
        self._held.update(batch)
        ready = []
        while self._next in self._held:
            ready.append(self._held.pop(self._next))
            self._next += 1
        if ready:
            self._since = self._clock()
            self._append(ready)

    def flush(self) -> None:
        """Hand what was appended to the operating system, and rows that have waited too long, too."""
        if self._held and (len(self._held) > HELD or self._clock() - self._since > HELD_SECONDS):
            self.in_order = False
            self._append([self._held[place] for place in sorted(self._held)])
            self._held.clear()
        self._file.flush()

    @property
    def unwritable(self) -> int:
        """Rows in it that could not be written as they are."""
        return int(self._layout.unwritable)

    def finish(self) -> None:
        """Make the table complete and durable. Raises OSError."""
        if not self.in_order or self._held:
            self._file.close()
            write_whole(self._path, self._layout, self._whole())
            return
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Stop appending, after an error."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _append(self, records: Sequence[TableRecord]) -> None:
        new = [name for record in records for name in record.results]
        if self._layout.widened(dict.fromkeys(new)) and not self._empty:
            self._rewrite()  # with all that the book has, these records and those that are held too
            return
        if self._empty:
            self._file.truncate(0)
            self._file.write(self._layout.header())
            self._empty = False
        self._file.writelines(map(self._layout.line, records))

    def _rewrite(self) -> None:
        self._file.close()
        write_whole(self._path, self._layout, self._whole())
        self._file = destination(self._path).open("ab")
        self._empty = self.in_order = False
        self._held.clear()


def write_whole(path: Path, layout: Any, table: Tabulation) -> None:
    """Write a table of lines anew, replacing the file at once. ``layout`` gets the columns that it lacks."""
    layout.widened(table.results())
    with replaced(path) as file:
        file.write(layout.header())
        file.writelines(map(layout.line, table.records()))
