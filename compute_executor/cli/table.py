"""``--out results.csv``: a table that is whole at every moment.

While the sweep runs, rows are appended in the order in which they end, and flushed whenever the sweep waits: a
kill loses what was not flushed, and at worst a torn last line, which ``--resume`` cuts off. At the end the table is
written anew in the order of the sweep, beside the old one, and put in its place. A column that turns up late (the
first result, a result with another key) is added the same way.

Columns: the parameters, the results, ``error``. A *record* is one line of the table (more than one if a cell holds
a line break), numbered from 0 below the header; numbers stay when columns are added.
"""

from __future__ import annotations

import contextlib
import csv
import enum
import io
import itertools
import mmap
import os
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from compute_executor.cli.values import cell, parameter_cell, plain

ERROR = "error"
RESULT = "result"


class ResultsTable:
    """The table at ``path``, open for appending. ``columns`` and ``records``: what it has already. ``taken``: names
    that no column of a result may have.

    Without ``columns`` it starts empty, in place of whatever was there. Raises OSError as files do.
    """

    def __init__(
        self,
        path: Path,
        parameters: Sequence[str],
        taken: Collection[str] = (),
        columns: Sequence[str] = (),
        records: int = 0,
    ) -> None:
        self.path, self.records = path, records
        self._taken = {*parameters, *taken, ERROR}
        self.columns = list(columns) or [*parameters, ERROR]
        if not columns:
            with replaced(path) as file:
                file.write(_line(self.columns))
        self._file = path.open("ab")

    def cells(
        self, parameters: Mapping[str, Any], result: Mapping[str, Any], error: str = ""
    ) -> dict[str, str]:
        """The text of each cell of a record. Raises TypeError, or what an object of the result raises, when asked."""
        cells = {name: parameter_cell(value) for name, value in parameters.items()}
        for name, value in self._named(result).items():
            cells[name] = cell(value)
        cells[ERROR] = cell(error)
        return cells

    def add(self, cells: Mapping[str, str]) -> int:
        """Append one record and return its number."""
        new = [name for name in cells if name not in self.columns]
        if new:
            self._widen(new)
        self._file.write(_line([cells.get(name, "") for name in self.columns]))
        self.records += 1
        return self.records - 1

    def flush(self) -> None:
        """Hand all records to the operating system: from now on they survive the death of this process."""
        self._file.flush()

    def results(self) -> list[str]:
        """The columns that hold results, in order."""
        return [name for name in self.columns if name not in self._taken]

    def abandon(self) -> None:
        """Stop appending, after an error: what can be written is, what cannot is left."""
        with contextlib.suppress(OSError):
            self._file.close()

    def close(self) -> None:
        """Make all records durable and stop appending."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def arrange(self, order: Iterable[int]) -> None:
        """Close, and keep just the records of ``order``, in that order, replacing the file at once."""
        self.close()
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            ends = array("q", (end for _, end in records(data)))
            with replaced(self.path) as new:
                new.write(data[: ends[0]])
                for record in order:
                    new.write(data[ends[record] : ends[record + 1]])

    def _named(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """A result named like a parameter or like ``error`` gets a column of its own, ``result.NAME``."""
        return {f"{RESULT}.{key}" if key in self._taken else str(key): value for key, value in result.items()}

    def _widen(self, new: Sequence[str]) -> None:
        """Insert columns before ``error``, empty in the records so far."""
        at = self.columns.index(ERROR)
        self.columns[at:at] = new
        self._file.close()
        with self.path.open("rb") as old, replaced(self.path) as wider:
            wider.write(_line(self.columns))
            for number, (texts, _) in enumerate(records(old)):
                if number:
                    wider.write(_line([*texts[:at], *[""] * len(new), *texts[at:]]))
        self._file = self.path.open("ab")


def as_result(value: Any) -> Mapping[str, Any]:
    """The result columns of what a function returned: those of a mapping, a dataclass, a named tuple or a series,
    with the ones of a mapping in it as ``a.b``; else one called ``result``.

    >>> as_result({"a": {"b": 1}}), as_result(5)
    ({'a.b': 1}, {'result': 5})
    """
    if type(value) in (int, float, str, bool, type(None)):
        return {RESULT: value}
    value = _fields(value)
    if not isinstance(value, Mapping):
        return {RESULT: value}
    return _flat(value)


def _fields(value: Any) -> Any:
    """The columns in a value, or itself: a frame is one value, a mapping is many."""
    if isinstance(value, Mapping) or hasattr(value, "columns") or isinstance(value, enum.Enum):
        return value
    named = plain(value)
    return named if isinstance(named, dict) else value


def _flat(value: Mapping[Any, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, item in value.items():
        inner = item if type(item) in (int, float, str) else _fields(item)
        found = _flat(inner) if isinstance(inner, Mapping) and inner else {"": item}
        for part, cell_value in found.items():
            path = f"{name}.{part}" if part else str(name)
            while path in flat:  # 1 and "1" as keys
                path += "_"
            flat[path] = cell_value
    return flat


def rows(path: Path, limit: int) -> Iterator[dict[str, str]]:
    """The first ``limit`` records of the table at ``path``, cells by column."""
    with path.open("rb") as file:
        found = records(file)
        columns, _ = next(found)
        for texts, _ in itertools.islice(found, limit):
            yield dict(zip(columns, texts, strict=True))


def records(file: Iterable[bytes] | mmap.mmap) -> Iterator[tuple[list[str], int]]:
    """``(cells, byte offset of its end)`` of each whole record, the header first; ends before a torn one.

    Raises UnicodeDecodeError or csv.Error if it is not the kind of table that is written here.
    """
    lines = iter(file.readline, b"") if isinstance(file, mmap.mmap) else iter(file)
    end = 0

    def decoded() -> Iterator[str]:
        nonlocal end
        for line in lines:
            if not line.endswith(b"\n"):  # torn
                return
            end += len(line)
            yield line.decode()

    csv.field_size_limit(2**31 - 1)  # a cell may be as long as it is
    reader = csv.reader(decoded(), strict=True)
    try:
        for texts in reader:
            yield texts, end
    except csv.Error as error:
        if "unexpected end of data" not in str(error):  # that one: torn inside quotes
            raise


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(
        cells
    )  # "\n" alone would leave a "\r" in a cell unquoted
    return (text.getvalue().removesuffix("\r\n") + "\n").encode("utf-8", "backslashreplace")


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """A file that becomes ``path`` when it is complete and on disk; on an error ``path`` stays as it was."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
