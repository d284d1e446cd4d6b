"""Tables on a terminal, and as tab-separated lines or JSON for other programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from compute_executor.cli.summary import one_line

NARROWEST = 12
"""Characters that remain of a long column, such as that of errors, before a table is shown as blocks."""
GAP = 2


def show(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their columns: aligned for a person, tab-separated where the output is no terminal. Where the
    terminal is too narrow for them, each row is a block of lines."""
    lines = [[one_line(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        click.echo("\n".join("\t".join(line) for line in [list(columns), *lines]))
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    longest = widths.index(max(widths))
    others = sum(widths) - widths[longest] + GAP * len(widths)
    widths[longest] = min(widths[longest], console.width - others)
    if widths[longest] < min(NARROWEST, max(len(line[longest]) for line in lines)):
        click.echo("\n\n".join(_block(columns, line, console.width) for line in lines))
        return
    table = _table(columns, widths, ellipsis=console.encoding.startswith("utf"))
    for line in lines:
        table.add_row(*map(_literal, line))
    console.print(table)


def _block(columns: Sequence[str], line: Sequence[str], width: int) -> str:
    name_width = max(map(len, columns)) + 1
    filled = [(name, cell) for name, cell in zip(columns, line, strict=True) if cell]
    return "\n".join(f"{name:{name_width}}{cell}"[:width] for name, cell in filled)


def _table(columns: Sequence[str], widths: Sequence[int], *, ellipsis: bool) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for name, width in zip(columns, widths, strict=True):
        table.add_column(name, width=width, no_wrap=True, overflow="ellipsis" if ellipsis else "crop")
    return table


def _literal(text: str) -> Any:
    """Return text in which square brackets are no markup."""
    from rich.text import Text

    return Text(text)


def show_json(document: Any) -> None:
    """Print a document for another program."""
    click.echo(json.dumps(document, indent=2))
