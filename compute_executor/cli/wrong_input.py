"""What a command says when it was asked for something that cannot be done, and when it could not do it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click

from compute_executor.errors import ComputeError, InvalidRequest


class WrongInput(click.ClickException):
    """The command line, or a file that it names, is wrong; nothing was run. Shown as one line, exit code 2."""

    exit_code = 2


@contextlib.contextmanager
def wrong_input() -> Iterator[None]:
    """InvalidRequest inside is what a user got wrong: WrongInput."""
    try:
        yield
    except InvalidRequest as error:
        raise WrongInput(error.message) from error


def failed(error: ComputeError, words: str | None = None) -> click.ClickException:
    """Return what a command ends with after an error: exit code 1, ``words`` or the error's own, and where its remedy
    is."""
    return click.ClickException(f"{error.message if words is None else words}\n{error.help}")
