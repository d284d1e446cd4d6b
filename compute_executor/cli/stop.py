"""``compute-executor stop``: end a service."""

from __future__ import annotations

import time
from pathlib import Path

import click

from compute_executor.cli.local_service import LocalService, ended, of_folder, running
from compute_executor.cli.summary import count
from compute_executor.errors import ComputeError
from compute_executor.local.state import LOG

OPEN = ("queued", "leased", "began")
"""States of a task that has not ended."""

PATIENCE = 20.0
"""Seconds that the service may take to end its workers and close its store."""
_PAUSE = 0.05


@click.command()
@click.option("--force", is_flag=True, help="Stop it even while tasks are open.")
@of_folder
def stop(force: bool, folder: Path | None) -> None:
    """Stop the service of this machine, or one of your own.

    Open tasks stay stored: what has not begun runs when a service is next started, what is running now is lost
    (its future ends with WorkerLost).
    """
    service = running(folder)
    if service is None:
        click.echo("No service is running.")
        return
    try:
        _check_idle(service, force)
        service.ask("POST", "/v3/shutdown")
    except ComputeError as error:
        raise click.ClickException(str(error)) from error
    _wait(service)
    click.echo(f"Stopped (pid {service.pid}).")


def _check_idle(service: LocalService, force: bool) -> None:
    tasks = service.ask("GET", "/v3/overview")["tasks"]
    still_open, began = sum(tasks.get(state, 0) for state in OPEN), tasks.get("began", 0)
    if not still_open:
        return
    what = f"{count(still_open, 'task')} open, {began:,} of them running"
    if not force:
        raise click.ClickException(
            f"{what}: not stopped. With --force, those running are lost and the others wait for the next start."
        )
    click.echo(f"{what}: those running are lost, the others wait for the next start.", err=True)


def _wait(service: LocalService) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ended(service.folder):
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"process {service.pid} has been told to end and still runs after {PATIENCE:.0f} s; see "
                f"{service.folder / LOG}, or end it with kill {service.pid}"
            )
        time.sleep(_PAUSE)
