"""``compute-executor manual``: all commands as a page for ``man``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from compute_executor._version import __version__

WIDTH = 78
"""Columns of the help texts, which stand in the page as they are."""


@click.command()
@click.pass_context
def manual(context: click.Context) -> None:
    """Print the manual page: every command with its options.

    \b
    compute-executor manual > ~/.local/share/man/man1/compute-executor.1
    man compute-executor
    """
    click.echo(page(context.find_root().command), nl=False)


def page(command: click.Command) -> str:
    """Return the page of a program in the language of man(7)."""
    name = "compute-executor"
    about = command.get_short_help_str(limit=200).rstrip(".")
    head = [
        f'.TH COMPUTE-EXECUTOR 1 "" "{name} {__version__}" ""',
        *(".SH NAME", f"{roff(name)} \\- {roff(about)}"),
        *(".SH SYNOPSIS", f".B {roff(name)}", "COMMAND [OPTIONS]"),
    ]
    body = [
        line
        for path, help_text in help_texts(command, name)
        for line in (f".SH {roff(path.upper())}", ".nf", *map(roff, help_text.splitlines()), ".fi")
    ]
    return "\n".join([*head, *body]) + "\n"


def help_texts(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the help of a command and of all below it, with the words by which each is called."""
    context = click.Context(command, parent=parent, info_name=name, terminal_width=WIDTH)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            below = command.get_command(context, child)
            if below is not None:
                yield from help_texts(below, child, context)


def roff(line: str) -> str:
    """Return a line of text such that troff prints it as it is."""
    escaped = line.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
