"""What a sweep says, and draws, when every row has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from compute_executor.cli import plot
from compute_executor.cli.plan import Plan
from compute_executor.cli.progress import Tally, duration
from compute_executor.cli.request import SweepRequest
from compute_executor.cli.summary import Best, Record, count, numeric_column, one_line
from compute_executor.cli.table import rows
from compute_executor.cli.wrong_input import reason


class SweepEnding(NamedTuple):
    """A sweep that has ended. ``results``: the columns of its results. ``kept``: earlier rows of other values."""

    request: SweepRequest
    plan: Plan
    tally: Tally
    results: list[str]
    kept: int
    first_failure: str
    seconds: float

    def rows(self) -> Iterator[Record]:
        """The rows of this sweep, from its table."""
        return rows(self.request.out, self.plan.count)


def report(ending: SweepEnding) -> None:
    """Print the figures, then the best row and the picture if they were asked for.

    Raises WrongInput for a column that is not there, ClickException for a picture that cannot be written.
    """
    _figures(ending)
    best = ending.request.best()
    if not ending.results:  # every row failed, as has just been said
        return
    title, row = _told(ending, best) if best else ("", None)
    if ending.request.plot:
        _draw(ending, ending.request.plot, title, row)


def _figures(ending: SweepEnding) -> None:
    tally, out = ending.tally, ending.request.out
    before = f" ({tally.skipped:,} were there before)" if tally.skipped else ""
    click.echo(f"{tally.total:,} rows{before} in {duration(ending.seconds)}, {tally.failed:,} failed: {out}")
    if tally.failed:
        click.echo(f"first failure: {one_line(ending.first_failure)}")
    if ending.kept:
        click.echo(f"{count(ending.kept, 'earlier row')} of other values kept at the end of {out}")


def _told(ending: SweepEnding, best: Best) -> tuple[str, Record | None]:
    """Say which row is best; the sentence, and the row."""
    numeric_column(ending.results, best.column, ending.rows())
    row = best.of(ending.rows())
    assert row is not None, "the column has a number"
    title = best.sentence(row, ending.plan.names)
    click.echo(title)
    return title, row


def _draw(ending: SweepEnding, path: Path, title: str, best: Record | None) -> None:
    request, table = ending.request, list(ending.rows())
    wanted = request.plot_column or request.minimize or request.maximize
    column = numeric_column(ending.results, wanted, table)
    try:
        plot.draw(path, plot.Picture(ending.plan.varying(), column, table, best, title))
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {reason(error)}") from error
    click.echo(f"picture: {path}")
