"""``compute-executor plot TABLE``: a picture of a results table that is there, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compute_executor.cli.plot_options import parse_units, plot_options
from compute_executor.cli.wrong_input import WrongInput, wrong_input
from compute_executor.sweeps.destination import reason

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("table", type=_PATH, metavar="TABLE")
@click.option(
    "--out", type=_PATH, default=Path("results.svg"), show_default=True, help="The picture: svg, pdf, png."
)
@click.option("--minimize", metavar="COLUMN", help="Mark the row with the least COLUMN, and draw that.")
@click.option("--maximize", metavar="COLUMN", help="The same with the greatest.")
@plot_options
def plot(table: Path, out: Path, minimize: str | None, maximize: str | None, **options: Any) -> None:
    """Draw TABLE, a results table of `sweep` in any format, or its book (.sweep).

    Parameters are known from the book beside the table; without it, name them with --x, --y, --colour and --facet.
    """
    if minimize and maximize:
        raise WrongInput("--minimize and --maximize exclude each other")
    with wrong_input():
        try:
            draw(table, out, minimize, maximize, options)
        except OSError as error:
            raise click.ClickException(f"cannot write {out}: {reason(error)}") from error
    click.echo(f"picture: {out}")


def draw(table: Path, out: Path, minimize: str | None, maximize: str | None, options: dict[str, Any]) -> None:
    """Write the picture. Raises InvalidRequest, OSError."""
    from compute_executor.sweeps import pictures  # what --help need not load
    from compute_executor.sweeps.best import Best, numeric_column
    from compute_executor.sweeps.known_table import known_table

    known = known_table(table)
    units = {**known.units, **parse_units(options.pop("units"))}
    wanted = minimize or maximize
    title, best = "", None
    column = options.pop("plot_column") or wanted
    parameters = known.varying or [name for name in (options["x"], options["y"]) if name in known.columns][:1]
    if not parameters:
        raise WrongInput(
            f"{table} has no book beside it, so name a parameter with --x: {', '.join(known.columns)}"
        )
    results = [name for name in known.columns if name not in known.parameters]
    if wanted:
        numeric_column(results, wanted, known.rows)
        found = Best(wanted, wanted == maximize)
        best = found.of(known.rows)
        title = found.sentence(best, known.parameters) if best else ""
    pictures.draw_records(
        out, known.rows, parameters, results, column=column, units=units, title=title, best=best, **options
    )
