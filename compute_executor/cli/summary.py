"""What a sweep says at its end: the best row, in the words of the table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from compute_executor.cli.wrong_input import WrongInput

Record = dict[str, str]
"""One line of the table: text by column."""


class Best(NamedTuple):
    """``--minimize COLUMN`` (or ``--maximize``, ``greatest``)."""

    column: str
    greatest: bool

    def of(self, table: Iterable[Record]) -> Record | None:
        """The row with the least (greatest) number in the column; the first of equals; None if no row has one."""
        sign = -1.0 if self.greatest else 1.0
        numbered = ((sign * number(row[self.column]), row) for row in table)
        return min(
            (entry for entry in numbered if not math.isnan(entry[0])),
            key=lambda entry: entry[0],
            default=(math.nan, None),
        )[1]

    def sentence(self, row: Record, names: Sequence[str]) -> str:
        """For example: least cost 4.2 at rate = 0.5, size = 10."""
        where = ", ".join(f"{name} = {short(row[name])}" for name in names)
        return (
            f"{'greatest' if self.greatest else 'least'} {self.column} {short(row[self.column])} at {where}"
        )


def number(text: str) -> float:
    """The number in a cell; NaN if there is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def short(text: str) -> str:
    """A cell for reading: five significant digits of a number."""
    value = number(text)
    return text if math.isnan(value) else f"{value:.5g}" if "." in text or "e" in text else text


def numeric_column(columns: Sequence[str], wanted: str | None, table: Iterable[Record]) -> str:
    """The column ``wanted``, else the first that holds a number somewhere. Raises WrongInput if there is none."""
    there = f"the results are: {', '.join(columns)}" if columns else "there is no result"
    if wanted is not None and wanted not in columns:
        raise WrongInput(f"no result is called {wanted!r}; {there}")
    candidates = columns if wanted is None else [wanted]
    for column in candidates:
        if any(not math.isnan(number(row[column])) for row in table):
            return column
    raise WrongInput(f"no numbers under {' or '.join(candidates) or 'any column'}; {there}")


def one_line(text: str, limit: int = 200) -> str:
    """Text of unknown origin, safe for a terminal: no line breaks, no control characters, not too long."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def count(number: int, thing: str) -> str:
    """``1 task``, ``2,000 tasks``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
