"""A results table that is there, with what its book tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.book import ENDING, Book, book_of
from compute_executor.sweeps.columns import ERROR
from compute_executor.sweeps.reading import read_table
from compute_executor.sweeps.tabulation import tabulated


class KnownTable(NamedTuple):
    """``columns``: without the error. ``parameters`` and those ``varying`` are known from the book only."""

    columns: list[str]
    rows: list[Mapping[str, Any]]
    parameters: list[str]
    varying: list[str]
    units: dict[str, str]


def known_table(path: Path) -> KnownTable:
    """Return the table at ``path``, or that of a book. Raises InvalidRequest."""
    if path.suffix == ENDING:
        return _of_book(path)
    columns, rows = read_table(path)
    shown = [name for name in columns if name != ERROR]
    book = book_of(path)
    if not book.exists():
        return KnownTable(shown, rows, [], [], {})
    known = open_book(book)
    try:
        design = known.get("design", {})
        return KnownTable(shown, rows, design.get("names", []), _varying(design), known.get("units", {}))
    finally:
        known.close()


def open_book(path: Path) -> Book:
    """Return the book of a sweep. Raises InvalidRequest if there is none."""
    if not path.is_file():
        raise InvalidRequest(f"cannot read {path}: there is no such file")
    return Book(path)


def _of_book(path: Path) -> KnownTable:
    book = open_book(path)
    try:
        table = tabulated(book)
        design = book.get("design", {})
        columns = [*table.names, *table.results()]
        return KnownTable(columns, list(table.flat()), table.names, _varying(design), table.units)
    finally:
        book.close()


def _varying(design: Mapping[str, Any]) -> list[str]:
    return [name for name in design.get("varying", ()) if name not in design.get("carried", ())]
