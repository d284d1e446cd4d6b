"""``compute-executor sweep FILE.py:FUNCTION``: a function over all its parameters, into a table and a picture.

Everything that can be checked is checked before the first call. Then rows go into the table as they end
(:mod:`.running`, :mod:`.table`); at the end the table is put in order, and the picture drawn from it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click

from compute_executor.cli import plot, target
from compute_executor.cli.grid import parse_axis
from compute_executor.cli.params import ParamTable
from compute_executor.cli.plan import Plan
from compute_executor.cli.progress import Tally, duration, shown
from compute_executor.cli.resume import Book, reopen
from compute_executor.cli.running import Ended, Run
from compute_executor.cli.summary import Best, Record, numeric_column, one_line
from compute_executor.cli.table import ResultsTable, as_result, rows
from compute_executor.cli.wrong_input import WrongInput, reason
from compute_executor.errors import (
    ComputeError,
    NotAuthorized,
    PoolBroken,
    ServiceUnavailable,
    VersionMismatch,
)

ALL_ROWS = (ServiceUnavailable, NotAuthorized, VersionMismatch, PoolBroken)
"""Errors that say nothing about the row they came with: the sweep ends, and can be resumed."""

OpenExecutor = Callable[["Request"], Executor]
"""Makes the executor of a sweep; another one can be given as the object of the click context."""


@dataclass(frozen=True)
class Request:
    """The command line, as click has read it."""

    function: str
    grids: tuple[str, ...]
    params: Path | None
    out: Path
    plot: Path | None
    plot_column: str | None
    minimize: str | None
    maximize: str | None
    resume: bool
    max_workers: int | None
    endpoint: str | None

    def check(self) -> None:
        """Raises WrongInput for what the options say together."""
        if self.minimize and self.maximize:
            raise WrongInput("--minimize and --maximize exclude each other")
        if self.endpoint is None:
            return
        if self.max_workers is not None:
            raise WrongInput(
                "--max-workers is for this machine; the workers of an --endpoint are set up there"
            )
        try:
            uuid.UUID(self.endpoint)
        except ValueError:
            raise WrongInput(f"--endpoint {self.endpoint} is not a UUID") from None

    def best(self) -> Best | None:
        """The row asked for by --minimize or --maximize."""
        column = self.minimize or self.maximize
        return Best(column, greatest=column == self.maximize) if column else None


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
    help="1,2,5 or 0:1:50 (start:stop:count, ends included). Repeat it for more parameters: every combination is "
    "run.",
)
@click.option(
    "--params",
    type=_PATH,
    metavar="TABLE.csv",
    help="A call per row, a parameter per column. With --grid, every row is run for every point of the grid.",
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
@click.option("--max-workers", type=click.IntRange(min=1), help="Processes to use; else one per CPU.")
@click.option("--endpoint", metavar="UUID", help="Run there instead of on this machine.")
@click.pass_context
def sweep(ctx: click.Context, /, **options: Any) -> None:
    """Call FUNCTION for every combination of its parameters and collect what it returns.

    A call that raises keeps its error text in the table, and the exit code is 1. Ctrl-C keeps what is done.
    Values are ints, floats or strings, as written; one type per parameter.
    """
    _Sweep(Request(**options), ctx.meta["again"], ctx.obj or open_executor).run()


def open_executor(request: Request) -> Executor:
    """The executor that the command line asks for."""
    from compute_executor.executor import (
        Executor as ComputeExecutor,
    )  # what --help and wrong inputs need not load

    return ComputeExecutor(
        request.endpoint, max_workers=request.max_workers, label=f"sweep {request.function}"
    )


class _Sweep:
    """One run of the command: checked when made, then :meth:`run`."""

    def __init__(self, request: Request, again: list[str], open_executor: OpenExecutor) -> None:
        self._request, self._again, self._open_executor = request, again, open_executor
        request.check()
        self._best = request.best()
        table = ParamTable(request.params) if request.params else None
        self._plan = Plan(table, [parse_axis(grid) for grid in request.grids])
        if request.plot:
            plot.check(request.plot, self._plan.varying())
        self._function = target.load(request.function, elsewhere=request.endpoint is not None)
        target.check_parameters(self._function, self._plan.names)
        self._table, self._book = self._open_table()
        self._tally = Tally(self._plan.count)
        self._first_failure = ""

    def run(self) -> None:
        """Run the rows, write the table, report. An exit code other than 0 is raised."""
        started = time.monotonic()
        try:
            signals = self._execute()
            self._table.close()
            if signals:
                click.echo(self._unfinished("interrupted"), err=True)
                raise click.exceptions.Exit(128 + signals[0])
            self._table.arrange(self._book.order())
        except ComputeError as error:  # before OSError: some are both
            raise click.ClickException(self._unfinished(one_line(str(error), limit=1000))) from error
        except OSError as error:
            raise click.ClickException(self._unfinished(f"{self._request.out}: {reason(error)}")) from error
        self._report(time.monotonic() - started)
        if self._tally.failed:
            raise click.exceptions.Exit(1)

    def _open_table(self) -> tuple[ResultsTable, Book]:
        out, names = self._request.out, self._plan.names
        others = set(target.signature(self._function) or ()).difference(names)
        try:
            if out.exists() and not out.is_file():
                raise WrongInput(f"cannot write {out}: it is not a file")
            if self._request.params and out.exists() and out.samefile(self._request.params):
                raise WrongInput(f"--out and --params are the same file, {out}")
            if self._request.resume and out.exists():
                return reopen(out, names, others)
            _keep_earlier(out)
            return ResultsTable(out, names, others), Book()
        except OSError as error:
            raise WrongInput(f"cannot write {out}: {reason(error)}") from error

    # -- while it runs

    def _execute(self) -> list[int]:
        """Run every row that has no result; the signals that ended this early."""
        executor = self._open_executor(self._request)
        run = Run(executor, self._function, self._book.to_run(self._plan.rows()))
        with _first_signal(run.interrupt) as signals:
            try:
                self._show(run)
            finally:
                executor.shutdown(wait=False, cancel_futures=True)
        return signals

    def _show(self, run: Run) -> None:
        with shown(self._tally, sys.stderr) as changed:
            for ended in run.outcomes():
                self._enter(ended)
                changed()
            self._tally.skipped = self._book.skipped
            changed()

    def _enter(self, ended: list[Ended]) -> None:
        for place, row, future in ended:
            result, error = _outcome(future)
            self._book.enter(place, self._table.add(row, result, error))
            self._first_failure = self._first_failure or error
            self._tally.failed += bool(error)
        self._tally.ended += len(ended)
        self._tally.skipped = self._book.skipped
        self._table.flush()

    # -- what it says

    def _unfinished(self, why: str) -> str:
        self._table.abandon()
        done = self._tally.ended - self._tally.failed + self._tally.skipped
        again = self._again if self._request.resume else [*self._again, "--resume"]
        return (
            f"{why}. {done:,} of {self._plan.count:,} rows are in {self._request.out}. "
            f"The others will run with:\n  {shlex.join(again)}"
        )

    def _report(self, seconds: float) -> None:
        tally, out = self._tally, self._request.out
        before = f" ({tally.skipped:,} were there before)" if tally.skipped else ""
        click.echo(
            f"{self._plan.count:,} rows{before} in {duration(seconds)}, {tally.failed:,} failed: {out}"
        )
        if tally.failed:
            click.echo(f"first failure: {one_line(self._first_failure)}")
        if foreign := len(self._book.foreign()):
            click.echo(
                f"{foreign:,} earlier rows are not part of this sweep; they are kept at the end of {out}"
            )
        best = self._best_row()
        if best and self._best:
            click.echo(self._best.sentence(best, self._plan.names))
        if self._request.plot:
            self._draw(self._request.plot, best)

    def _rows(self) -> Iterator[Record]:
        return rows(self._request.out, self._plan.count)

    def _best_row(self) -> Record | None:
        if self._best is None:
            return None
        numeric_column(self._table.results(), self._best.column, self._rows())
        return self._best.of(self._rows())

    def _draw(self, path: Path, best: Record | None) -> None:
        table = list(self._rows())
        sought = self._best.column if self._best else None
        column = numeric_column(self._table.results(), self._request.plot_column or sought, table)
        title = self._best.sentence(best, self._plan.names) if best and self._best else ""
        try:
            plot.draw(path, plot.Picture(self._plan.varying(), column, table, best, title))
        except OSError as error:
            raise click.ClickException(f"cannot write {path}: {reason(error)}") from error
        click.echo(f"picture: {path}")


def _keep_earlier(out: Path) -> None:
    """A table that took hours is not lost to a repeated command."""
    if out.exists() and out.stat().st_size:
        kept = out.with_name(f"{out.name}.old")
        out.replace(kept)
        click.echo(f"the {out} that was there is now {kept}", err=True)


def _outcome(future: Future[Any]) -> tuple[Mapping[Any, Any], str]:
    """``(columns of the result, error text)``; one of them is empty. Raises what would meet every other row too."""
    if future.cancelled():
        return {}, "cancelled"
    error = future.exception()
    if error is None:
        return as_result(future.result()), ""
    if isinstance(error, ALL_ROWS):
        raise error
    return {}, f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _first_signal(interrupt: Callable[[], None]) -> Iterator[list[int]]:
    """The first Ctrl-C or SIGTERM calls ``interrupt`` and is noted in what is given; a second ends the process."""
    signals: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        if signals:
            os._exit(128 + number)
        signals.append(number)
        interrupt()

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
