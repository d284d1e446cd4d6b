"""Comma- and tab-separated text, in UTF-8. A parameter that is None is ``null``, an empty cell is nothing; arrays,
frames and mappings in a cell are JSON; text that a spreadsheet would take for a formula has an apostrophe before
it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from compute_executor.sweeps.columns import ERROR
from compute_executor.sweeps.tabulation import TableRecord, Tabulation
from compute_executor.sweeps.values import cell, parameter_cell


class TextLayout:
    """Lines of cells. ``columns``: parameters, results, error. ``unwritable``: results that no text could stand
    for."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.columns: list[str] = [*names, ERROR]
        self.unwritable: int = 0
        self._delimiter = "\t" if path.suffix.lower() == ".tsv" else ","

    def widened(self, results: Iterable[str]) -> bool:
        """Make room for the columns of ``results`` before ``error``; whether there was none for one of them."""
        new = [name for name in results if name not in self.columns]
        self.columns[-1:-1] = new
        return bool(new)

    def header(self) -> bytes:
        """Return the first line."""
        self.unwritable = 0
        return self._line([cell(name) for name in self.columns])

    def line(self, record: TableRecord) -> bytes:
        """Return the line of a record. A result that no text can stand for is an error of its row."""
        try:
            return self._line(self._cells(record))
        except Exception as bad:  # objects of the user are asked for their text
            self.unwritable += 1
            text = f"the result cannot be written as text: {type(bad).__name__}: {bad}"
            return self._line(self._cells(TableRecord(record.parameters, {}, text)))

    def _cells(self, record: TableRecord) -> list[str]:
        cells = {name: parameter_cell(value) for name, value in record.parameters.items()}
        for name, value in record.results.items():
            cells[name] = cell(value)
        cells[ERROR] = cell(record.error)
        return [cells.get(name, "") for name in self.columns]

    def _line(self, cells: Sequence[str]) -> bytes:
        joined = self._delimiter.join(cells)
        plain = joined.count(self._delimiter) == len(cells) - 1
        if not plain or '"' in joined or "\n" in joined or "\r" in joined or not joined:
            text = io.StringIO()
            # "\n" alone would leave a "\r" in a cell unquoted
            csv.writer(text, delimiter=self._delimiter, lineterminator="\r\n").writerow(cells)
            joined = text.getvalue().removesuffix("\r\n")
        return f"{joined}\n".encode("utf-8", "backslashreplace")


def layout(path: Path, names: Sequence[str]) -> TextLayout:
    """Return the layout of the table at ``path``."""
    return TextLayout(path, names)


def write(path: Path, table: Tabulation) -> None:
    """Write ``table`` to ``path``."""
    made = TextLayout(path, table.names)
    made.widened(table.results())
    with path.open("wb") as file:
        file.write(made.header())
        file.writelines(map(made.line, table.records()))
