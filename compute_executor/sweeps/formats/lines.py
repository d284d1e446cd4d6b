"""JSON lines: a record is an object in a line of its own. A value that JSON does not know is what JSON has for it:
a tuple is a list, an enum its name, a date text; NaN and infinity are as Python writes them. ``error`` is null or
text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from compute_executor.sweeps.columns import ERROR
from compute_executor.sweeps.tabulation import TableRecord, Tabulation
from compute_executor.sweeps.values import json_text


class JsonLines:
    """Lines of JSON; columns need no room. ``unwritable``: results that JSON cannot hold."""

    def __init__(self, names: Sequence[str]) -> None:
        self.columns: list[str] = [*names, ERROR]
        self.unwritable: int = 0

    def widened(self, results: Iterable[str]) -> bool:
        """Note the columns; nothing that was written has to change."""
        self.columns[-1:-1] = [name for name in results if name not in self.columns]
        return False

    def header(self) -> bytes:
        """Return no line."""
        self.unwritable = 0
        return b""

    def line(self, record: TableRecord) -> bytes:
        """Return the line of a record. A result that JSON cannot hold is an error of its row."""
        try:
            return _encoded({**record.parameters, **record.results, ERROR: record.error or None})
        except Exception as bad:  # objects of the user are asked for their text
            self.unwritable += 1
            text = f"the result cannot be written as JSON: {type(bad).__name__}: {bad}"
            return _encoded({**record.parameters, ERROR: text})


def layout(_path: Path, names: Sequence[str]) -> JsonLines:
    """Return the layout of a table."""
    return JsonLines(names)


def write(path: Path, table: Tabulation) -> None:
    """Write ``table`` to ``path``."""
    made = JsonLines(table.names)
    with path.open("wb") as file:
        file.writelines(map(made.line, table.records()))


def _encoded(record: dict[str, Any]) -> bytes:
    return f"{json_text(record)}\n".encode("utf-8", "backslashreplace")
