"""What a sweep says, and draws, when every row has ended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from compute_executor.cli.summary import count, one_line
from compute_executor.cli.sweep_request import SweepRequest
from compute_executor.sweeps import pictures
from compute_executor.sweeps.best import Best, Record, numeric_column
from compute_executor.sweeps.design import Design
from compute_executor.sweeps.destination import reason
from compute_executor.sweeps.failures import failures, grouped
from compute_executor.sweeps.programs import OWN_COLUMNS
from compute_executor.sweeps.standard_output import is_stdout
from compute_executor.sweeps.study import Study
from compute_executor.sweeps.tabulation import tabulated
from compute_executor.sweeps.tally import duration

GROUPS_TOLD = 5
TRACEBACK_LINES = 25
"""Of the first failure; `--errors FILE` has all."""


class SweepEnding(NamedTuple):
    """A sweep that has ended. ``varying``: the parameters that span a picture."""

    request: SweepRequest
    design: Design
    study: Study
    varying: list[str]
    units: dict[str, str]
    seconds: float

    def rows(self) -> Iterator[Record]:
        """Return the rows of this sweep, from its book."""
        return tabulated(self.study.book, self.study.request.taken, whole=False).flat()

    def results(self) -> list[str]:
        """Return the columns of its results."""
        return tabulated(self.study.book, self.study.request.taken, whole=False).results()


def report(ending: SweepEnding) -> None:
    """Print the figures, then the best row and the picture if they were asked for.

    Raises InvalidRequest for a column that is not there, ClickException for a picture that cannot be written.
    """
    _figures(ending)
    best, wanted = ending.request.best(), ending.request.plot
    if not (best or wanted):
        return
    results = ending.results()
    if not results:  # every row failed, as has just been said
        return
    title, row = _told(ending, best, results) if best else ("", None)
    if wanted:
        _draw(ending, results, title, row)


def _figures(ending: SweepEnding) -> None:
    tally, out = ending.study.tally, ending.request.out
    say = _say(ending)
    before = f" ({tally.skipped:,} were there before)" if tally.skipped else ""
    total = tally.done if tally.total is None or ending.study.stopped else tally.total
    where = "" if is_stdout(out) else f": {out}"
    say(f"{total:,} rows{before} in {duration(ending.seconds)}, {tally.failed:,} failed{where}")
    if tally.adopted:
        say(f"{count(tally.adopted, 'call')} of the earlier run were taken over from the service")
    if tally.failed:
        _tell_failures(ending, say)
    _tell_silence(ending, say)
    _tell_unknown_units(ending, say)
    kept = ending.study.book.foreign()
    if kept:
        say(f"{count(kept, 'earlier row')} of other values kept at the end of {out}")


def _tell_silence(ending: SweepEnding, say: Any) -> None:
    """Say that programs have ended well and given no column, which is seldom what is wanted."""
    if not ending.study.request.numbered or not ending.results() or set(ending.results()) - OWN_COLUMNS:
        return
    name = ending.request.function or ""
    function = f"; to call a function of it, write {name}:NAME" if name.endswith(".py") else ""
    say(
        "no results but exit code and time: nothing that --collect names, and no JSON object on the last line"
        f"{function}"
    )


def _tell_unknown_units(ending: SweepEnding, say: Any) -> None:
    unknown = set(ending.units).difference(ending.design.names)
    columns = ending.results() if unknown else []
    for name in sorted(unknown.difference(columns)) if columns else ():
        say(f"--unit {name}: no column is called so; there is {', '.join([*ending.design.names, *columns])}")


def _tell_failures(ending: SweepEnding, say: Any) -> None:
    """Tell the first failure with its parameters and the worker's traceback; then which there are, with counts."""
    first = next(iter(failures(ending.study.book)))
    where = ", ".join(f"{name} = {pictures.shown(value)}" for name, value in first.parameters.items())
    say(f"first failure: {one_line(first.error)}")
    say(f"  at row {first.row}: {one_line(where)}")
    lines = first.traceback.splitlines()
    for line in lines[-TRACEBACK_LINES:]:
        say(f"  | {one_line(line)}")
    groups = grouped(failures(ending.study.book))
    for group in groups[:GROUPS_TOLD] if len(groups) > 1 or groups[0].number > 1 else []:
        say(f"{group.number:,} x {one_line(group.first.error, 120)} (first: row {group.first.row})")
    if len(groups) > GROUPS_TOLD:
        say(f"and {count(len(groups) - GROUPS_TOLD, 'other kind')} of failure")
    if ending.request.errors:
        say(f"all failures: {ending.request.errors}")


def _told(ending: SweepEnding, best: Best, results: list[str]) -> tuple[str, Record | None]:
    """Say which row is best; the sentence, and the row."""
    numeric_column(results, best.column, ending.rows())
    row = best.of(ending.rows())
    assert row is not None, "the column has a number"
    title = best.sentence(row, ending.design.names)
    _say(ending)(one_line(title))
    return title, row


def _draw(ending: SweepEnding, results: list[str], title: str, best: Record | None) -> None:
    request, path = ending.request, ending.request.plot
    assert path is not None, "it was asked for"
    wanted = request.plot_column or request.minimize or request.maximize or request.adaptive
    options: dict[str, Any] = {
        "x": request.x,
        "y": request.y,
        "column": wanted,
        "colour": request.colour,
        "facet": request.facet,
        "log_x": request.log_x,
        "log_y": request.log_y,
        "contours": request.contours,
    }
    try:
        pictures.draw_records(
            path,
            list(ending.rows()),
            ending.varying,
            results,
            units=ending.units,
            title=title,
            best=best,
            **options,
        )
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {reason(error)}") from error
    _say(ending)(f"picture: {path}")


def _say(ending: SweepEnding) -> Any:
    """Return what prints a line: on stderr where the table is on the standard output."""
    to_stderr = is_stdout(ending.request.out)
    return lambda text: click.echo(os.fspath(text), err=to_stderr)
