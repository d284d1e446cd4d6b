"""What a sweep will call: the rows of ``--params`` times the grids of ``--grid``, made one at a time."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence

from compute_executor.cli.grid import Axis
from compute_executor.cli.params import ParamTable
from compute_executor.cli.values import Value
from compute_executor.cli.wrong_input import WrongInput

Row = dict[str, Value]
"""The cells of one row by name. A name that is missing has its default."""


class Plan:
    """Every row of a sweep: ``names`` of the swept parameters, ``count`` of the rows, and :meth:`rows`.

    With both a table and grids, each row of the table is run for every point of the grid. The last grid given
    turns fastest. Raises WrongInput when there is nothing to sweep, or a parameter is given twice.
    """

    def __init__(self, table: ParamTable | None, axes: Sequence[Axis]) -> None:
        if table is None and not axes:
            raise WrongInput(
                "nothing to sweep: give --grid name=1,2,5, --grid name=0:1:50 or --params table.csv"
            )
        self._table, self._axes = table, axes
        self.names = [*(table.names if table else ()), *(axis.name for axis in axes)]
        twice = [name for name, times in Counter(self.names).items() if times > 1]
        if twice:
            raise WrongInput(f"parameter {twice[0]!r} is given twice; one --grid, --set or table column each")
        self.carried: frozenset[str] = frozenset(table.carried if table else ())
        self.count = (table.count if table else 1) * math.prod(len(axis.values) for axis in axes)

    def rows(self) -> Iterator[Row]:
        """The cells of each row, in order."""
        names = [axis.name for axis in self._axes]
        for base in self._table.rows() if self._table else [Row()]:
            for values in itertools.product(*(axis.values for axis in self._axes)):
                yield {**base, **dict(zip(names, values, strict=True))}

    def call(self, row: Row) -> Row:
        """The keyword arguments of a row: without the columns that are only carried along."""
        return {name: row[name] for name in row if name not in self.carried} if self.carried else row

    def varying(self) -> list[str]:
        """The parameters that take more than one value; those are the axes of a picture."""
        return [
            *(n for n in (self._table.varying if self._table else ()) if n not in self.carried),
            *(a.name for a in self._axes if len(a.values) > 1),
        ]
