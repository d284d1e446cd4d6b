"""Excel workbooks, by openpyxl: one sheet, a header that stays in view. Text that looks like a formula is text.
Numbers there have 15 digits: a longer int is written as text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.columns import ERROR
from compute_executor.sweeps.documents import optional
from compute_executor.sweeps.tabulation import Tabulation
from compute_executor.sweeps.values import array_text, plain

MOST_COLUMNS = 16_384
MOST_LETTERS = 32_767
"""Of a cell. Limits of the format (Microsoft, "Excel specifications and limits")."""
MOST_ROWS = 1_048_576
EXACT = 10**15


def write(path: Path, table: Tabulation) -> None:
    """Write ``table`` to ``path``. Raises InvalidRequest for what a workbook cannot hold."""
    excel: Any = optional("openpyxl", "table", f"{path}")
    cells: Any = optional("openpyxl.cell", "table", f"{path}")
    columns = [*table.names, *table.results(), ERROR]
    if len(columns) > MOST_COLUMNS:
        raise InvalidRequest(f"xlsx holds {MOST_COLUMNS:,} columns, these are {len(columns):,}")
    book = excel.Workbook(write_only=True)
    sheet = book.create_sheet("results")
    sheet.freeze_panes = "A2"
    try:
        sheet.append([_cell(cells, sheet, name, 0, name) for name in columns])
        for number, row in enumerate(table.flat(), 1):
            if number >= MOST_ROWS:
                raise InvalidRequest(f"xlsx holds {MOST_ROWS - 1:,} rows, these are more")
            sheet.append([_cell(cells, sheet, row.get(name), number, name) for name in columns])
    except BaseException:
        book.close()
        sheet.close()
        raise
    book.save(path)


def _cell(cells: Any, sheet: Any, value: Any, row: int, name: str) -> Any:
    value = _value(value, row, name)
    if type(value) is float:
        made = cells.WriteOnlyCell(sheet, repr(value))  # the library itself writes 16 digits
        made.data_type = "n"
        return made
    if not isinstance(value, str):
        return value
    if len(value) > MOST_LETTERS:
        raise InvalidRequest(
            f"row {row}, column {name!r}: {len(value):,} letters; a cell of xlsx holds {MOST_LETTERS:,}"
        )
    illegal = cells.cell.ILLEGAL_CHARACTERS_RE.search(value)
    if (
        illegal
        or "\r" in value
        or any("\ud800" <= letter <= "\udfff" or letter in "\ufffe\uffff" for letter in value)
    ):
        raise InvalidRequest(f"row {row}, column {name!r}: xlsx cannot hold the characters of {value[:40]!r}")
    made = cells.WriteOnlyCell(sheet, value)
    made.data_type = "s"  # and not a formula
    made.quotePrefix = value.startswith(("=", "+", "-", "@"))
    return made


def _value(value: Any, row: int, name: str) -> Any:
    """Return what a cell can hold of a value."""
    try:
        value = plain(value)
        return value if _is_known(value) else array_text(value)
    except Exception as error:  # objects of the user are asked for their fields and their text
        raise InvalidRequest(f"row {row}, column {name!r}: {error}") from error


def _is_known(value: Any) -> bool:
    """Return whether the library writes a value as what it is."""
    if type(value) is int:
        return abs(value) < EXACT
    return value is None or type(value) in (str, bool) or (type(value) is float and math.isfinite(value))
