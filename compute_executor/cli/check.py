"""``compute-executor check``: whether what is stored is sound."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compute_executor.cli.chosen_service import of_folder
from compute_executor.cli.summary import count, one_line
from compute_executor.cli.wrong_input import failed
from compute_executor.errors import ComputeError
from compute_executor.local.locks import is_held, wait_lock
from compute_executor.local.state import DATABASE, SERVICE_LOCK, check_folder, state_folder

if TYPE_CHECKING:
    from compute_executor.service.store.inspection import Inspection

LOCK_PATIENCE = 1.0


@click.command()
@of_folder
@click.option("--json", "as_document", is_flag=True, help="One JSON document.")
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Let a store whose write-ahead log is gone or damaged be used without what is missing.",
)
def check(folder: Path | None, as_document: bool, accept_loss: bool) -> None:
    """Check what is stored: is the database sound, and is everything there that it refers to?

    Sizes, versions and orphans (files that nothing refers to; the next start removes them) are shown, too. It reads
    only, and works while a service runs. The exit code is 1 when something is wrong.
    """
    place = folder or state_folder()
    try:
        check_folder(place)
        if accept_loss:
            _accept(place)
        from compute_executor.service.store.inspection import inspect

        found = inspect(place, in_use=is_held(place / SERVICE_LOCK))
    except FileNotFoundError:
        raise click.ClickException(f"there is no state folder {place}") from None
    except ComputeError as error:
        raise failed(error) from None
    if as_document:
        click.echo(json.dumps(dataclasses.asdict(found)))
    else:
        _show(found)
    if found.problems:
        raise click.exceptions.Exit(1)


def _accept(folder: Path) -> None:
    from compute_executor.service.store.loss import accept_loss

    lock = wait_lock(folder / SERVICE_LOCK, time.monotonic() + LOCK_PATIENCE)
    if lock is None:
        raise click.ClickException(f"a service runs on {folder}: nothing is lost there")
    try:
        kept = accept_loss(folder / DATABASE)
    finally:
        os.close(lock)
    click.echo(f"what is missing is given up{f'; the log as it was is {kept}' if kept else ''}", err=True)


def _show(found: Inspection) -> None:
    rows = [
        ("state", found.folder),
        ("versions", _listed(found.versions)),
        ("bytes", _listed({name: f"{size:,}" for name, size in found.sizes.items()})),
        ("rows", _listed({name: f"{rows:,}" for name, rows in found.counts.items()})),
        ("orphans", _listed({name: f"{number:,}" for name, number in found.orphans.items()})),
        *(("problem", one_line(problem)) for problem in found.problems),
        ("result", "sound" if not found.problems else f"{count(len(found.problems), 'problem')}"),
    ]
    for name, text in rows:
        if text:
            click.echo(f"{name:9}{text}")


def _listed(things: dict[str, str] | dict[str, str | int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in things.items())
