"""The command `sweep`, from its request to its report: options to a study, progress and signals while it runs."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor

import click

from compute_executor.cli import sweep_target
from compute_executor.cli.plot_options import parse_units
from compute_executor.cli.signals import first_signal
from compute_executor.cli.summary import one_line
from compute_executor.cli.sweep_report import SweepEnding, report
from compute_executor.cli.sweep_request import SweepRequest
from compute_executor.cli.wrong_input import failed, wrong_input
from compute_executor.errors import ComputeError, InvalidRequest
from compute_executor.sweeps import pictures
from compute_executor.sweeps.book import book_of
from compute_executor.sweeps.destination import check_folder, reason
from compute_executor.sweeps.failures import failures, write_failures
from compute_executor.sweeps.progress import shown
from compute_executor.sweeps.search import Search
from compute_executor.sweeps.standard_output import is_stdout, write_to_stdout
from compute_executor.sweeps.study import Study, StudyRequest
from compute_executor.sweeps.sweep import end_executor, with_timeout


class SweepCommand:
    """Checked when it is made: raises WrongInput. ``again``: the command, to be able to say how to resume."""

    def __init__(self, request: SweepRequest, again: list[str]) -> None:
        self._request, self._again = request, again
        with wrong_input():
            self._target = sweep_target.found(request)
            self._design = self._target.design
            self._search = Search.asked(request, self._design) if request.is_search else None
            self._units = parse_units(request.units)
            if request.plot:
                pictures.check(request.plot, self._varying(), request.x, request.y)
            if request.errors:
                check_folder(request.errors)
        self._study: Study | None = None

    def _varying(self) -> list[str]:
        design = self._design
        return [name for name in design.varying() if name not in design.carried]

    def _opened(self) -> Study:
        request = self._request
        names = self._design.names
        return Study(
            StudyRequest(
                self._target.function,
                self._design,
                self._target.name,
                None if is_stdout(request.out) else request.out,
                self._target.taken.difference(names),
                request.resume,
                request.overwrite,
                request.retry_failed,
                request.retries,
                request.max_failures,
                self._units,
                self._target.numbered,
            )
        )

    def run(self, open_executor: Callable[[SweepRequest], Executor]) -> None:
        """Run the rows, write the table, report. An exit code other than 0 is raised."""
        if self._request.debug:
            sweep_target.debug(self._target, self._request.debug)
            return
        executor, study = self._open(open_executor)
        started = time.monotonic()
        try:
            signals = self._execute(study, executor)
            self._finish(study)
            self._write_errors(study)
        except ComputeError as error:  # before OSError: some are both
            raise failed(error, self._unfinished(one_line(str(error), limit=1000))) from error
        except OSError as error:
            raise click.ClickException(self._unfinished(f"{self._request.out}: {reason(error)}")) from error
        except BaseException:
            study.abandon()
            raise
        try:
            self._end(study, signals, time.monotonic() - started)
        finally:
            study.close()

    def _open(self, open_executor: Callable[[SweepRequest], Executor]) -> tuple[Executor, Study]:
        """Return the executor, then the files. Raises WrongInput, ClickException."""
        try:
            with wrong_input():
                executor = open_executor(self._request)
                try:
                    self._study = self._opened()
                except BaseException:
                    executor.shutdown(wait=False)
                    raise
                return executor, self._study
        except ComputeError as error:
            raise failed(error, one_line(str(error), limit=1000)) from error

    def _execute(self, study: Study, executor: Executor) -> list[int]:
        """Run every row that has no result; the signals that ended this early."""
        self._tell_resumed(study)
        with first_signal(study.interrupt) as signals:
            try:
                with shown(study.tally, sys.stderr) as changed:
                    view = with_timeout(executor, self._target.timeout)
                    if self._search is None:
                        study.run(view, changed)
                    else:
                        self._search.run(study, view, changed)
            finally:
                end_executor(executor)
        return signals

    def _tell_resumed(self, study: Study) -> None:
        if not study.resumed:
            return
        values, failed = study.book.counts()
        still = study.book.open_calls()
        open_calls = f", {still:,} that had not ended: those that still run are taken over" if still else ""
        click.echo(
            f"going on with {self._request.out}: {values:,} rows kept, {failed:,} that failed{open_calls}",
            err=True,
        )

    def _finish(self, study: Study) -> None:
        try:
            study.finish()
        except InvalidRequest as error:  # of values that the table cannot hold
            raise click.ClickException(self._unwritten(error.message)) from error
        if is_stdout(self._request.out):
            write_to_stdout(study.table())

    def _write_errors(self, study: Study) -> None:
        if self._request.errors:
            write_failures(self._request.errors, failures(study.book))

    def _end(self, study: Study, signals: list[int], seconds: float) -> None:
        if signals:
            click.echo(self._unfinished("interrupted"), err=True)
            raise click.exceptions.Exit(128 + signals[0])
        ending = SweepEnding(self._request, self._design, study, self._varying(), self._units, seconds)
        with wrong_input():
            report(ending)
        if study.stopped:
            click.echo(self._unfinished(study.stopped), err=True)
        if study.unwritable:
            click.echo(
                self._unwritten(f"{study.unwritable:,} rows could not be written as they are"), err=True
            )
        if study.stopped or study.tally.failed or study.unwritable:
            raise click.exceptions.Exit(1)

    def _unwritten(self, why: str) -> str:
        book = book_of(self._request.out)
        if self._study is not None:
            self._study.abandon()
        return (
            f"{one_line(why, limit=1000)}. All values are in {book}, whole; write them in another form with:\n"
            f"  compute-executor export {shlex.quote(os.fspath(book))} results.pickle"
        )

    def _unfinished(self, why: str) -> str:
        study = self._study
        assert study is not None, "it runs"
        tally = study.tally
        study.abandon()
        done, total = tally.ended - tally.failed + tally.skipped, tally.total
        of = "" if total is None else f" of {total:,}"
        if is_stdout(self._request.out):
            return f"{why}. {done:,}{of} rows have a result."
        return (
            f"{why.rstrip('.')}. {done:,}{of} rows are in {self._request.out}. "
            f"The others will run with:\n  {shlex.join(_resumed(self._again))}"
        )


def _resumed(again: list[str]) -> list[str]:
    """Return the command that goes on."""
    at = again.index("--") if "--" in again else len(again)
    options = [word for word in again[:at] if word != "--overwrite"]
    return [*options, *([] if "--resume" in options else ["--resume"]), *again[at:]]
