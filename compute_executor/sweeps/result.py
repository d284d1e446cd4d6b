"""What a sweep has found: its rows as records, as a frame of pandas, as a Dataset of xarray."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps import failures as failing
from compute_executor.sweeps.book import Book
from compute_executor.sweeps.destination import check_folder, replaced_path
from compute_executor.sweeps.documents import optional
from compute_executor.sweeps.failures import SweepFailure
from compute_executor.sweeps.formats import format_of
from compute_executor.sweeps.tabulation import Tabulation, tabulated

if TYPE_CHECKING:
    from compute_executor.sweeps.study import Study

T = TypeVar("T")


class SweepCounts(NamedTuple):
    """Rows of a sweep: all of them (None if only the end of a condition on very many points would tell), those with a
    value, those that failed."""

    total: int | None
    values: int
    failed: int


class SweepResult:
    """The rows of a sweep, in the order of its design. They are read from its book each time, so that they need not
    be in memory; without ``out`` the book is a temporary file that goes with this object.

    ``stopped``: why the sweep has ended early, or an empty text.
    """

    def __init__(self, study: Any, run_again: Callable[[], SweepResult]) -> None:
        """``study``: a Study, which is no part of the public interface: `sweep` makes results. ``run_again``: runs
        what has no value yet."""
        self.stopped: str = study.stopped
        self._study: Study = study
        self._run_again = run_again
        self._path, self._taken, self._units = study.book.path, study.request.taken, study.request.units
        values, failed = study.book.counts()
        self.counts: SweepCounts = SweepCounts(study.tally.total, values, failed)
        study.close()

    def __len__(self) -> int:
        """Return how many rows have ended."""
        return self.counts.values + self.counts.failed

    def __repr__(self) -> str:
        total = "" if self.counts.total is None else f" of {self.counts.total:,}"
        why = f", stopped: {self.stopped}" if self.stopped else ""
        return f"<SweepResult {len(self):,}{total} rows, {self.counts.failed:,} failed{why}>"

    @property
    def failures(self) -> list[SweepFailure]:
        """The rows that failed, each with its parameters, the worker's traceback and the end of its output."""
        return self._read(lambda book: list(failing.failures(book)))

    def records(self) -> list[dict[str, Any]]:
        """Return each row as a mapping: parameters, results (``result`` where the function returned no mapping),
        ``error``."""
        return self._read(lambda book: list(self._table(book).flat()))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records())

    def best(self, column: str, *, greatest: bool = False) -> dict[str, Any] | None:
        """Return the row with the least (greatest) number in ``column``; None if there is none."""
        sign = -1 if greatest else 1
        rows = [row for row in self.records() if is_number(row.get(column))]
        return min(rows, key=lambda row: sign * row[column], default=None)

    def to_pandas(self) -> Any:
        """Return the rows as a ``pandas.DataFrame``. Raises InvalidRequest if pandas is not installed."""
        pandas: Any = optional("pandas", "table", "to_pandas()")
        rows = self._read(lambda book: (self._table(book).names, list(self._table(book).flat())))
        columns = [*rows[0], *(name for row in rows[1] for name in row), "error"]
        names = [name for name in dict.fromkeys(columns) if name != "error"]
        frame = {name: _series(pandas, [row.get(name) for row in rows[1]]) for name in [*names, "error"]}
        return pandas.DataFrame(frame)

    def to_xarray(self) -> Any:
        """Return the rows as an ``xarray.Dataset``: the parameters of a grid are its dimensions. Raises
        InvalidRequest for values that have no place in one."""
        from compute_executor.sweeps.formats.netcdf import dataset  # only who asks for it needs it

        return self._read(lambda book: dataset(self._table(book)))

    def save(self, path: str | Path) -> None:
        """Write the table in the format of the ending of ``path``. Raises InvalidRequest."""
        written = format_of(Path(path), len(self))
        check_folder(Path(path))

        def write(book: Book) -> None:
            with replaced_path(Path(path)) as new:
                written.write(new, self._table(book))

        self._read(write)

    def plot(self, path: str | Path, **options: Any) -> None:
        """Draw a picture of the table; see ``compute-executor plot`` for the options (``x``, ``y``, ``column``,
        ``colour``, ``facet``, ``log_x``, ``log_y``, ``units``). Raises InvalidRequest."""
        from compute_executor.sweeps.pictures import draw_records  # half a second, and only pictures need it

        design = self._study.request.design
        parameters = [name for name in design.varying() if name not in design.carried]
        draw_records(
            Path(path),
            self.records(),
            parameters,
            units={**self._units, **options.pop("units", {})},
            **options,
        )

    def resume(self) -> SweepResult:
        """Run what has no value yet: rows that failed, and those that a sweep which ended early has not come to."""
        return self._run_again()

    def _table(self, book: Book) -> Tabulation:
        return tabulated(book, self._taken, self._units)

    def _read(self, look: Callable[[Book], T]) -> T:
        book = Book(self._path)
        try:
            return look(book)
        finally:
            book.close()


def _series(pandas: Any, values: list[Any]) -> Any:
    """Return a column of a frame. Ints and booleans stay what they are where some rows have none."""
    kinds = {type(value) for value in values if value is not None}
    nullable = {int: "Int64", bool: "boolean"}.get(kinds.pop()) if len(kinds) == 1 else None
    if nullable is None or all(value is not None for value in values):
        return pandas.Series(values, dtype=None if any(value is not None for value in values) else object)
    try:
        return pandas.Series(pandas.array(values, dtype=nullable))
    except OverflowError:  # of more than 64 bits
        return pandas.Series(values, dtype=object)


def is_number(value: Any) -> bool:
    """Return whether a value is a number that can be compared."""
    try:
        return not isinstance(value, (bool, str)) and value is not None and not math.isnan(value)
    except TypeError:
        return False


def check_column(columns: list[str], wanted: str) -> None:
    """Raise InvalidRequest if no result has this name."""
    if wanted not in columns:
        there = f"the results are: {', '.join(columns)}" if columns else "there is no result"
        raise InvalidRequest(f"no result is called {wanted!r}; {there}")
