"""Tables on a terminal, and as tab-separated lines or JSON for other programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from compute_executor.cli.summary import one_line


def show(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their columns: aligned for a person, tab-separated where the output is no terminal."""
    lines = [[one_line(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        click.echo("\n".join("\t".join(line) for line in [list(columns), *lines]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for line in lines:
        table.add_row(*map(_literal, line))
    Console(highlight=False, soft_wrap=False).print(table)


def _literal(text: str) -> Any:
    """Text in which square brackets are no markup."""
    from rich.text import Text

    return Text(text)


def show_json(document: Any) -> None:
    """Print a document for another program."""
    click.echo(json.dumps(document, indent=2))
