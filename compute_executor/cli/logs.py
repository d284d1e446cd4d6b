"""``compute-executor logs``: what tasks have printed."""

from __future__ import annotations

from urllib.parse import urlencode

import click

from compute_executor.cli.chosen_service import ChosenService, on_service
from compute_executor.cli.named import resolved
from compute_executor.cli.tables import show_json
from compute_executor.cli.task import harmless


@click.command()
@click.argument("name", metavar="TASK|GROUP")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="Of a group: tasks."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON: the output by the id of its task.")
@on_service
def logs(service: ChosenService | None, name: str, limit: int, as_json: bool) -> None:
    """Show what a task, or the newest tasks of a group, printed on stdout and stderr.

    The end of it is kept with the outcome of the task, as long as that. A task that runs shows its output in its
    program.
    """
    kind, whole = resolved(service, name)
    assert service is not None, "what was found was found in a service"
    ids = [whole]
    if kind == "group":
        found = service.ask("GET", f"/v3/tasks?{urlencode({'group': whole, 'limit': limit})}")["tasks"]
        ids = [task["id"] for task in reversed(found) if task["ended"]]
    printed = {}
    for task in ids:
        text = service.ask("GET", f"/v3/tasks/{task}").get("output", "")
        if text:
            printed[task] = text
    if as_json:
        show_json(printed)
        return
    for task, text in printed.items():
        if kind == "group":
            click.echo(f"== {task}")
        click.echo(harmless(text.rstrip("\n")))
    if not printed:
        click.echo("Nothing was printed, or nothing of it is kept yet.", err=True)
