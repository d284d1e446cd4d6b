"""``compute-executor sweep``: a function or a program over a design of its parameters, into a table and a picture."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import click

from compute_executor import thread_limits
from compute_executor.cli.plot_options import plot_options
from compute_executor.cli.sweep_request import SweepRequest
from compute_executor.cli.wrong_input import wrong_input
from compute_executor.sweeps import interpreters
from compute_executor.sweeps.standard_output import is_stdout


class _Command(click.Command):
    """Remembers its arguments as they were given, to be able to say how to resume; what is behind ``--`` is a program
    and its arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["again"] = [*ctx.command_path.split(), *args]
        at = args.index("--") if "--" in args else len(args)
        ctx.meta["arguments"], ctx.meta["program"] = args[:at], args[at + 1 :]
        left = super().parse_args(ctx, args[:at])
        ctx.params["program"] = tuple(ctx.meta["program"])
        return left


_PATH = click.Path(path_type=Path)
_POSITIVE = click.IntRange(min=1)


@click.command(cls=_Command, options_metavar="[OPTIONS]", epilog="A program goes behind --: -- ./sim --n {n}")
@click.argument("function", metavar="[FILE.py:FUNCTION]", required=False)
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
    "parquet, xlsx; - is the standard input. An empty cell is the default; columns that are no parameters go into "
    "the results. With --grid, every row is run for every point of the grid.",
)
@click.option(
    "--sample", type=_POSITIVE, metavar="N", help="Draw N points between the bounds of each --range."
)
@click.option(
    "--method",
    metavar="METHOD",
    help="Of --sample: lhs (the default), sobol, halton or random. Of a search for the least or greatest: evolution "
    "(the default, differential evolution) or nevergrad (CMA-ES).",
)
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="NAME=LOW:HIGH",
    help="The bounds of a parameter, for --sample and searches; NAME=LOW:HIGH:log spreads its logarithm.",
)
@click.option(
    "--where", multiple=True, metavar="CONDITION", help="Only points for which it is true: 'a < b'."
)
@click.option("--repeat", type=_POSITIVE, metavar="N", help="Run each point N times.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="S",
    help="Give each row a seed of its own, in a column: children of numpy's SeedSequence(S). Also for --sample.",
)
@click.option(
    "--out",
    type=_PATH,
    default=Path("results.csv"),
    show_default=True,
    help="The table, by its ending: csv, tsv, jsonl, parquet, xlsx, nc, pickle; - is the standard output. A column "
    "per parameter, a column per key of the result (or one called result), and error. Its book is beside it.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Keep the rows that have a result, wait for those that still run, run the rest.",
)
@click.option("--retry-failed", is_flag=True, help="Run the rows that failed again, and no others.")
@click.option("--overwrite", is_flag=True, help="Replace the table that is there.")
@click.option(
    "--minimize", metavar="COLUMN", help="Print, and mark in the picture, the row with the least COLUMN."
)
@click.option("--maximize", metavar="COLUMN", help="The same with the greatest.")
@click.option(
    "--adaptive", metavar="COLUMN", help="Try points where COLUMN changes most, over one or two --range."
)
@click.option(
    "--evaluations",
    type=_POSITIVE,
    metavar="N",
    help="Search with at most N calls, for --minimize, --maximize or --adaptive.",
)
@click.option(
    "--collect",
    multiple=True,
    metavar="NAME=PATTERN",
    help="Of a program: a column from its output, 'energy=([0-9.e+-]+)', or from a csv that it writes, out.csv. A "
    "JSON object on its last line becomes columns by itself.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Stop a call after that long.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Run a row that failed again, N times at most.",
)
@click.option(
    "--max-failures",
    type=click.IntRange(min=0),
    metavar="N",
    help="End when more rows have failed. Without it, end if the first 20 all fail alike.",
)
@click.option(
    "--errors",
    type=_PATH,
    metavar="FILE",
    help="Write each failure with its traceback and output (.jsonl: as JSON).",
)
@click.option(
    "--debug", type=_POSITIVE, metavar="ROW", help="Run that row here, under pdb, and nothing else."
)
@click.option("--plot", type=_PATH, metavar="PICTURE", help="Draw the results: svg, pdf, png.")
@plot_options
@click.option("--max-workers", "--workers", type=_POSITIVE, help="Processes to use; else one per CPU.")
@click.option(
    "--threads-per-worker",
    "threads",
    type=_POSITIVE,
    help="Threads of BLAS and OpenMP in each; else so many that there are no more than CPUs.",
)
@click.option(
    "--python", metavar="PATH", help="Interpreter or environment for the function; else the active one."
)
@click.option(
    "--endpoint", metavar="NAME", help="Run there instead of on this machine: an endpoint's UUID or name."
)
@click.option("--profile", help="A service of the configuration file.")
@click.option("--url", help="The address of a service; its token is in COMPUTE_EXECUTOR_TOKEN.")
@click.pass_context
def sweep(ctx: click.Context, /, **options: Any) -> None:
    """Call FILE.py:FUNCTION (or package.module:function, a script.py, a notebook.ipynb, a program behind --) for
    every combination of its parameters and collect what it returns.

    A call that raises keeps its error text in the table, and the exit code is 1. Ctrl-C keeps what is done.
    Values have the type of the parameter's annotation (bool, int, float, str, Literal, Enum, Path, date ...); without
    one they are null, true or false, ints, floats or strings, as written; one type per parameter.
    """
    request = SweepRequest(**options)
    with wrong_input():
        request.check()
        _in_other_python(request, ctx)
    from compute_executor.cli.sweeping import SweepCommand  # what --help need not load

    SweepCommand(request, ctx.meta["again"]).run(ctx.obj or open_executor)


def open_executor(request: SweepRequest) -> Executor:
    """Return the executor that the command line asks for; tests give another one as the object of the click
    context."""
    from compute_executor import executor  # what --help and wrong inputs need not load
    from compute_executor.surroundings import usable_cpus

    label = f"sweep {request.function or request.program[0]}"
    if request.endpoint is None:
        cpus = usable_cpus()
        thread_limits.limit_threads(os.environ, cpus, request.max_workers or cpus, request.threads)
    client = _client(request)
    output: Any = "log" if is_stdout(request.out) else "program"  # what rows print is no part of the table
    return executor.Executor(
        request.endpoint,
        client,
        max_workers=request.max_workers,
        label=label,
        output=output,
        profile=request.profile,
    )


def _client(request: SweepRequest) -> Any:
    """Return a Client of the service at an address; None: that of the profile, or of this machine."""
    if request.url is None:
        return None
    from compute_executor.local import config
    from compute_executor.sdk.client import Client

    return Client(base_url=request.url, token=config.Profile(request.url).token())


def _in_other_python(request: SweepRequest, ctx: click.Context) -> None:
    """Become this command under the Python that shall run the function, if that is another one."""
    if ctx.obj is not None or request.program or request.endpoint:
        return
    python = interpreters.other_python(request.python, os.environ)
    if python is None:
        return
    command = interpreters.command_with(python, ctx.meta["again"][1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(python, command)
