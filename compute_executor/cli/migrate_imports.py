"""``compute-executor migrate-imports``: programs for the Globus Compute SDK, made programs for this package."""

from __future__ import annotations

import difflib
import inspect
import tokenize
from pathlib import Path

import click

from compute_executor.cli import sdk_imports
from compute_executor.cli.sdk_imports import Findings


@click.command("migrate-imports")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=False, path_type=Path),
)
@click.option("--write", is_flag=True, help="Make the changes; without it they are only shown.")
def migrate_imports(files: tuple[Path, ...], write: bool) -> None:
    """Show how imports of globus_compute_sdk (or funcx) in FILES become imports of compute_executor.

    What differs besides is named with its line. The exit code is 1 if a file cannot be read, or is no Python.
    """
    keywords = _keywords()
    unreadable = 0
    for path in files:
        try:
            source, encoding = _read(path)
            found = sdk_imports.find(source, keywords)
        except (SyntaxError, UnicodeDecodeError, OSError) as error:
            click.echo(f"{path}: not changed, it cannot be read as Python: {error}", err=True)
            unreadable += 1
            continue
        _show(path, source, found)
        if write and found.changes:
            path.write_text(found.apply(source), encoding=encoding, newline="")
    if unreadable:
        raise click.exceptions.Exit(1)


def _keywords() -> dict[str, set[str]]:
    """Return what the classes take, by class. A signature with ``**`` takes everything."""
    from compute_executor import Client, Executor, MPIFunction, ShellFunction

    found = {}
    for kind in (Client, Executor, MPIFunction, ShellFunction):
        parameters = inspect.signature(kind).parameters.values()
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            found[kind.__name__] = {one.name for one in parameters}
    return found


def _read(path: Path) -> tuple[str, str]:
    """Return the text with its line ends as they are, and its encoding."""
    with path.open("rb") as file:
        encoding, _ = tokenize.detect_encoding(file.readline)
    with path.open(encoding=encoding, newline="") as text:
        return text.read(), encoding


def _show(path: Path, source: str, found: Findings) -> None:
    old, new = source.splitlines(), found.apply(source).splitlines()
    for line in difflib.unified_diff(old, new, str(path), str(path), lineterm="", n=1):
        click.echo(line)
    for remark in found.remarks:
        click.echo(f"{path}:{remark.line}: {remark.text}")
    if not found.changes and not found.remarks:
        click.echo(f"{path}: nothing to change")
