"""``compute-executor cancel``: end tasks and groups."""

from __future__ import annotations

from collections import Counter

import click

from compute_executor.cli.chosen_service import ChosenService, on_service
from compute_executor.cli.named import resolved
from compute_executor.cli.summary import count
from compute_executor.cli.tables import show_json
from compute_executor.cli.wrong_input import WrongInput

MOST_GROUPS = 10_000


@click.command()
@click.argument("names", nargs=-1, metavar="[TASK|GROUP]...")
@click.option("--all", "everything", is_flag=True, help="Every task of yours.")
@click.option("--running", is_flag=True, help="Stop also what runs now: the worker of such a task is ended.")
@click.option("--json", "as_json", is_flag=True)
@on_service
def cancel(
    service: ChosenService | None, names: tuple[str, ...], everything: bool, running: bool, as_json: bool
) -> None:
    """Cancel tasks and task groups, by id, beginning of an id, or name of a group.

    What has not begun is withdrawn. What runs goes on, unless --running. Each future ends with TaskCancelled.
    """
    if bool(names) == everything:
        raise WrongInput("name what to cancel, or give --all")
    report = Counter({"withdrawn": 0, "stopped": 0, "left": 0})
    for kind, whole in _wanted(service, names, everything):
        assert service is not None, "what was found was found in a service"
        report.update(service.ask("POST", f"/v3/{kind}s/{whole}/cancel", {"running": running}))
    if as_json:
        show_json(report)
        return
    left = f"{report['left']:,} still running" + (
        " (--running stops them)" if report["left"] and not running else ""
    )
    click.echo(f"{count(report['withdrawn'], 'task')} withdrawn, {report['stopped']:,} stopped, {left}.")


def _wanted(service: ChosenService | None, names: tuple[str, ...], everything: bool) -> list[tuple[str, str]]:
    if not everything:
        return [resolved(service, name) for name in names]
    if service is None:
        return []
    found = service.ask("GET", f"/v3/groups?limit={MOST_GROUPS}")["groups"]
    return [("group", group["id"]) for group in found if group["queued"] or group["running"]]
