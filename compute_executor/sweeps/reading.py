"""Reading a results table of any format back: for pictures, and to go on with a table whose book is gone."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.destination import reason
from compute_executor.sweeps.documents import READERS, optional
from compute_executor.sweeps.values import Value, parameter_cell, typed, unescaped

DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_table(path: Path) -> tuple[list[str], list[Mapping[str, Any]]]:
    """Columns and rows. Raises InvalidRequest for a file that is no table, or of an unknown ending."""
    read = _TABLES.get(path.suffix.lower())
    if read is None:
        raise InvalidRequest(f"cannot read {path}: its name must end in {', '.join(_TABLES)}")
    try:
        rows = list(read(path))
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {reason(error)}") from error
    except InvalidRequest:
        raise
    except Exception as error:  # libraries of each format have errors of their own
        raise InvalidRequest(f"{path} is no table of results: {error}") from error
    if not all(isinstance(row, Mapping) for row in rows):
        raise InvalidRequest(f"{path} is no table of results: it holds no records")
    return list(dict.fromkeys(str(name) for row in rows for name in row)), rows


def header(path: Path) -> list[str]:
    """Return the columns in the first line of a text table; nothing for other formats. Raises OSError."""
    if path.suffix.lower() not in DELIMITERS:
        return []
    with path.open("rb") as file:
        return [unescaped(name) for name in next(records(file, DELIMITERS[path.suffix.lower()]), ([], 0))[0]]


def records(file: Iterable[bytes], delimiter: str = ",") -> Iterator[tuple[list[str], int]]:
    """``(cells, byte offset of its end)`` of each whole record of a text table, the header first; ends before a torn
    one. Raises UnicodeDecodeError or csv.Error if it is not the kind of table that is written here."""
    end = 0

    def decoded() -> Iterator[str]:
        nonlocal end
        for line in file:
            if not line.endswith(b"\n"):  # torn
                return
            end += len(line)
            yield line.decode("utf-8-sig" if end == len(line) else "utf-8")

    csv.field_size_limit(2**31 - 1)  # a cell may be as long as it is
    reader = csv.reader(decoded(), strict=True, delimiter=delimiter)
    try:
        for texts in reader:
            yield texts, end
    except csv.Error as error:
        if "unexpected end of data" not in str(error):  # that one: torn inside quotes
            raise


def _text(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open("rb") as file:
        found = records(file, DELIMITERS[path.suffix.lower()])
        columns = [unescaped(name) for name in next(found, ([], 0))[0]]
        for number, (texts, _) in enumerate(found, 1):
            if len(texts) != len(columns):
                raise InvalidRequest(
                    f"{path}: record {number} has {len(texts)} cells for {len(columns)} columns"
                )
            yield dict(zip(columns, map(_cell, texts), strict=True))
        if not columns:
            raise InvalidRequest(f"{path} is no table of results: it is empty")


def _cell(text: str) -> Value:
    """Return the value that is written as ``text``; None where nothing is written."""
    if not text:
        return None
    plain = unescaped(text)
    try:
        value = typed(plain)
        return value if parameter_cell(value) == text else plain
    except InvalidRequest:
        return plain


def _records(path: Path) -> Any:
    found = READERS[path.suffix.lower()](path)
    if not isinstance(found, list):
        raise InvalidRequest(f"{path} is no table of results: it holds no list of records")
    return found


def _netcdf(path: Path) -> Any:
    xarray: Any = optional("xarray", "table", f"{path}")
    optional("h5netcdf", "table", f"{path}")
    with xarray.open_dataset(path, engine="h5netcdf") as found:
        frame = found.load().to_dataframe().reset_index()
    return frame.to_dict("records")


def _pickle(path: Path) -> Any:
    found = pickle.loads(path.read_bytes())  # whoever names a pickle trusts it
    if not isinstance(found, list):
        raise InvalidRequest(f"{path} is no table of results: it holds a {type(found).__name__}")
    return found


_TABLES: dict[str, Callable[[Path], Any]] = {
    ".csv": _text,
    ".tsv": _text,
    ".jsonl": _records,
    ".json": _records,
    ".parquet": _records,
    ".xlsx": _records,
    ".nc": _netcdf,
    ".pickle": _pickle,
    ".pkl": _pickle,
}
