"""What has come for users since their usage was measured. No I/O, no clock, no threads.

    expect -> settled(stored)      counted from the first moment, until a measurement surely counts it
           \\-> settled(not stored)  not counted any more

A measurement counts what was stored when it began, and of what is stored while it goes on some: the batches up to a
number that it tells. Everything else is added to it. Owner: the loop thread.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class Addition(NamedTuple):
    """Bytes and files that come for a user together."""

    owner: str
    bytes: int
    files: int = 0


class Additions:
    """All that is to be added to the last measurement."""

    def __init__(self) -> None:
        self._bytes: Counter[str] = Counter()
        self._files: Counter[str] = Counter()
        self._stored: dict[str, Addition] = {}  # the next measurement counts these; a sum for each user
        self._meanwhile: list[tuple[int, Addition]] | None = (
            None  # stored while one goes on, with batch numbers
        )
        self._counted = 0  # the batch up to which the last one counts

    def of(self, owner: str) -> tuple[int, int]:
        """Return the bytes and files to be added for a user."""
        return self._bytes[owner], self._files[owner]

    def expect(self, one: Addition) -> None:
        """Count what is about to be stored."""
        self._bytes[one.owner] += one.bytes
        self._files[one.owner] += one.files

    def settled(self, one: Addition, *, stored: bool, number: int = 0) -> None:
        """Note that what was expected is stored, or will not be. ``number``: of the batch, if it is one."""
        if not stored or 0 < number <= self._counted:
            self._subtract(one)
        elif self._meanwhile is not None:
            self._meanwhile.append((number, one))
        else:
            self._keep(one)

    def begin(self) -> None:
        """Note that a measurement begins."""
        self._meanwhile = []

    def end(self, counted: int | None) -> None:
        """Take away what a measurement has counted: all that was stored before it, and of what was stored meanwhile
        the batches up to ``counted``. None: it failed."""
        meanwhile, self._meanwhile = self._meanwhile or [], None
        if counted is not None:
            self._counted = counted
            for one in self._stored.values():
                self._subtract(one)
            self._stored = {}
        for number, one in meanwhile:
            self.settled(one, stored=True, number=number)

    def _keep(self, one: Addition) -> None:
        before = self._stored.get(one.owner, Addition(one.owner, 0))
        self._stored[one.owner] = Addition(one.owner, before.bytes + one.bytes, before.files + one.files)

    def _subtract(self, one: Addition) -> None:
        self._bytes[one.owner] -= one.bytes
        self._files[one.owner] -= one.files
        if not self._bytes[one.owner] and not self._files[one.owner]:
            del self._bytes[one.owner], self._files[one.owner]
