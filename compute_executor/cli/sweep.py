"""``compute-executor sweep FILE.py:FUNCTION``: a function over all its parameters, into a table and a picture."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import click

from compute_executor.cli.request import SweepRequest
from compute_executor.cli.sweeping import Sweep


class _Command(click.Command):
    """Remembers its arguments as they were given, to be able to say how to resume."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["again"] = [*ctx.command_path.split(), *args]
        return super().parse_args(ctx, args)


_PATH = click.Path(path_type=Path)


@click.command(cls=_Command)
@click.argument("function", metavar="FILE.py:FUNCTION")
@click.option(
    "--grid",
    "grids",
    multiple=True,
    metavar="NAME=VALUES",
    help="1,2,5 or 0:1:50 (start:stop:count, ends included), 1:1000:4:log, 1..10, 0..1..0.1 (with a step), or files "
    "data/*.csv. Repeat it for more parameters: every combination is run.",
)
@click.option(
    "--set",
    "constants",
    multiple=True,
    metavar="NAME=VALUE",
    help="One value, for all rows; may hold commas.",
)
@click.option(
    "--params",
    type=_PATH,
    metavar="TABLE",
    help="A call per row, a parameter per column: csv (commas, semicolons or tabs), json, jsonl, yaml, toml, "
    "parquet. An empty cell is the default; columns that are no parameters go into the results. With --grid, every "
    "row is run for every point of the grid.",
)
@click.option(
    "--out",
    type=_PATH,
    default=Path("results.csv"),
    show_default=True,
    help="The table: a column per parameter, a column per key of the result (or one called result), and error.",
)
@click.option(
    "--plot", type=_PATH, metavar="PICTURE", help="A line for one swept parameter, a heat map for two."
)
@click.option(
    "--plot-column", metavar="COLUMN", help="The result to draw; else the one sought, or the first."
)
@click.option(
    "--minimize", metavar="COLUMN", help="Print, and mark in the picture, the row with the least COLUMN."
)
@click.option("--maximize", metavar="COLUMN", help="The same with the greatest.")
@click.option("--resume", is_flag=True, help="Run only the rows that have no result in the table yet.")
@click.option("--overwrite", is_flag=True, help="Replace the table that is there.")
@click.option("--max-workers", type=click.IntRange(min=1), help="Processes to use; else one per CPU.")
@click.option("--endpoint", metavar="UUID", help="Run there instead of on this machine.")
@click.pass_context
def sweep(ctx: click.Context, /, **options: Any) -> None:
    """Call FUNCTION for every combination of its parameters and collect what it returns.

    A call that raises keeps its error text in the table, and the exit code is 1. Ctrl-C keeps what is done.
    Values have the type of the parameter's annotation (bool, int, float, str, Literal, Enum, Path, date ...); without
    one they are null, true or false, ints, floats or strings, as written; one type per parameter.
    """
    Sweep(SweepRequest(**options), ctx.meta["again"]).run(ctx.obj or open_executor)


def open_executor(request: SweepRequest) -> Executor:
    """The executor that the command line asks for; tests give another one as the object of the click context."""
    from compute_executor import executor  # what --help and wrong inputs need not load

    label = f"sweep {request.function}"
    return executor.Executor(request.endpoint, max_workers=request.max_workers, label=label)
