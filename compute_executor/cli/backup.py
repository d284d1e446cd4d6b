"""``compute-executor backup`` and ``restore``: all that a service keeps, in one file and back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from compute_executor.cli.chosen_service import of_folder
from compute_executor.cli.local_service import LocalService, ended, running
from compute_executor.cli.summary import count
from compute_executor.cli.wrong_input import failed
from compute_executor.errors import ComputeError
from compute_executor.local.locks import is_held, locked, wait_lock
from compute_executor.local.state import (
    SERVICE_LOCK,
    START_LOCK,
    check_folder,
    prepare_folder,
    state_folder,
)

LOCK_PATIENCE = 20.0
"""Seconds to wait for the locks of a folder, and for the end of a service."""
_PAUSE = 0.05

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", type=_FILE)
@of_folder
def backup(file: Path, folder: Path | None) -> None:
    """Write all that is stored into a new FILE: accounts, functions, tasks, results and large bodies.

    It works while a service runs, and is of one moment. The file holds what people have sent, so that nobody but you
    may read it.
    """
    from compute_executor.service.store.backup import write_backup

    place = folder or state_folder()
    try:
        check_folder(place)
        written = write_backup(place, file.absolute(), in_use=is_held(place / SERVICE_LOCK))
    except FileNotFoundError:
        raise click.ClickException(f"there is no state folder {place}") from None
    except ComputeError as error:
        raise failed(error) from None
    click.echo(
        f"{file}: {written.size:,} bytes, with {count(written.bodies, 'file')} of large arguments and results"
    )
    if written.missing:
        click.echo(
            f"{count(written.missing, 'file')} that the store refers to are not there: see compute-executor check",
            err=True,
        )


@click.command()
@click.argument("file", type=_FILE)
@click.option(
    "--force", is_flag=True, help="End a service that runs on the folder, also while tasks are open."
)
@of_folder
def restore(file: Path, force: bool, folder: Path | None) -> None:
    """Put what is in the backup FILE in the place of what is stored.

    A service that runs on the folder is ended first, if --force is given; start it again afterwards. What was there
    is kept in a folder beside. Tasks that had not ended when the backup was made run when a service is next started.
    """
    from compute_executor.service.store.restore import restore as put_back

    place = folder or state_folder()
    service = running(place)
    if service is not None and not force:
        raise click.ClickException(
            f"process {service.pid} serves {place}: stop it first, or give --force, with which it is ended"
        )
    try:
        with _ours(place):
            if service is not None:
                _end(service)
            with _unserved(place):
                aside = put_back(file, place)
    except ComputeError as error:
        raise failed(error) from None
    click.echo(f"{place} holds what is in {file}" + (f"; what was there is in {aside}" if aside else ""))


def _end(service: LocalService) -> None:
    """Have it end, whatever is open, and wait until it has."""
    service.ask("POST", "/v3/shutdown")
    deadline = time.monotonic() + LOCK_PATIENCE
    while not ended(service.folder) and time.monotonic() < deadline:
        time.sleep(_PAUSE)


@contextmanager
def _ours(folder: Path) -> Iterator[None]:
    """No program starts a service on the folder meanwhile."""
    prepare_folder(folder)
    with locked(folder / START_LOCK, time.monotonic() + LOCK_PATIENCE):
        yield


@contextmanager
def _unserved(folder: Path) -> Iterator[None]:
    """Nor does `serve`, which takes this lock."""
    lock = wait_lock(folder / SERVICE_LOCK, time.monotonic() + LOCK_PATIENCE)
    if lock is None:
        raise click.ClickException(f"a service was started on {folder} meanwhile: stop it first")
    try:
        yield
    finally:
        os.close(lock)
