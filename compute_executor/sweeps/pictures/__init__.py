"""Pictures of a results table, by matplotlib, the extra ``plot``.

    one parameter that varies       a line, with the spread over repeats; points for words
    two                             a heat map with contours; points where they are strewn about
    three on a grid                 a heat map for each value of the third
    samples of three or more        the result over each parameter
    more                            parallel coordinates

``colour`` and ``facet`` choose otherwise: a line, or colour, or a picture of its own for each value of a parameter.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.best import Record, numeric_column, short
from compute_executor.sweeps.columns import ERROR
from compute_executor.sweeps.destination import check_folder, replaced_path
from compute_executor.sweeps.pictures.content import PictureContent

shown = short


def check(path: Path, varying: Sequence[str], *chosen: str | None) -> None:
    """Raise InvalidRequest if a picture at ``path`` cannot be drawn: told before a sweep rather than after it."""
    if importlib.util.find_spec("matplotlib") is None:
        raise InvalidRequest("--plot needs matplotlib: pip install 'compute-executor[plot]'")
    if not varying and not any(chosen):
        raise InvalidRequest("--plot draws over the parameters that vary, and none of this sweep does")
    from matplotlib.backend_bases import FigureCanvasBase  # half a second, and only pictures need it

    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in known:
        raise InvalidRequest(f"--plot {path}: the name must end in one of .{', .'.join(sorted(known))}")
    check_folder(path)


def draw_records(
    path: Path,
    table: Sequence[Record],
    parameters: Sequence[str],
    results: Sequence[str] | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    column: str | None = None,
    colour: str | None = None,
    facet: str | None = None,
    log_x: bool = False,
    log_y: bool = False,
    contours: Sequence[str] = (),
    units: Mapping[str, str] | None = None,
    title: str = "",
    best: Record | None = None,
) -> None:
    """Draw ``table`` over the ``parameters`` that vary into ``path``. Raises InvalidRequest for what cannot be
    drawn, OSError."""
    check(path, parameters, x, y)
    columns = list(dict.fromkeys(name for row in table for name in row if name != ERROR))
    rows = [row for row in table if not row.get(ERROR)]
    _check_columns(columns, x=x, y=y, colour=colour, facet=facet, column=column)
    values = list(results) if results is not None else [name for name in columns if name not in parameters]
    if y is not None and y not in parameters and column is None:
        y, column = None, y
    chosen = [name for name in (x, y, colour, facet) if name]
    candidates = [name for name in values if name not in chosen] or values
    content = PictureContent(
        rows=rows,
        column=numeric_column(candidates if column is None else columns, column, rows),
        varying=list(dict.fromkeys([*([x] if x else []), *([y] if y else []), *parameters])),
        x=x,
        y=y,
        colour=colour,
        facet=facet,
        log_x=log_x,
        log_y=log_y,
        contours=tuple(contours),
        units=dict(units or {}),
        title=title,
        best=best,
    )
    _save(path, content)


def _check_columns(columns: Sequence[str], **chosen: str | None) -> None:
    for option, name in chosen.items():
        if name is not None and name not in columns:
            raise InvalidRequest(
                f"--{option.replace('_', '-')}: no column is called {name!r}; there is {', '.join(columns)}"
                if option != "column"
                else f"no result is called {name!r}; the results are: {', '.join(columns)}"
            )


def _save(path: Path, content: PictureContent) -> None:
    from compute_executor.sweeps.pictures.layout import (  # half a second, and only pictures need it
        figure_of,
        styled,
    )

    with styled(), replaced_path(path) as new:
        figure: Any = figure_of(content)
        figure.savefig(new, format=path.suffix.lower().lstrip("."), dpi=160, metadata=_undated(path))


def _undated(path: Path) -> dict[str, Any] | None:
    """Keep the time out of a picture: the same table gives the same file."""
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    return dates.get(path.suffix.lower())
