"""The best row of a sweep, and the columns that have numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.values import cell

Record = Mapping[str, Any]
"""One line of the table: values by column."""


class Best(NamedTuple):
    """The row with the least number in ``column`` (``greatest``: the greatest)."""

    column: str
    greatest: bool

    def of(self, table: Iterable[Record]) -> Record | None:
        """Return the row; the first of equals; None if no row has a number there."""
        sign = -1.0 if self.greatest else 1.0
        numbered = ((sign * number(row.get(self.column)), row) for row in table)
        return min(
            (entry for entry in numbered if not math.isnan(entry[0])),
            key=lambda entry: entry[0],
            default=(math.nan, None),
        )[1]

    def sentence(self, row: Record, names: Sequence[str]) -> str:
        """For example: least cost 4.2 at rate = 0.5, size = 10."""
        where = ", ".join(f"{name} = {short(row[name])}" for name in names if name in row)
        return (
            f"{'greatest' if self.greatest else 'least'} {self.column} {short(row[self.column])} at {where}"
        )


def number(value: Any) -> float:
    """Return the value as a number; NaN if it is none, as a boolean is."""
    if type(value) in (int, float):
        return float(value) if abs(value) < 1e308 else math.copysign(math.inf, value)
    if value is None or isinstance(value, (str, bool)) or getattr(value, "shape", ()) != ():
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def short(value: Any) -> str:
    """Return a value for reading: five significant digits of a float."""
    if type(value) is float:
        return f"{value:.5g}"
    try:
        return "null" if value is None else cell(value)
    except TypeError:
        return f"a {type(value).__name__}"


def numeric_column(columns: Sequence[str], wanted: str | None, table: Iterable[Record]) -> str:
    """Return the column ``wanted``, else the first that holds a number somewhere. Raises InvalidRequest if there is
    none."""
    there = f"the results are: {', '.join(columns)}" if columns else "there is no result"
    if wanted is not None and wanted not in columns:
        raise InvalidRequest(f"no result is called {wanted!r}; {there}")
    left = list(columns if wanted is None else [wanted])
    numeric: set[str] = set()
    for row in table:
        numeric.update(name for name in left if name not in numeric and not math.isnan(number(row.get(name))))
        if left and left[0] in numeric:
            return left[0]
    found = next((name for name in left if name in numeric), None)
    if found is None:
        raise InvalidRequest(f"no numbers under {' or '.join(left) or 'any column'}; {there}")
    return found
