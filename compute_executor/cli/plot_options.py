"""Options of pictures, which `sweep` and `plot` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from compute_executor.errors import InvalidRequest

_OPTIONS = (
    click.option("--x", metavar="NAME", help="Parameter along the picture; else the first that varies."),
    click.option(
        "--y", metavar="NAME", help="Second parameter of a heat map, or the result that a line shows."
    ),
    click.option(
        "--plot-column",
        "--column",
        metavar="COLUMN",
        help="The result to draw; else the one sought, or the first.",
    ),
    click.option(
        "--colour", "--color", metavar="NAME", help="A line, or a colour of points, for each value of it."
    ),
    click.option("--facet", metavar="NAME", help="A picture of its own for each value of it."),
    click.option("--log-x", is_flag=True, help="A logarithmic axis."),
    click.option("--log-y", is_flag=True, help="The same for the other."),
    click.option(
        "--contour",
        "contours",
        multiple=True,
        metavar="LEVEL",
        help="Draw this line on a heat map; 1.5x is so many times the least value.",
    ),
    click.option(
        "--unit", "units", multiple=True, metavar="NAME=UNIT", help="For labels: beta='1/day'. Repeatable."
    ),
)


def plot_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add them."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def parse_units(texts: tuple[str, ...]) -> dict[str, str]:
    """Units by column. Raises InvalidRequest."""
    units: dict[str, str] = {}
    for text in texts:
        name, equals, unit = text.partition("=")
        if not equals or not name.strip() or not unit.strip():
            raise InvalidRequest(f"--unit {text}: write NAME=UNIT, for example beta='1/day'")
        if units.setdefault(name.strip(), unit.strip()) != unit.strip():
            raise InvalidRequest(
                f"--unit {text}: {name.strip()} has the unit {units[name.strip()]!r} already"
            )
    return units
