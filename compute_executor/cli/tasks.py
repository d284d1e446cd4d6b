"""``compute-executor tasks``: tasks one by one, newest first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from compute_executor.cli.ago import Ago
from compute_executor.cli.chosen_service import ChosenService, on_remote
from compute_executor.cli.named import named_group
from compute_executor.cli.tables import show, show_json
from compute_executor.cli.wrong_input import WrongInput
from compute_executor.durations import age, took

COLUMNS = ("id", "state", "function", "submitted", "took", "error")
STATES = ("queued", "running", "succeeded", "failed", "lost", "cancelled")


def _state_or_folder(command: Callable[..., Any]) -> Callable[..., Any]:
    """Tell the two meanings of ``--state`` apart: of a task, and of a service, as for the other commands."""

    @functools.wraps(command)
    def told_apart(*, states: tuple[str, ...], **kwargs: Any) -> Any:
        wanted = [state for state in states if state in STATES]
        folders = [Path(state) for state in states if state not in STATES]
        if len(wanted) > 1 or len(folders) > 1:
            raise WrongInput("--state takes one state of tasks, and one folder of a service")
        if folders and not folders[0].is_dir():
            raise WrongInput(
                f"{folders[0]} is no state of tasks ({', '.join(STATES)}) and no folder of a service either"
            )
        return command(state=wanted[0] if wanted else None, folder=folders[0] if folders else None, **kwargs)

    return told_apart


@click.command()
@click.option("--group", "group_name", help="Of this group only: id, beginning of it, or name.")
@click.option(
    "--state",
    "states",
    multiple=True,
    metavar="STATE|FOLDER",
    help=f"In this state only ({', '.join(STATES)}). Anything else is the folder of a service of your own.",
)
@click.option("--function", help="Of this function only, by its name.")
@click.option("--since", type=Ago(), metavar="DURATION", help="Submitted since: 90s, 15m, 1h, 2d, 1w.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every field.")
@_state_or_folder
@on_remote
def tasks(
    *,
    service: ChosenService | None,
    group_name: str | None,
    state: str | None,
    function: str | None,
    since: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """List tasks, the newest first.

    The id of a task, as it is shown here, names it in other commands: task, logs, cancel.
    """
    wanted = {"limit": limit, "state": state, "function": function, "since": int(since) if since else None}
    found: list[dict[str, Any]] = []
    further = None
    if service is not None:
        wanted["group"] = named_group(service, group_name) if group_name else None
        query = urlencode({name: value for name, value in wanted.items() if value is not None})
        answer = service.ask("GET", f"/v3/tasks?{query}")
        found, further = answer["tasks"], answer["next"]
    elif group_name:
        raise WrongInput(f"there is no task group {group_name}")
    _print(found, further, as_json)


def _print(found: list[dict[str, Any]], further: str | None, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    if not found:
        click.echo("No such tasks.")
        return
    show(COLUMNS, map(_row, found))
    if further is not None:
        click.echo(f"... and more: --limit shows up to 10,000 (this was {len(found):,})", err=True)


def _row(task: dict[str, Any]) -> list[str]:
    return [
        task["short"],
        task["state"],
        task["function"],
        age(task["submitted"]),
        took(task),
        task["error"] or "",
    ]
