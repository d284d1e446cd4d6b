"""``compute-executor status``: a service, its workers, and its tasks by state."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from compute_executor._version import __version__
from compute_executor.cli.local_service import LocalService, of_folder, running
from compute_executor.cli.progress import duration
from compute_executor.cli.summary import count, one_line
from compute_executor.errors import ComputeError
from compute_executor.local.state import state_folder

_SURVIVED = {"process": "the death of any process", "machine": "a loss of power"}


@click.command()
@of_folder
def status(folder: Path | None) -> None:
    """Show the service of this machine, or one of your own, its workers and its tasks.

    The exit code is 1 when none runs. Looking does not start one.
    """
    service = running(folder)
    if service is None:
        click.echo(
            f"No service is running on {folder}"
            if folder
            else f"No service is running; the next Executor() starts one. Its state is kept in {state_folder()}"
        )
        raise click.exceptions.Exit(1)
    try:
        overview = service.ask("GET", "/v3/overview")
    except ComputeError as error:
        raise click.ClickException(str(error)) from error
    for name, text in [
        *_service(service, overview),
        *_tasks(overview),
        *_workers(overview),
        *_pools(overview),
        *_environments(overview),
    ]:
        click.echo(f"{name:9}{one_line(text)}")


def _service(service: LocalService, overview: dict[str, Any]) -> list[tuple[str, str]]:
    up = duration(overview["uptime"])
    stalled = "" if overview["storing"] == "ok" else "; results cannot be stored at the moment, see the log"
    return [
        ("service", f"{service.address.url}, version {__version__}, pid {service.pid}, up {up}"),
        ("state", f"{service.folder}, survives {_SURVIVED[overview['durability']]}{stalled}"),
        ("clients", f"{overview['connections']:,} connected"),
    ]


def _tasks(overview: dict[str, Any]) -> list[tuple[str, str]]:
    tasks = {
        state.replace("_", " "): number for state, number in overview["tasks"].items() if state != "done"
    }
    return [("tasks", ", ".join(f"{number:,} {state}" for state, number in tasks.items()))]


def _workers(overview: dict[str, Any]) -> list[tuple[str, str]]:
    states = Counter(worker["state"] for worker in overview["workers"])
    counts = "".join(f", {number} {state}" for state, number in sorted(states.items()))
    rows = [("", f"pid {w['pid']} {w['state']} {w['task'] or ''}".rstrip()) for w in overview["workers"]]
    return [("workers", f"{len(rows)} in all{counts}"), *rows]


def _pools(overview: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            "pool",
            f"{pool['label'] or pool['pool'][:8]}: {pool['state']}, {count(pool['open_tasks'], 'open task')}, "
            f"up to {count(pool['max_workers'], 'worker')}, {count(pool['clients'], 'client')}"
            + (f", in container {pool['container']}" if pool.get("container") else ""),
        )
        for pool in overview["pools"]
    ]


def _environments(overview: dict[str, Any]) -> list[tuple[str, str]]:
    return [("built", f"{one['environment']}: {one['state']}") for one in overview.get("environments", [])]
