"""What a command says when it was asked for something that cannot be done: one line, exit code 2."""

from __future__ import annotations

import click


class WrongInput(click.ClickException):
    """The command line, or a file that it names, is wrong; nothing was run. Shown as one line, exit code 2."""

    exit_code = 2


def reason(error: OSError) -> str:
    """Why the operating system refused, without the number and the path that ``str(error)`` adds."""
    return error.strerror or str(error)
