"""The kinds of pictures, each drawn into given axes."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.best import number, short
from compute_executor.sweeps.pictures.content import MOST_COLOURS, PictureContent, in_order, is_wide
from compute_executor.sweeps.pictures.scale import Scale

MARKED_POINTS = 60
"""Points of a line up to which each is marked."""
CONTOURED = 8
"""Cells along each side from which on contours help."""
Outer = tuple[bool, bool]


def line(axes: Any, content: PictureContent, whole: PictureContent, outer: Outer) -> Any:
    """Return the column over one parameter: the mean, and where there are repeats the standard deviation around
    it."""
    across = Scale([row.get(content.across()) for row in whole.rows], logarithmic=content.log_x)
    groups = _groups(content, whole)
    for label, colour, rows in groups:
        _one_line(axes, across, content, rows, label=label, colour=colour)
    axes.grid(alpha=0.25)
    across.apply(axes.xaxis, axes.set_xscale)
    values = [value for value in whole.numbers() if value != 0]
    if content.log_y or (is_wide(values, 1000.0) and len(values) == len(whole.numbers())):
        axes.set_yscale("log")
    _labels(axes, content, content.column, outer)
    if content.best is not None:
        _mark(
            axes, across.place(content.best.get(content.across())), number(content.best.get(content.column))
        )
    return None


def _one_line(
    axes: Any, across: Scale, content: PictureContent, rows: Sequence[Any], *, label: str | None, colour: Any
) -> None:
    gathered: dict[float, list[float]] = defaultdict(list)
    for row in rows:
        value = number(row.get(content.column))
        if not math.isnan(value):
            gathered[across.place(row.get(content.across()))].append(value)
    places = sorted(gathered)
    means = [statistics.fmean(gathered[place]) for place in places]
    most = max((len(values) for values in gathered.values()), default=0)
    spread = [statistics.stdev(gathered[place]) if len(gathered[place]) > 1 else 0.0 for place in places]
    if across.words:
        axes.errorbar(
            places, means, yerr=spread if most > 1 else None, fmt="o", capsize=4, label=label, color=colour
        )
        return
    style = "-o" if len(places) <= MARKED_POINTS else "-"
    (drawn,) = axes.plot(places, means, style, markersize=3.5, label=label, color=colour, linewidth=1.6)
    if most > 1:
        low = [mean - width for mean, width in zip(means, spread, strict=True)]
        high = [mean + width for mean, width in zip(means, spread, strict=True)]
        axes.fill_between(places, low, high, alpha=0.22, color=drawn.get_color(), linewidth=0)
        note = f"mean ± standard deviation of up to {most} rows"
        axes.annotate(
            note, (0.99, 0.01), xycoords="axes fraction", ha="right", va="bottom", fontsize=7.5, color="0.4"
        )


def _groups(content: PictureContent, whole: PictureContent) -> list[tuple[str | None, Any, Sequence[Any]]]:
    """``(label, colour, rows)`` of each line."""
    name = content.colour
    if name is None:
        return [(None, None, content.rows)]
    values = in_order(row.get(name) for row in whole.rows)
    colours = _colours(values)
    return [
        (f"{short(value)}", colour, [row for row in content.rows if repr(row.get(name)) == repr(value)])
        for value, colour in zip(values, colours, strict=True)
    ]


def _colours(values: Sequence[Any]) -> list[Any]:
    """Return numbers get colours in their order, words get different ones."""
    import matplotlib as mpl  # half a second, and only pictures need it

    if any(math.isnan(number(value)) for value in values):
        return [f"C{place % 10}" for place in range(len(values))]
    ramp = mpl.colormaps["viridis"]
    return [ramp(0.92 * place / max(1, len(values) - 1)) for place in range(len(values))]


def map(axes: Any, content: PictureContent, whole: PictureContent, outer: Outer) -> Any:
    """Return the column as colours of cells over two parameters, with contours."""
    across = Scale([row.get(content.x or "") for row in whole.rows], logarithmic=content.log_x)
    up = Scale([row.get(content.y or "") for row in whole.rows], logarithmic=content.log_y)
    cells = _cells(across, up, content)
    axes.set_facecolor("0.85")  # where there is no number
    drawn = axes.pcolormesh(across.edges(), up.edges(), cells, norm=_norm(whole), rasterized=True)
    across.apply(axes.xaxis, axes.set_xscale)
    up.apply(axes.yaxis, axes.set_yscale)
    if min(len(across.steps), len(up.steps)) >= CONTOURED and not (across.words or up.words):
        _contours(axes, (across, up), cells, content, whole)
    _labels(axes, content, content.y or "", outer)
    if content.best is not None:
        place = across.place(content.best.get(content.x or "")), up.place(content.best.get(content.y or ""))
        _mark(axes, *place)
    return drawn


def _cells(across: Scale, up: Scale, content: PictureContent) -> list[list[float]]:
    """Return the mean of the rows of each cell; NaN where there is none."""
    gathered: dict[tuple[float, float], list[float]] = defaultdict(list)
    for row in content.rows:
        value = number(row.get(content.column))
        if not math.isnan(value):
            gathered[up.place(row.get(content.y or "")), across.place(row.get(content.x or ""))].append(value)
    return [
        [statistics.fmean(gathered[y, x]) if (y, x) in gathered else math.nan for x in across.steps]
        for y in up.steps
    ]


def _contours(
    axes: Any, scales: tuple[Scale, Scale], cells: Any, content: PictureContent, whole: PictureContent
) -> None:
    steps = scales[0].steps, scales[1].steps
    values = whole.numbers()
    if not values or min(values) == max(values):
        return
    chosen = [_level(text, values) for text in content.contours]
    if chosen:
        axes.contour(*steps, cells, levels=sorted(set(chosen)), colors="white", linewidths=1.6)
        return
    from matplotlib.ticker import LogLocator, MaxNLocator  # half a second, and only pictures need it

    locator: Any = LogLocator() if is_wide(values) else MaxNLocator(7)
    lines = axes.contour(*steps, cells, locator=locator, colors="white", linewidths=0.7, alpha=0.75)
    axes.clabel(lines, fontsize=7, fmt=lambda level: f"{level:.3g}")


def _level(text: str, values: Sequence[float]) -> float:
    """``12.5``, or ``1.65x``: so many times the least value."""
    try:
        return float(text[:-1]) * min(values) if text.endswith("x") else float(text)
    except ValueError:
        raise InvalidRequest(
            f"--contour {text}: write a number, or 1.5x for so many times the least"
        ) from None


def points(axes: Any, content: PictureContent, whole: PictureContent, outer: Outer) -> Any:
    """Return the column as colours of points over two parameters, or over one parameter as they are."""
    if content.y is None:
        scatter_over(axes, content, content.across(), outer=outer[0])
        return None
    across = Scale([row.get(content.x or "") for row in whole.rows], logarithmic=content.log_x)
    up = Scale([row.get(content.y or "") for row in whole.rows], logarithmic=content.log_y)
    rows = [row for row in content.rows if not math.isnan(number(row.get(content.column)))]
    drawn = axes.scatter(
        [across.place(row.get(content.x or "")) for row in rows],
        [up.place(row.get(content.y or "")) for row in rows],
        c=[number(row.get(content.column)) for row in rows],
        norm=_norm(whole),
        s=_dot(len(rows)),
    )
    across.apply(axes.xaxis, axes.set_xscale)
    up.apply(axes.yaxis, axes.set_yscale)
    _labels(axes, content, content.y, outer)
    if content.best is not None:
        place = across.place(content.best.get(content.x or "")), up.place(content.best.get(content.y))
        _mark(axes, *place)
    return drawn


def scatter_over(axes: Any, content: PictureContent, name: str, *, outer: bool) -> None:
    """Draw the column over one of several parameters, a dot a row."""
    across = Scale([row.get(name) for row in content.rows], logarithmic=content.log_x and name == content.x)
    for label, colour, rows in _groups(content, content):
        places = [across.place(row.get(name)) for row in rows]
        heights = [number(row.get(content.column)) for row in rows]
        axes.scatter(
            places,
            heights,
            s=_dot(len(content.rows)),
            alpha=0.7,
            linewidths=0,
            color=colour or "C0",
            label=label,
        )
    across.apply(axes.xaxis, axes.set_xscale)
    axes.grid(alpha=0.25)
    axes.set_xlabel(content.label(name))
    if content.log_y:
        axes.set_yscale("log")
    if outer:
        axes.set_ylabel(content.label(content.column))
    if content.best is not None:
        _mark(axes, across.place(content.best.get(name)), number(content.best.get(content.column)))


def parallel(axes: Any, content: PictureContent, whole: PictureContent, outer: Outer) -> Any:  # noqa: ARG001 - as the others
    """Return a line a row through an axis for each parameter; the colour is the column, the least are drawn last."""
    from matplotlib.collections import LineCollection  # half a second, and only pictures need it

    names = [*content.varying, content.column]
    scales = [Scale([row.get(name) for row in whole.rows]) for name in names]
    rows = [row for row in content.rows if not math.isnan(number(row.get(content.column)))]
    rows = sorted(rows, key=lambda row: -number(row.get(content.column)))
    lines = [
        [
            (place, _part(scale, row.get(name)))
            for place, (name, scale) in enumerate(zip(names, scales, strict=True))
        ]
        for row in rows
    ]
    drawn = LineCollection(lines, norm=_norm(whole), linewidths=0.9, alpha=0.6)
    drawn.set_array([number(row.get(content.column)) for row in rows])
    axes.add_collection(drawn)
    axes.set_xlim(-0.2, len(names) - 0.8)
    axes.set_ylim(-0.06, 1.06)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xticks(range(len(names)), [content.label(name) for name in names])
    for place, (name, scale) in enumerate(zip(names, scales, strict=True)):
        axes.axvline(place, color="0.3", linewidth=0.8)
        values = in_order(row.get(name) for row in whole.rows)
        for value, height in ((values[0], -0.01), (values[-1], 1.01)):
            axes.annotate(
                short(value), (place, height), ha="center", va="top" if height < 0 else "bottom", fontsize=7.5
            )
        _ = scale
    return drawn


def _part(scale: Scale, value: Any) -> float:
    low, high = scale.steps[0], scale.steps[-1]
    if low == high:
        return 0.5
    if scale.logarithmic:
        return math.log(scale.place(value) / low) / math.log(high / low)
    return (scale.place(value) - low) / (high - low)


def key(figure: Any, axes: Sequence[Any], drawn: Sequence[Any], content: PictureContent) -> None:
    """Draw the legend of the lines, or one colour bar for all pictures."""
    coloured = [one for one in drawn if one is not None]
    if coloured:
        figure.colorbar(coloured[0], ax=list(axes), label=content.label(content.column))
        return
    if content.colour is None:
        return
    title = content.label(content.colour)
    values = in_order(row.get(content.colour) for row in content.rows)
    if len(values) <= MOST_COLOURS or any(math.isnan(number(value)) for value in values):
        axes[-1].legend(title=title, fontsize=8, title_fontsize=8, frameon=False)
        return
    from matplotlib.cm import ScalarMappable  # half a second, and only pictures need it
    from matplotlib.colors import Normalize

    norm = Normalize(number(values[0]), number(values[-1]))
    figure.colorbar(ScalarMappable(norm, "viridis"), ax=list(axes), label=title)


def _labels(axes: Any, content: PictureContent, up: str, outer: Outer) -> None:
    if outer[1]:
        axes.set_xlabel(content.label(content.across()))
    if outer[0]:
        axes.set_ylabel(content.label(up))


def _norm(content: PictureContent) -> Any:
    from matplotlib.colors import LogNorm, Normalize  # half a second, and only pictures need it

    values = content.numbers() or [0.0]  # all of them may be infinite
    kind = LogNorm if is_wide(values) else Normalize
    return kind(min(values), max(values))


def _dot(count: int) -> float:
    """Return the area of a dot: smaller where there are many."""
    return max(3.0, min(28.0, 4000 / max(1, count)))


def _mark(axes: Any, x: float, y: float) -> None:
    axes.plot([x], [y], "*", markersize=14, color="white", markeredgecolor="black", clip_on=False, zorder=5)
