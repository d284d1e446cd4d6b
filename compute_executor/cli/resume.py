"""``--resume``: which rows of a sweep an earlier results table already answers.

Rows are matched by the values of their parameters, as often as they occur: three equal rows wanted, one there,
two are run. A record with text under ``error`` answers nothing; its row is run again.
"""

from __future__ import annotations

import csv
import os
from array import array
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from compute_executor.cli.plan import Row
from compute_executor.cli.table import ERROR, ResultsTable, records
from compute_executor.cli.values import Value, key
from compute_executor.cli.wrong_input import WrongInput

NO_RECORD = -1


class ResumedRows:
    """Which record of the table belongs to which row of the plan, and which rows are still to run.

    ``skipped``: rows found answered so far. 8 bytes a row; an earlier table costs some 300 bytes a record.
    """

    def __init__(
        self, answers: dict[tuple[Value, ...], deque[int]] | None = None, names: Sequence[str] = ()
    ) -> None:
        self.skipped = 0
        self._names = names
        self._answers = answers or {}
        self._record_of = array("q")

    def to_run(self, rows: Iterable[Row]) -> Iterator[tuple[int, Row]]:
        """``(place, row)`` of each row that has no answer yet."""
        for place, row in enumerate(rows):
            found = (
                self._answers.get(key(row.get(name, "") for name in self._names)) if self._answers else None
            )
            self._record_of.append(found.popleft() if found else NO_RECORD)
            if self._record_of[place] == NO_RECORD:
                yield place, row
            else:
                self.skipped += 1

    def enter(self, place: int, record: int) -> None:
        """Row ``place`` is answered by ``record``."""
        self._record_of[place] = record

    def order(self) -> Iterator[int]:
        """The records in the order of the plan; then answers to rows that are not in it, which are kept."""
        yield from (record for record in self._record_of if record != NO_RECORD)
        yield from self.foreign()

    def foreign(self) -> list[int]:
        """Records of an earlier table that answer no row of this plan."""
        return sorted(record for left in self._answers.values() for record in left)


def reopen(path: Path, names: Sequence[str], others: Collection[str]) -> tuple[ResultsTable, ResumedRows]:
    """The earlier table at ``path``, open for more, and what it answers.

    ``names``: the swept parameters, in the order of the plan's rows. ``others``: parameters of the function that
    this sweep leaves alone. Raises WrongInput if the table is of another sweep, OSError as files do.
    """
    earlier = _read(path, names, others)
    os.truncate(path, earlier.whole)
    return ResultsTable(path, names, others, earlier.columns, earlier.length), ResumedRows(
        earlier.answers, names
    )


class _EarlierRow(NamedTuple):
    """What was found at a path. ``whole``: bytes up to the end of the last whole record."""

    columns: list[str]
    length: int
    whole: int
    answers: dict[tuple[Value, ...], deque[int]]


def _read(path: Path, names: Sequence[str], others: Collection[str]) -> _EarlierRow:
    try:
        with path.open("rb") as file:
            found = records(file)
            columns, header_end = next(found, ([], 0))
            _check(path, columns, names, others)
            return _sorted_out(path, columns, header_end, found, names)
    except (UnicodeDecodeError, csv.Error) as error:
        raise WrongInput(f"{path} is no table of results: {error}") from error


def _sorted_out(
    path: Path, columns: list[str], whole: int, found: Iterable[tuple[list[str], int]], names: Sequence[str]
) -> _EarlierRow:
    answers: dict[tuple[Value, ...], deque[int]] = defaultdict(deque)
    places, error, count = [columns.index(name) for name in names], columns.index(ERROR), 0
    for texts, end in found:
        if len(texts) != len(columns):
            raise WrongInput(f"{path}: record {count + 1} has {len(texts)} cells for {len(columns)} columns")
        if not texts[error]:
            answers[key(texts[place] for place in places)].append(count)
        count, whole = count + 1, end
    return _EarlierRow(columns, count, whole, dict(answers))


def _check(path: Path, columns: Sequence[str], names: Sequence[str], others: Collection[str]) -> None:
    missing = [name for name in [*names, ERROR] if name not in columns]
    if missing:
        raise WrongInput(_differs(path, f"it has no column {missing[0]!r}"))
    foreign = [name for name in columns if name in others]
    if foreign:
        raise WrongInput(_differs(path, f"it sweeps {foreign[0]!r} too"))


def _differs(path: Path, why: str) -> str:
    return f"{path} is of another sweep: {why}. Leave out --resume, or give another --out."
