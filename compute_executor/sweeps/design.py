"""What a sweep will call: tables times samples times grids times repeats, made one row at a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.conditions import Condition
from compute_executor.sweeps.grid import Axis
from compute_executor.sweeps.params import ParamTable
from compute_executor.sweeps.samples import Sampling
from compute_executor.sweeps.seeds import child_seed
from compute_executor.sweeps.values import Value

Row = dict[str, Value]
"""The cells of one row by name. A name that is missing has its default."""

SEED = "seed"
REPEAT = "repeat"
COUNTED = 50_000
"""Points up to which a condition is tried on each before the sweep begins, to know how many there are."""


class Design:
    """Every row of a sweep: ``names`` of its columns, ``count`` of the rows (None where only a condition on very many
    points knows), and :meth:`rows`.

    Each row of ``table`` is run for every point of ``sample``, each of those for every point of the ``axes``, of
    which the last turns fastest, and each of those ``repeats`` times. ``seed`` makes the column ``seed``: for row n
    the n-th child of numpy's ``SeedSequence(seed)``. Raises InvalidRequest when there is nothing to sweep, or a
    parameter is given twice.
    """

    def __init__(
        self,
        table: ParamTable | None = None,
        axes: Sequence[Axis] = (),
        sample: Sampling | None = None,
        conditions: Sequence[Condition] = (),
        *,
        repeats: int | None = None,
        seed: int | None = None,
    ) -> None:
        if table is None and sample is None and not axes and repeats is None:
            raise InvalidRequest(
                "nothing to sweep: give --grid name=1,2,5, --grid name=0:1:50, --sample or --params table.csv"
            )
        self.axes: list[Axis] = list(axes)
        self.sample: Sampling | None = sample
        self.seed: int | None = seed
        self.repeats: int | None = repeats
        self._table, self._conditions = table, list(conditions)
        self.swept: list[str] = [
            *(table.names if table else ()),
            *(sample.names if sample else ()),
            *(axis.name for axis in axes),
        ]
        self.names: list[str] = [
            *self.swept,
            *([REPEAT] if repeats is not None else ()),
            *([SEED] if seed is not None else ()),
        ]
        self._check_names()
        self.carried: frozenset[str] = frozenset(
            [*(table.carried if table else ()), *([REPEAT] if repeats is not None else ())]
        )
        self.points: int = (table.count if table else 1) * (sample.count if sample else 1)
        self.points *= math.prod(len(axis.values) for axis in axes)
        self.count: int | None = self._counted()

    def rows(self) -> Iterator[Row]:
        """Return the cells of each row, in order."""
        rows = self._points()
        if self._conditions:
            rows = (row for row in rows if all(condition.holds(row) for condition in self._conditions))
        if self.repeats is not None:
            repeats = range(1, self.repeats + 1)
            rows = ({**row, REPEAT: repeat} for row in rows for repeat in repeats)
        if self.seed is None:
            return rows
        return self._seeded(rows, self.seed)

    def call(self, row: Row) -> Row:
        """Return the keyword arguments of a row: without the columns that are only carried along."""
        return {name: row[name] for name in row if name not in self.carried} if self.carried else row

    def varying(self) -> list[str]:
        """Return the parameters that take more than one value; those are the axes of a picture."""
        return [
            *(n for n in (self._table.varying if self._table else ()) if n not in self.carried),
            *(self.sample.names if self.sample else ()),
            *(a.name for a in self.axes if len(a.values) > 1),
        ]

    def is_grid(self) -> bool:
        """Return whether the rows are the points of a product of axes: what can become the dimensions of an array."""
        return self._table is None and self.sample is None

    def description(self) -> Mapping[str, Any]:
        """Return what a later reader of the book needs to know of the design."""
        return {
            "names": self.names,
            "carried": sorted(self.carried),
            "varying": self.varying(),
            "dimensions": [axis.name for axis in self.axes] if self.is_grid() else None,
            "repeats": self.repeats,
            "seed": self.seed,
        }

    def _points(self) -> Iterator[Row]:
        names = [axis.name for axis in self.axes]
        values = [axis.values for axis in self.axes]
        for base in self._table.rows() if self._table else [Row()]:
            for drawn in self.sample.rows() if self.sample else [Row()]:
                for point in _product(values):
                    yield {**base, **drawn, **dict(zip(names, point, strict=True))}

    def _seeded(self, rows: Iterator[Row], seed: int) -> Iterator[Row]:
        for place, row in enumerate(rows):
            yield {**row, SEED: child_seed(seed, place)}

    def _counted(self) -> int | None:
        """Return how many rows there are. Raises InvalidRequest if a condition leaves none."""
        points: int | None = self.points
        if self._conditions:
            points = self._fulfilled() if self.points <= COUNTED else None
        if points == 0:
            texts = " and ".join(condition.text for condition in self._conditions)
            raise InvalidRequest(f"--where {texts}: none of {self.points:,} points fulfils it")
        return None if points is None else points * (self.repeats or 1)

    def _fulfilled(self) -> int:
        return sum(all(condition.holds(row) for condition in self._conditions) for row in self._points())

    def _check_names(self) -> None:
        twice = [name for name, times in Counter(self.names).items() if times > 1]
        if twice:
            raise InvalidRequest(
                f"parameter {twice[0]!r} is given twice; one --grid, --range, --set or table column each"
            )
        for condition in self._conditions:
            condition.check(self.swept)


def _product(values: Sequence[Sequence[Value]]) -> Iterator[tuple[Value, ...]]:
    """``itertools.product``, without its copy of each of ``values``, which may be very long."""
    if not values:
        yield ()
        return
    *outer, last = values
    for point in _product(outer):
        for value in last:
            yield (*point, value)
