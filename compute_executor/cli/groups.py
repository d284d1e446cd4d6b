"""``compute-executor groups``: what each Executor has had run, newest first."""

from __future__ import annotations

from typing import Any

import click

from compute_executor.cli.chosen_service import ChosenService, on_service
from compute_executor.cli.tables import show, show_json
from compute_executor.durations import age

COLUMNS = (
    "id",
    "name",
    "program",
    "started",
    "client",
    "queued",
    "running",
    "succeeded",
    "failed",
    "lost",
    "cancelled",
)
COUNTS = COLUMNS[5:]


@click.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--everybody", is_flag=True, help="Groups of all users; for the operator of a shared service.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every field.")
@on_service
def groups(service: ChosenService | None, limit: int, everybody: bool, as_json: bool) -> None:
    """List task groups, the newest first: an Executor's tasks are one group.

    The beginning of an id, or its name, stands for the group in other commands: tasks, logs, cancel. The name is the
    label of the Executor, or else the file of its program.
    """
    path = f"/v3/groups?limit={limit}{'&everybody=true' if everybody else ''}"
    found = service.ask("GET", path)["groups"] if service is not None else []
    if as_json:
        show_json(found)
    elif found:
        show(COLUMNS, map(_row, found))
    else:
        click.echo("No task groups: nothing was submitted here that is still kept.")


def _row(group: dict[str, Any]) -> list[str]:
    return [
        group["id"][:8],
        group.get("name", group["label"]),  # an older service names none
        group["program"],
        age(group["started"]),
        "yes" if group["clients"] else "no",
        *(f"{group[name]:,}" for name in COUNTS),
    ]
