"""The rows of a book as records of a table: parameters, columns of results, error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from compute_executor.sweeps.book import Book, BookRow
from compute_executor.sweeps.columns import ERROR, as_result, named

UNREADABLE = "the value cannot be read here: "


class TableRecord(NamedTuple):
    """One line of a table. ``parameters``: without those that have their default."""

    parameters: dict[str, Any]
    results: dict[str, Any]
    error: str


class Tabulation:
    """A table that can be gone through again and again. ``names``: of the parameters, in order; ``taken``: names that
    no result may have; ``dimensions``: the parameters whose product the rows are, if they are; ``units``: by
    column."""

    def __init__(
        self,
        names: Sequence[str],
        records: Callable[[], Iterable[TableRecord]],
        taken: frozenset[str] = frozenset(),
        *,
        dimensions: Sequence[str] | None = None,
        units: dict[str, str] | None = None,
        title: str = "",
    ) -> None:
        self.names: list[str] = list(names)
        self.taken: frozenset[str] = taken | {*names, ERROR}
        self.dimensions: Sequence[str] | None = dimensions
        self.units: dict[str, str] = dict(units or {})
        self.title: str = title
        self._records = records

    def records(self) -> Iterator[TableRecord]:
        """Return the lines in order, from the first."""
        return iter(self._records())

    def results(self) -> list[str]:
        """Return the columns that hold results, in the order in which they turn up."""
        return list(dict.fromkeys(name for record in self.records() for name in record.results))

    def flat(self) -> Iterator[dict[str, Any]]:
        """Yield each line as one mapping; ``error`` is None where there is none."""
        for record in self.records():
            yield {**record.parameters, **record.results, ERROR: record.error or None}


def tabulated(
    book: Book,
    taken: frozenset[str] = frozenset(),
    units: dict[str, str] | None = None,
    *,
    whole: bool = True,
) -> Tabulation:
    """Yield the table of a book. ``whole``: with the rows that are not in its present design, at the end."""
    about = book.get("design", {})
    names = about.get("names", [])
    shown = frozenset([*taken, *book.get("taken", ()), *names, ERROR])

    def records() -> Iterator[TableRecord]:
        for row in book.rows(placed=not whole):
            yield _recorded(row, shown)

    dimensions = about.get("dimensions")
    title = book.get("function", "")
    return Tabulation(
        names,
        records,
        shown,
        dimensions=dimensions,
        units={**book.get("units", {}), **(units or {})},
        title=title,
    )


def _recorded(row: BookRow, taken: frozenset[str]) -> TableRecord:
    if row.end is not None and row.end.error:
        return TableRecord(row.parameters, {}, row.end.error)
    try:
        value = row.value()
    except Exception as bad:  # of a class that is not there any more
        return TableRecord(row.parameters, {}, f"{UNREADABLE}{type(bad).__name__}: {bad}")
    return recorded(row.parameters, value, taken)


def recorded(parameters: dict[str, Any], value: Any, taken: frozenset[str]) -> TableRecord:
    """Return the line of a call that returned ``value``."""
    try:
        return TableRecord(parameters, dict(named(as_result(value), taken)), "")
    except Exception as bad:  # objects of the user are asked for their fields
        return TableRecord(parameters, {}, f"{UNREADABLE}{type(bad).__name__}: {bad}")
