"""``compute-executor export BOOK TABLE``: the values of a sweep in another format, without running anything."""

from __future__ import annotations

from pathlib import Path

import click

from compute_executor.cli.summary import count
from compute_executor.cli.wrong_input import WrongInput, wrong_input
from compute_executor.sweeps.destination import check_folder, reason, replaced_path

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("book", type=_PATH, metavar="BOOK")
@click.argument("table", type=_PATH, metavar="TABLE")
@click.option("--overwrite", is_flag=True, help="Replace the table that is there.")
def export(book: Path, table: Path, overwrite: bool) -> None:
    """Write the values of BOOK (results.csv.sweep), whole, to TABLE: csv, tsv, jsonl, parquet, xlsx, nc, pickle."""
    with wrong_input():
        rows = written(book, table, overwrite)
    click.echo(f"{count(rows, 'row')}: {table}")


def written(book: Path, table: Path, overwrite: bool) -> int:
    """Write the table; how many rows it has. Raises InvalidRequest, ClickException."""
    from compute_executor.sweeps.formats import format_of  # what --help need not load
    from compute_executor.sweeps.known_table import open_book
    from compute_executor.sweeps.tabulation import tabulated

    known = open_book(book)
    try:
        rows = sum(known.counts())
        made = format_of(table, rows)
        check_folder(table)
        if table.exists() and not overwrite:
            raise WrongInput(f"{table} is there already: add --overwrite to replace it, or give another name")
        with replaced_path(table) as new:
            made.write(new, tabulated(known))
    except OSError as error:
        raise click.ClickException(f"cannot write {table}: {reason(error)}") from error
    finally:
        known.close()
    return rows
