"""What a picture shows, and which kind of picture that is. A value: nothing here draws."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from compute_executor.sweeps.best import Record, number

MOST_FACETS = 12
MOST_COLOURS = 10
"""Values of a parameter up to which each has a colour and a line in the legend; more share a colour bar."""
GRID_PART = 0.5
"""Of all combinations of two parameters, the part from which on they are cells rather than points."""


@dataclass(frozen=True)
class PictureContent:
    """``column`` of ``rows`` over the parameters ``varying``; ``best``: the row to mark."""

    rows: Sequence[Record]
    column: str
    varying: list[str]
    x: str | None = None
    y: str | None = None
    colour: str | None = None
    facet: str | None = None
    log_x: bool = False
    log_y: bool = False
    contours: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    title: str = ""
    best: Record | None = None

    def across(self) -> str:
        """Return the parameter along the picture."""
        free = [name for name in self.varying if name not in (self.y, self.colour, self.facet)]
        return self.x or (free or self.varying)[0]

    def others(self) -> list[str]:
        """Return the parameters that vary and have no place chosen."""
        return [n for n in self.varying if n not in (self.across(), self.y, self.colour, self.facet)]

    def label(self, name: str) -> str:
        """Return a name with its unit."""
        return f"{name} ({self.units[name]})" if name in self.units else name

    def kind(self) -> str:
        """line, map, points, multiples or parallel."""
        others = self.others()
        if self.y is not None:
            return "map" if self.is_grid([self.across(), self.y]) else "points"
        if self.colour is not None or not others:
            return "line" if self.is_grid([self.across()]) or not self.is_strewn(self.across()) else "points"
        if len(others) == 1:
            return "map" if self.is_grid([self.across(), others[0]]) else "points"
        if not self.is_grid([self.across(), *others]):
            return "multiples"
        return "map" if len(others) == 2 and self.facet is None else "parallel"

    def is_strewn(self, name: str) -> bool:
        """Return whether nearly every row has a value of its own, so that a line would be noise."""
        different = len({repr(row.get(name)) for row in self.rows})
        varying = [one for one in self.varying if one != name]
        return bool(varying) and different > GRID_PART * len(self.rows)

    def is_grid(self, names: Sequence[str]) -> bool:
        """Return whether most combinations of the values of these parameters are there."""
        steps = [len({repr(row.get(name)) for row in self.rows}) for name in names]
        found = len({tuple(repr(row.get(name)) for name in names) for row in self.rows})
        return found >= GRID_PART * math.prod(steps)

    def resolved(self) -> PictureContent:
        """Return the same with every place chosen that the kind of picture has."""
        kind, others = self.kind(), self.others()
        if kind in ("map", "points") and self.y is None and self.colour is None and others:
            facet = self.facet or (others[1] if len(others) > 1 else None)
            return replace(self, x=self.across(), y=others[0], facet=facet)
        return replace(self, x=self.across())

    def facets(self) -> list[tuple[Any, PictureContent]]:
        """Return the pictures of each value of ``facet``; very many values are shown by some of them, evenly."""
        if self.facet is None:
            return [(None, self)]
        values = in_order(row.get(self.facet) for row in self.rows)
        if len(values) > MOST_FACETS:
            step = (len(values) - 1) / (MOST_FACETS - 1)
            values = [values[round(step * place)] for place in range(MOST_FACETS)]
        return [(value, self._only(value)) for value in values]

    def _only(self, value: Any) -> PictureContent:
        rows = [row for row in self.rows if row.get(self.facet or "") == value]
        best = self.best if self.best is not None and self.best.get(self.facet or "") == value else None
        return replace(self, rows=rows, facet=None, best=best, title="")

    def numbers(self) -> list[float]:
        """Return the finite numbers of the column."""
        return [one for one in (number(row.get(self.column)) for row in self.rows) if math.isfinite(one)]


def in_order(values: Any) -> list[Any]:
    """Different values: numbers by size, others as they come."""
    found = list({repr(value): value for value in values}.values())
    if all(not math.isnan(number(value)) for value in found):
        return sorted(found, key=number)
    return found


def is_geometric(steps: Sequence[float]) -> bool:
    """Return whether values are far apart, and crowded at the low end of an even axis."""
    if len(steps) < 4 or steps[0] <= 0 or steps[-1] / steps[0] < 30:
        return False
    return statistics.median(steps) < (steps[0] + steps[-1]) / 5


def is_wide(values: Sequence[float], ratio: float = 30.0) -> bool:
    """Return whether positive values are so far apart that a logarithmic scale shows more."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= ratio
