"""``compute-executor stop``: end a service."""

from __future__ import annotations

import time
from typing import Any

import click

from compute_executor.cli.chosen_service import RunningService, choose, look, on_running
from compute_executor.cli.local_service import LocalService, ended
from compute_executor.cli.summary import count
from compute_executor.cli.tables import show_json
from compute_executor.errors import ServiceUnavailable
from compute_executor.local.state import LOG

OPEN = ("queued", "leased", "began")
"""States of a task that has not ended."""

PATIENCE = 20.0
"""Seconds that the service may take to end its workers and close its store."""
_PAUSE = 0.05


@click.command()
@click.option("--force", is_flag=True, help="Stop it even while tasks are open.")
@click.option(
    "--discard", is_flag=True, help="Cancel every open task of everybody first, and what runs with them."
)
@click.option("--json", "as_json", is_flag=True, help="What was done, as JSON.")
@on_running
def stop(service: RunningService | None, force: bool, discard: bool, as_json: bool) -> None:
    """Stop the service of this machine, or another one.

    Open tasks stay stored: what has not begun runs when a service is next started, what is running now is lost
    (its future ends with WorkerLost). With --discard nothing stays open: each future ends with TaskCancelled.
    """
    if service is None and discard:
        service = _started()
    if service is None:
        _say({"stopped": False}, "No service is running.", as_json)
        return
    if not discard:
        _check_idle(service, force)
    answer = service.service.ask("POST", f"/v3/shutdown{'?discard=true' if discard else ''}")
    _wait(service)
    report = {name: answer[name] for name in ("withdrawn", "stopped", "left") if name in answer}
    said = f"Stopped{f' (pid {service.local.pid})' if service.local else ''}."
    if report:
        said = (
            f"{count(report['withdrawn'], 'task')} withdrawn, {report['stopped']:,} stopped, "
            f"{report['left']:,} still running. {said}"
        )
    _say({"stopped": True, "tasks": report}, said, as_json)


def _say(document: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        show_json(document)
    else:
        click.echo(text)


def _started() -> RunningService | None:
    """Return a service over what is stored on this machine, to discard it; it runs nothing of it."""
    return look(None, None, None) if choose(None, None, None) is not None else None


def _check_idle(service: RunningService, force: bool) -> None:
    tasks = service.service.ask("GET", "/v3/overview")["tasks"]
    still_open, began = sum(tasks.get(state, 0) for state in OPEN), tasks.get("began", 0)
    if not still_open:
        return
    what = f"{count(still_open, 'task')} open, {began:,} of them running"
    if not force:
        raise click.ClickException(
            f"{what}: not stopped. With --force, those running are lost and the others wait for the next start; with "
            "--discard, all are cancelled."
        )
    click.echo(f"{what}: those running are lost, the others wait for the next start.", err=True)


def _wait(service: RunningService) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _has_ended(service):
        if time.monotonic() > deadline:
            raise click.ClickException(_still_there(service.local) if service.local else "it still answers")
        time.sleep(_PAUSE)


def _has_ended(running: RunningService) -> bool:
    if running.local is not None:
        return ended(running.local.folder)
    try:
        running.service.ask("GET", "/v2/version")
    except ServiceUnavailable:
        return True
    return False


def _still_there(local: LocalService) -> str:
    return (
        f"process {local.pid} has been told to end and still runs after {PATIENCE:.0f} s; see {local.folder / LOG}, "
        f"or end it with kill {local.pid}"
    )
