"""``--params table.csv``: one call per row. A text table is read twice and never held: once to check and type it,
once to run it, so that its length costs no memory. JSON, YAML, TOML, Parquet and workbooks bring values with their
types, which stay."""

from __future__ import annotations

import atexit
import csv
import itertools
import json
import re
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.annotations import Conversion, Parameters
from compute_executor.sweeps.destination import reason
from compute_executor.sweeps.documents import READERS, TABULAR
from compute_executor.sweeps.values import Kind, Value, as_kind, kind_of, typed, unescaped

DELIMITERS = "\t;,"
_ABSENT: Any = object()
"""What stands in an empty cell, where the parameter has its default."""


class ParamTable:
    """A checked table: ``names`` of its columns, those ``varying``, ``count`` of its rows, and the rows themselves.

    The first line names the columns; blank lines are skipped. An empty cell is the default of its parameter.
    ``known``: what the function takes (None: anything); other columns may have any name. ``defaults``: which of
    them may be left out. ``records``: the rows, which are then not read. Raises InvalidRequest, naming file and line.
    """

    def __init__(
        self,
        path: Path,
        parameters: Parameters | None = None,
        known: Collection[str] | None = None,
        defaults: Collection[str] = (),
        records: list[Any] | None = None,
    ) -> None:
        self._path, self._known, self._defaults = path, known, defaults
        try:
            source = _from_stdin() if str(path) == "-" and records is None else path
            self._read = _reader(source, defaults) if records is None else _DocumentTable(path, records)
            self.names: list[str] = self._header()
            self._converters = [parameters.converter(n) if parameters else None for n in self.names]
            self.varying: list[str]
            self.count: int
            self._kinds, self.varying, self.count = self._examine()
        except InvalidRequest:
            raise
        except OSError as error:
            raise InvalidRequest(f"cannot read {path}: {reason(error)}") from error
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{path} is no table in UTF-8: {error}") from error
        except (csv.Error, ValueError) as error:
            raise InvalidRequest(f"{path} is no {_kind(path)} table: {error}") from error
        if not self.count:
            raise InvalidRequest(f"{path} has no rows below its header")

    @property
    def carried(self) -> list[str]:
        """The columns that the function does not take: they go into the results beside its parameters."""
        return [name for name in self.names if self._known is not None and name not in self._known]

    def rows(self) -> Iterator[dict[str, Value]]:
        """Yield the parameters of each call, in the order of the file."""
        for _, values in self._read():
            yield self._row(values)

    def _row(self, values: Sequence[Any]) -> dict[str, Value]:
        columns = zip(self.names, values, self._kinds, self._converters, strict=True)
        value_of = self._read.value
        return {
            name: value_of(value, kind, convert)
            for name, value, kind, convert in columns
            if value is not _ABSENT
        }

    def _examine(self) -> tuple[list[Kind], list[str], int]:
        """Return the type of each column, the columns that vary, and how many rows there are."""
        kinds: list[Kind] = [None for _ in self.names]
        varies = [False for _ in self.names]
        first: list[Any] | None = None
        count = 0
        for line, values in self._read():
            if len(values) != len(self.names):
                raise InvalidRequest(f"{self._at(line)}: {len(values)} cells for {len(self.names)} columns")
            first = first if first is not None else values
            for place, value in enumerate(values):
                kinds[place] = self._seen(line, place, value, kinds[place])
                varies[place] = varies[place] or _differ(value, first[place])
            count += 1
        self._check_exact(kinds)
        return kinds, list(itertools.compress(self.names, varies)), count

    def _seen(self, line: int, place: int, value: Any, kind: Kind) -> Kind:
        """Return the type of a column after one more value of it; an annotated one is converted to see whether it can
        be."""
        name, convert = self.names[place], self._converters[place]
        try:
            if value is _ABSENT:
                self._check_default(name)
            elif convert is not None:
                self._read.value(value, None, convert)
            else:
                return self._read.kind(value, kind)
        except InvalidRequest as error:
            raise InvalidRequest(f"{self._at(line)}, {name}: {error.message}") from error
        return kind

    def _at(self, line: int) -> str:
        return f"{self._path} {self._read.unit} {line}"

    def _check_default(self, name: str) -> None:
        known = self._known is None or name in self._known
        if known and name not in self._defaults:
            raise InvalidRequest("the cell is empty, and the function has no default for it")

    def _check_exact(self, kinds: Sequence[Kind]) -> None:
        """Ints of a column of floats must be floats without a loss of digits; only then the table is read again."""
        if any(kind is float for kind in kinds):
            for line, values in self._read():
                for name, value, kind, convert in zip(
                    self.names, values, kinds, self._converters, strict=True
                ):
                    if kind is float and convert is None and value is not _ABSENT:
                        self._check_float(line, name, value)

    def _check_float(self, line: int, name: str, value: Any) -> None:
        try:
            as_kind(value, float)
        except InvalidRequest as error:
            raise InvalidRequest(f"{self._at(line)}, {name}: {error.message}") from error

    def _header(self) -> list[str]:
        names = [str(name).strip() for name in self._read.names]
        if not any(names):
            raise InvalidRequest(f"{self._path} is empty: its first line must name the parameters")
        for name in names:
            carried = self._known is not None and name not in self._known and name
            if names.count(name) > 1 or not (carried or name.isidentifier()):
                raise InvalidRequest(f"{self._path}: column {name!r} is no parameter name, or is there twice")
        self._check_meant(names)
        return names

    def _check_meant(self, names: Sequence[str]) -> None:
        """Raise InvalidRequest for a table without a parameter, or with one whose name is written otherwise."""
        known = self._known or ()
        if self._known is not None and not set(names).intersection(known):
            raise InvalidRequest(
                f"{self._path}: none of its columns ({', '.join(names)}) is a parameter; "
                f"there is {', '.join(sorted(known))}"
            )
        meant = {_folded(name): name for name in self._defaults if name not in names}
        for name in names:
            if name not in known and _folded(name) in meant:
                raise InvalidRequest(
                    f"{self._path}: column {name!r} is no parameter, and {meant[_folded(name)]!r} is: "
                    "rename one of them"
                )


def _folded(name: str) -> str:
    """Return a name without its case, blanks and hyphens."""
    return re.sub(r"[\s_-]", "", name.casefold())


def _differ(one: Any, other: Any) -> bool:
    try:
        return bool(one != other)
    except ValueError:  # arrays
        return True


def _kind(path: Path) -> str:
    suffix = path.suffix[1:].lower()
    return suffix.upper() if f".{suffix}" in READERS else "CSV"


class _TextTable:
    """The records of a file of commas, semicolons or tabs: called, it gives ``(line number, cells)`` below the
    header. The delimiter is the one that is most often in the header."""

    unit = "line"

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            self._delimiter = max(DELIMITERS, key=lambda d: (header.count(d), DELIMITERS.index(d)))
            file.seek(0)
            self.names: list[str] = next(self._cells(file), [])

    def __call__(self) -> Iterator[tuple[int, list[str]]]:
        with self._path.open(encoding="utf-8-sig", newline="") as file:
            reader = self._cells(file)
            next(reader, None)
            for texts in reader:
                if texts:
                    yield reader.line_num, [unescaped(text.strip()) or _ABSENT for text in texts]

    def kind(self, value: str, kind: Kind) -> Kind:
        """Return the type of a column after one more value of it."""
        return kind_of([typed(value)], kind)

    def value(self, value: str, kind: Kind, convert: Conversion | None) -> Value:
        """Return what a text stands for. Raises InvalidRequest."""
        return as_kind(value, kind) if convert is None else convert(value)

    def _cells(self, file: Any) -> Any:
        csv.field_size_limit(2**31 - 1)  # a cell may be as long as it is
        return csv.reader(file, delimiter=self._delimiter, strict=True)


class _DocumentTable:
    """The records of a document, which brings values with their types; a key that a record lacks is an empty cell."""

    unit = "record"

    def __init__(self, path: Path, records: Any) -> None:
        if isinstance(records, dict):  # TOML has no list at its top: the one list in it
            lists = [value for value in records.values() if isinstance(value, list)]
            records = lists[0] if len(lists) == 1 else records
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise InvalidRequest(
                f"{path}: it must hold a list of records, each with the parameters of one call by name"
            )
        self._records = records
        self.names = list(dict.fromkeys(str(name) for record in records for name in record))
        if not records:
            raise InvalidRequest(f"{path} has no rows below its header")

    def __call__(self) -> Iterator[tuple[int, list[Any]]]:
        for number, record in enumerate(self._records, 1):
            yield number, [record.get(name, _ABSENT) for name in self.names]

    def kind(self, _value: Any, kind: Kind) -> Kind:
        """Return the type of a column: each value has its own."""
        return kind

    def value(self, value: Any, _kind: Kind, convert: Conversion | None) -> Value:
        """Return the value, if the annotation allows it. Raises InvalidRequest."""
        return value if convert is None else convert.of(value)


def _from_stdin() -> Path:
    """Return the standard input as a file, which can be read twice. What begins as JSON is JSON, or JSON lines."""
    text = sys.stdin.buffer.read()
    first = text.lstrip()[:1]
    ending = ".json" if first == b"[" else ".jsonl" if first == b"{" else ".csv"
    descriptor, name = tempfile.mkstemp(prefix="compute-executor-params-", suffix=ending)
    atexit.register(Path(name).unlink, missing_ok=True)
    with open(descriptor, "wb") as file:
        file.write(text)
    return Path(name)


def _reader(path: Path, defaults: Collection[str]) -> _TextTable | _DocumentTable:
    ending = path.suffix.lower()
    read = READERS.get(ending)
    try:
        if read is None:
            return _TextTable(path)
        records = read(path)
        return _DocumentTable(path, _filled(records, defaults) if ending in TABULAR else records)
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"{path} is no JSON: {error}") from error


def _filled(records: list[dict[str, Any]], defaults: Collection[str]) -> list[dict[str, Any]]:
    """Records of a table of cells: an empty one is the default of its parameter, if there is one."""
    return [
        {name: value for name, value in record.items() if value is not None or name not in defaults}
        for record in records
    ]
