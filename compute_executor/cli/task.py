"""``compute-executor task``: everything about one task."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from compute_executor.cli.chosen_service import ChosenService, on_service
from compute_executor.cli.named import resolved
from compute_executor.cli.summary import one_line
from compute_executor.cli.tables import show_json
from compute_executor.cli.wrong_input import WrongInput
from compute_executor.durations import length, took


@click.command()
@click.argument("name", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every field.")
@on_service
def task(service: ChosenService | None, name: str, as_json: bool) -> None:
    """Show one task: what it was, when it ran, how it ended, with its traceback.

    ID as lists show it (BATCH.POSITION), or the whole id.
    """
    kind, whole = resolved(service, name)
    if kind != "task" or service is None:
        raise WrongInput(f"{name} is a task group; list it with: compute-executor tasks --group {name}")
    found = service.ask("GET", f"/v3/tasks/{whole}")
    if as_json:
        show_json(found)
        return
    for field, text in _fields(found):
        if text:
            click.echo(f"{field:10}{one_line(text)}")
    for block in ("traceback", "output"):
        if found.get(block) and found[block] != found["error"]:  # a lost task has no traceback
            click.echo(f"\n{harmless(found[block].rstrip())}")


def _fields(task: dict[str, Any]) -> list[tuple[str, str]]:
    group = f"{task['group']} {task.get('group_name', task.get('label', ''))}".rstrip()
    return [
        ("task", task["id"]),
        ("function", task["function"]),
        ("group", group),
        ("program", _program(task)),
        ("state", f"{task['state']}, attempt {task['attempt']}"),
        ("worker", f"process {task['worker']}" if task.get("worker") else ""),
        ("endpoint", "" if task.get("built_in", True) else task["endpoint"]),
        ("time line", _time_line(task)),
        ("error", task["error"] or ""),
    ]


def _program(task: dict[str, Any]) -> str:
    if not task.get("program"):
        return ""
    return f"{task['program']} (process {task['pid']} on {task['host']})"


def _time_line(task: dict[str, Any]) -> str:
    """For example: submitted 10:30:00, began 12 ms later, took 2.5 s."""
    line = f"submitted {datetime.fromtimestamp(task['submitted']).astimezone().isoformat(' ', 'seconds')}"
    if task["began"]:
        line += f", began {length(max(0.0, task['began'] - task['submitted']))} later"
    if task["began"]:
        line += f", took {took(task)}"
    elif task["ended"]:
        line += f", ended {length(max(0.0, task['ended'] - task['submitted']))} later"
    return line


def harmless(text: str) -> str:
    """Return text of several lines in which control characters are shown, not executed."""
    return "".join(
        sign if sign in "\n\t" or sign.isprintable() else sign.encode("unicode_escape").decode()
        for sign in text
    )
