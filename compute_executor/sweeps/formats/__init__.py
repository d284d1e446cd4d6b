"""The forms of a results table, by the ending of its name.

A format is a module function that writes a :class:`~compute_executor.sweeps.tabulation.Tabulation` into a file. What
it cannot hold it refuses, naming row and column, before the file is put in its place: the values are in the book, and
``compute-executor export`` writes them in another form.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.documents import optional
from compute_executor.sweeps.tabulation import Tabulation


class TableFormat(NamedTuple):
    """How a table is written. ``needs``: ``(module, extra)`` of optional libraries. ``live``: lines are appended
    while the sweep runs. ``most``: rows that it can hold."""

    module: str
    needs: tuple[tuple[str, str], ...] = ()
    live: bool = False
    most: int | None = None

    def check(self, ending: str) -> None:
        """Raise InvalidRequest if a library that it needs is missing."""
        for module, extra in self.needs:
            optional(module, extra, f"a table in {ending}")

    def write(self, path: Path, table: Tabulation) -> None:
        """Write ``table`` to ``path``, which is not yet in its place. Raises InvalidRequest for what it cannot
        hold."""
        writer: Callable[[Path, Tabulation], None] = self.part("write")
        try:
            writer(path, table)
        except (InvalidRequest, OSError, MemoryError):
            raise
        except Exception as error:  # of an object of the user's that is asked for what it is
            raise InvalidRequest(
                f"{path.suffix} cannot hold these values: {type(error).__name__}: {error}"
            ) from error

    def part(self, name: str) -> Any:
        """Return something of the format's module."""
        return getattr(importlib.import_module(f"{__name__}.{self.module}"), name)


FORMATS = {
    ".csv": TableFormat("text", live=True),
    ".tsv": TableFormat("text", live=True),
    ".jsonl": TableFormat("lines", live=True),
    ".parquet": TableFormat("parquet", (("pyarrow.parquet", "table"),)),
    ".xlsx": TableFormat("workbook", (("openpyxl", "table"),), most=1_048_575),
    ".nc": TableFormat("netcdf", (("xarray", "table"), ("h5netcdf", "table"), ("h5py", "table"))),
    ".pickle": TableFormat("pickled"),
    ".pkl": TableFormat("pickled"),
}


def format_of(path: Path, count: int | None = None) -> TableFormat:
    """Return the format of a table. ``count``: the rows that it is to hold. Raises InvalidRequest, before anything is
    run, for an unknown ending, a missing library, or more rows than it can hold."""
    ending = path.suffix.lower()
    found = FORMATS.get(ending)
    if found is None:
        raise InvalidRequest(f"cannot write {path}: its name must end in {', '.join(FORMATS)}")
    found.check(ending)
    if found.most is not None and count is not None and count > found.most:
        raise InvalidRequest(f"cannot write {path}: {ending} holds {found.most:,} rows, these are {count:,}")
    return found
