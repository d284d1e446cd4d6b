"""``compute-executor gc``: delete what need not be kept any more, now."""

from __future__ import annotations

import time

import click

from compute_executor.cli.ago import Ago
from compute_executor.cli.chosen_service import ChosenService, on_service
from compute_executor.cli.summary import count
from compute_executor.cli.tables import show_json


@click.command()
@click.option(
    "--older",
    type=Ago(),
    metavar="DURATION",
    help="Also what ended longer ago than this (90s, 15m, 1h, 2d, 1w), whether its program has seen it or not.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@on_service
def gc(service: ChosenService | None, older: float | None, as_json: bool) -> None:
    """Delete results, functions and files that need not be kept any more.

    A service does this by itself, by its limits keep, keep_acknowledged and keep_orphans. Open tasks are never
    deleted. The database file does not shrink: what is free in it is used again.
    """
    options = {} if older is None else {"older": max(0.0, time.time() - older)}
    report = {"batches": 0, "tasks": 0, "groups": 0, "files": 0}
    if service is not None:
        report = service.ask("POST", "/v3/gc", options)
    if as_json:
        show_json(report)
        return
    click.echo(
        f"{count(report['tasks'], 'ended task')}, {count(report['groups'], 'task group')} and "
        f"{count(report['files'], 'file')} deleted."
    )
