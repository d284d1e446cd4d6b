"""``--plot``: a line for one swept parameter, a heat map for two. Needs matplotlib, the extra ``plot``."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from compute_executor.cli.destination import destination
from compute_executor.cli.summary import Record, number
from compute_executor.cli.values import typed_alike
from compute_executor.cli.wrong_input import WrongInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_FROM = 10.0
"""Positive values whose greatest is this many times the least are drawn on a logarithmic scale."""
MARKED_POINTS = 100
"""Points of a line up to which each is marked."""


class Picture(NamedTuple):
    """What to draw: ``column`` over one or two ``axes``, from ``table``; ``best``: the row to mark, with a title."""

    axes: list[str]
    column: str
    table: list[Record]
    best: Record | None
    title: str


def check(path: Path, varying: Sequence[str]) -> None:
    """Raises WrongInput if a picture at ``path`` cannot be drawn: told before a sweep rather than after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise WrongInput("--plot needs matplotlib (the extra 'plot' of this package): pip install matplotlib")
    if len(varying) not in (1, 2):
        names = f": {', '.join(varying)}" if varying else ""
        raise WrongInput(f"--plot draws one or two parameters, {len(varying)} of this sweep vary{names}")
    from matplotlib.backend_bases import FigureCanvasBase  # half a second, and only pictures need it

    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in known:
        raise WrongInput(f"--plot {path}: the name must end in one of .{', .'.join(sorted(known))}")
    if not os.access(destination(path).parent, os.W_OK):
        raise WrongInput(f"cannot write {path}: no writable folder")


def draw(path: Path, picture: Picture) -> None:
    """Write the picture to ``path``, at once."""
    from matplotlib.figure import Figure  # half a second, and only pictures need it

    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    axes = figure.add_subplot()
    (_line if len(picture.axes) == 1 else _map)(axes, picture)
    axes.set_xlabel(picture.axes[0])
    axes.set_title(picture.title, fontsize=10)
    path = destination(path)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        figure.savefig(new, format=path.suffix.lower().lstrip("."), dpi=150)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _line(axes: Axes, picture: Picture) -> None:
    across = _Scale([row[picture.axes[0]] for row in picture.table])
    values = [number(row[picture.column]) for row in picture.table]
    points = sorted(zip(across.places, values, strict=True))
    places, heights = zip(*points, strict=True)
    axes.plot(places, heights, "-o" if len(points) <= MARKED_POINTS else "-", markersize=4)
    axes.grid(alpha=0.3)
    across.label(axes.xaxis)
    axes.set_ylabel(picture.column)
    if _spread(values):
        axes.set_yscale("log")
    if picture.best:
        _mark(axes, across.place(picture.best[picture.axes[0]]), number(picture.best[picture.column]))


def _map(axes: Axes, picture: Picture) -> None:
    across, up = (_Scale([row[name] for row in picture.table]) for name in picture.axes)
    values = [number(row[picture.column]) for row in picture.table]
    if len(across.steps) * len(up.steps) > 2 * len(values):  # points strewn about rather than a grid
        drawn: Any = axes.scatter(across.places, up.places, c=values, norm=_norm(values), s=16)
    else:
        drawn = _mesh(axes, across, up, values)
    across.label(axes.xaxis)
    up.label(axes.yaxis)
    axes.set_ylabel(picture.axes[1])
    axes.figure.colorbar(drawn, ax=axes, label=picture.column)
    if picture.best:
        _mark(
            axes,
            *(
                scale.place(picture.best[name])
                for scale, name in zip((across, up), picture.axes, strict=True)
            ),
        )


def _mesh(axes: Axes, across: _Scale, up: _Scale, values: Sequence[float]) -> Any:
    cells = [[math.nan] * len(across.steps) for _ in up.steps]
    column, row = ({place: index for index, place in enumerate(scale.steps)} for scale in (across, up))
    for x, y, value in zip(across.places, up.places, values, strict=True):
        cells[row[y]][column[x]] = value
    axes.set_facecolor("0.85")  # where there is no number
    return axes.pcolormesh(across.steps, up.steps, cells, norm=_norm(values), shading="nearest")


class _Scale:
    """One parameter along an axis: ``places`` of the rows, ``steps`` the different ones, in order. Numbers are
    their own places; words are put side by side in the order in which they come."""

    def __init__(self, texts: Sequence[str]) -> None:
        values = typed_alike(texts)
        self._words = list(dict.fromkeys(texts)) if isinstance(values[0], str) else []
        self.places = [self.place(text) for text in texts]
        self.steps = sorted(set(self.places))

    def place(self, text: str) -> float:
        return float(self._words.index(text)) if self._words else float(text)

    def label(self, axis: Any) -> None:
        if self._words:
            axis.set_ticks(range(len(self._words)), self._words)


def _spread(values: Sequence[float]) -> bool:
    """Whether a logarithmic scale shows more."""
    numbers = [value for value in values if math.isfinite(value)]
    return bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) >= LOG_FROM


def _norm(values: Sequence[float]) -> Any:
    from matplotlib.colors import LogNorm, Normalize  # only pictures need it

    numbers = [value for value in values if math.isfinite(value)] or [0.0]  # all of them may be infinite
    kind = LogNorm if _spread(values) else Normalize
    return kind(min(numbers), max(numbers))


def _mark(axes: Axes, x: float, y: float) -> None:
    axes.plot([x], [y], "*", markersize=15, color="white", markeredgecolor="black", clip_on=False)
