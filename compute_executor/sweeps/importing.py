"""A table whose book is gone, or that was made by hand: its rows become those of a new book."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.book import Book, CallEnd, dump
from compute_executor.sweeps.columns import ERROR
from compute_executor.sweeps.reading import header, read_table


def import_table(book: Book, path: Path, names: Sequence[str]) -> None:
    """Note the rows of the table at ``path`` in ``book``: their cells are all that is known of their values.
    ``names``: the swept parameters. Raises InvalidRequest if it is no table of results, or lacks one of them."""
    columns, rows = read_table(path)
    known = columns if rows else header(path)
    missing = [name for name in [*names, ERROR] if name not in known]
    if missing:
        raise InvalidRequest(
            f"{path} is of another sweep: it has no column {missing[0]!r}. Leave out --resume, or give another --out."
        )
    book.add_calls((number, _parameters(row, names)) for number, row in enumerate(rows))
    book.add_ends([_end(number, row, names) for number, row in enumerate(rows)])


def _parameters(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names if row.get(name) is not None}


def _end(number: int, row: Mapping[str, Any], names: Sequence[str]) -> CallEnd:
    error = row.get(ERROR)
    if error:
        return CallEnd(number, None, str(error), str(error).partition(":")[0])
    results = {name: value for name, value in row.items() if name not in (*names, ERROR)}
    return CallEnd(number, dump(results))
