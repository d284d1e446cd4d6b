"""A figure of one picture, or of one for each value of a parameter."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from compute_executor.sweeps.best import short
from compute_executor.sweeps.pictures import drawings
from compute_executor.sweeps.pictures.content import MOST_FACETS, PictureContent

STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "svg.hashsalt": "compute-executor",
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """The settings of matplotlib for making and saving a figure; those of the program are left alone."""
    import matplotlib as mpl  # half a second, and only pictures need it

    with mpl.rc_context(STYLE):
        yield


def figure_of(content: PictureContent) -> Any:
    """Return the figure."""
    from matplotlib.figure import Figure  # half a second, and only pictures need it

    kind = content.kind()
    content = content.resolved()
    if kind == "multiples":
        return _multiples(Figure, content)
    draw = getattr(drawings, kind)
    pictures = content.facets()
    columns = _columns(len(pictures))
    rows = math.ceil(len(pictures) / columns)
    figure = Figure(figsize=_size(columns, rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=len(pictures) > 1, sharey=len(pictures) > 1)
    used = list(grid.flat)[: len(pictures)]
    drawn = [
        draw(axes, one, content, outer=_is_outer(place, columns, len(pictures)))
        for place, (axes, (_, one)) in enumerate(zip(used, pictures, strict=True))
    ]
    for place, axes in enumerate(used):
        axes.tick_params(labelbottom=_is_outer(place, columns, len(pictures))[1])
    for axes in list(grid.flat)[len(pictures) :]:
        axes.remove()
    for axes, (value, _) in zip(used, pictures, strict=True):
        if content.facet is not None:
            axes.set_title(f"{content.facet} = {short(value)}{_unit(content)}")
    drawings.key(figure, used, drawn, content)
    if content.title:
        _title(figure, used, content.title)
    return figure


def _multiples(figure_kind: Any, content: PictureContent) -> Any:
    """Return the result over each parameter, side by side."""
    names = content.varying[:MOST_FACETS]
    columns = _columns(len(names))
    rows = math.ceil(len(names) / columns)
    figure = figure_kind(figsize=_size(columns, rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for place, (axes, name) in enumerate(zip(grid.flat, names, strict=False)):
        drawings.scatter_over(axes, content, name, outer=place % columns == 0)
    for axes in list(grid.flat)[len(names) :]:
        axes.remove()
    if content.title:
        _title(figure, list(grid.flat)[: len(names)], content.title)
    return figure


def _columns(count: int) -> int:
    return count if count <= 3 else math.ceil(math.sqrt(count))


def _title(figure: Any, axes: Any, title: str) -> None:
    if len(axes) == 1:
        axes[0].set_title(title)
    else:
        figure.suptitle(title, fontsize=10)


def _unit(content: PictureContent) -> str:
    unit = content.units.get(content.facet or "")
    return f" {unit}" if unit else ""


def _size(columns: int, rows: int) -> tuple[float, float]:
    """Inches: one picture fills a column of a page, several a page."""
    if columns == rows == 1:
        return 6.4, 4.6
    return min(12.0, 1.2 + 3.1 * columns), min(12.0, 0.9 + 2.6 * rows)


def _is_outer(place: int, columns: int, count: int) -> tuple[bool, bool]:
    """Return whether a picture stands at the left, and whether at the bottom: those have labels."""
    return place % columns == 0, place + columns >= count
