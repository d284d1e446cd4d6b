"""One sweep, from its request to its report.

Everything that can be checked is checked before the first call. Then rows go into the table as they end
(:mod:`.running`, :mod:`.table`); at the end the table is put in order, and the picture drawn from it.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import click

from compute_executor.cli import plot, target
from compute_executor.cli.annotations import Parameters
from compute_executor.cli.destination import destination
from compute_executor.cli.grid import parse_axis, parse_constant
from compute_executor.cli.params import ParamTable
from compute_executor.cli.plan import Plan, Row
from compute_executor.cli.progress import Tally, shown
from compute_executor.cli.report import SweepEnding, report
from compute_executor.cli.request import SweepRequest
from compute_executor.cli.resume import ResumedRows, reopen
from compute_executor.cli.running import CallEnded, SweepRun
from compute_executor.cli.signals import first_signal
from compute_executor.cli.summary import one_line
from compute_executor.cli.table import ResultsTable, as_result
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


class Sweep:
    """Checked when it is made: raises WrongInput. ``again``: the command, to be able to say how to resume."""

    def __init__(self, request: SweepRequest, again: list[str]) -> None:
        self._request, self._again = request, again
        request.check()
        self._function = target.load(request.function, elsewhere=request.endpoint is not None)
        self._plan = _plan(request, self._function)
        if request.plot:
            plot.check(request.plot, self._plan.varying())
        target.check_parameters(self._function, [n for n in self._plan.names if n not in self._plan.carried])
        self._table, self._book = self._open_table()
        self._tally = Tally(self._plan.count)
        self._first_failure = ""

    def run(self, open_executor: Callable[[SweepRequest], Executor]) -> None:
        """Run the rows, write the table, report. An exit code other than 0 is raised."""
        started = time.monotonic()
        try:
            signals = self._execute(open_executor(self._request))
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

    def _open_table(self) -> tuple[ResultsTable, ResumedRows]:
        out, names = destination(self._request.out), self._plan.names
        others = set(target.signature(self._function) or ()).difference(names)
        try:
            if self._request.params and out.exists() and out.samefile(self._request.params):
                raise WrongInput(f"--out and --params are the same file, {out}")
            if self._request.resume and out.exists():
                return reopen(out, names, others)
            if out.exists() and out.stat().st_size and not self._request.overwrite:
                raise WrongInput(
                    f"{out} is there already: add --resume to go on with it, --overwrite to replace it, "
                    "or give another --out"
                )
            return ResultsTable(out, names, others), ResumedRows()
        except OSError as error:
            raise WrongInput(f"cannot write {out}: {reason(error)}") from error

    def _execute(self, executor: Executor) -> list[int]:
        """Run every row that has no result; the signals that ended this early."""
        run = SweepRun(executor, self._function, self._book.to_run(self._plan.rows()), call=self._plan.call)
        with first_signal(run.interrupt) as signals:
            try:
                self._follow(run)
            finally:
                executor.shutdown(wait=False, cancel_futures=True)
        return signals

    def _follow(self, run: SweepRun) -> None:
        with shown(self._tally, sys.stderr) as changed:
            for ended in run.outcomes():
                self._enter(ended)
                changed()
            self._tally.skipped = self._book.skipped
            changed()

    def _enter(self, ended: list[CallEnded]) -> None:
        for place, row, future in ended:
            cells, error = self._cells(row, *_outcome(future))
            self._book.enter(place, self._table.add(cells))
            self._first_failure = self._first_failure or error
            self._tally.failed += bool(error)
        self._tally.ended += len(ended)
        self._tally.skipped = self._book.skipped
        self._table.flush()

    def _cells(self, row: Row, value: Any, error: str) -> tuple[dict[str, str], str]:
        """The cells of a row, and its error; a result that cannot be written is an error of its row alone."""
        try:
            return self._table.cells(row, {} if error else as_result(value), error), error
        except Exception as bad:  # objects of the user are asked for their text
            error = f"the result cannot be written to {self._request.out}: {type(bad).__name__}: {bad}"
            return self._table.cells(row, {}, error), error

    def _unfinished(self, why: str) -> str:
        self._table.abandon()
        done = self._tally.ended - self._tally.failed + self._tally.skipped
        again = self._again if self._request.resume else [*self._again, "--resume"]
        return (
            f"{why}. {done:,} of {self._plan.count:,} rows are in {self._request.out}. "
            f"The others will run with:\n  {shlex.join(again)}"
        )

    def _report(self, seconds: float) -> None:
        kept = len(self._book.foreign())
        results = self._table.results()
        report(
            SweepEnding(self._request, self._plan, self._tally, results, kept, self._first_failure, seconds)
        )
        if self._tally.failed:
            raise click.exceptions.Exit(1)


def _plan(request: SweepRequest, function: Callable[..., Any]) -> Plan:
    parameters, known = Parameters(function), target.accepted(function)
    defaults = target.optional_parameters(function)
    table = ParamTable(request.params, parameters, known, defaults) if request.params else None
    constants = [parse_constant(text, parameters) for text in request.constants]
    return Plan(table, [*constants, *(parse_axis(grid, parameters) for grid in request.grids)])


def _outcome(future: Future[Any]) -> tuple[Any, str]:
    """``(what was returned, error text)``. Raises what would meet every other row too."""
    if future.cancelled():
        return None, "cancelled"
    error = future.exception()
    if error is None:
        return future.result(), ""
    if isinstance(error, ALL_ROWS):
        raise error
    return None, f"{type(error).__name__}: {error}"
