"""One parameter along an axis of a picture."""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Sequence
from typing import Any

from compute_executor.sweeps.best import number, short
from compute_executor.sweeps.pictures.content import in_order, is_geometric

MOST_LABELS = 24


class Scale:
    """``steps``: the different places, in order. Numbers and dates are their own places; words are put side by side
    in the order in which they come."""

    def __init__(self, values: Sequence[Any], *, logarithmic: bool = False) -> None:
        self._values = in_order(values)
        self.dates: bool = bool(self._values) and all(isinstance(v, datetime.date) for v in self._values)
        self.words: bool = not self.dates and any(math.isnan(number(value)) for value in self._values)
        self.steps: list[float] = sorted({self.place(value) for value in self._values})
        usable = not self.words and not self.dates and bool(self.steps) and self.steps[0] > 0
        self.logarithmic: bool = usable and (logarithmic or is_geometric(self.steps))

    def place(self, value: Any) -> float:
        """Return where a value is."""
        if self.dates:
            from matplotlib.dates import date2num  # only dates need it

            return float(date2num(value))  # type: ignore[no-untyped-call]
        if self.words:
            return float([repr(one) for one in self._values].index(repr(value)))
        return number(value)

    def apply(self, axis: Any, set_scale: Any) -> None:
        """Ticks and scale of an axis."""
        if self.words:
            axis.set_ticks(range(len(self._values)), [_text(value) for value in self._values])
            if len(self._values) > MOST_LABELS:
                axis.set_ticks(axis.get_ticklocs()[:: len(self._values) // MOST_LABELS])
        elif self.dates:
            axis.axis_date()
        elif self.logarithmic:
            set_scale("log")

    def edges(self) -> list[float]:
        """Return the borders of cells around the steps: half-way to the next, by ratio on a logarithmic axis."""
        steps = [math.log(step) for step in self.steps] if self.logarithmic else self.steps
        if len(steps) == 1:
            inner = [steps[0] - 0.5, steps[0] + 0.5]
        else:
            middles = [(one + later) / 2 for one, later in itertools.pairwise(steps)]
            inner = [2 * steps[0] - middles[0], *middles, 2 * steps[-1] - middles[-1]]
        return [math.exp(edge) for edge in inner] if self.logarithmic else inner


def _text(value: Any) -> str:
    text = short(value)
    return text if len(text) <= 24 else f"{text[:23]}…"
