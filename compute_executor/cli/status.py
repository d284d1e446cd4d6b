"""``compute-executor status``: a service, its workers, and its tasks by state, group and function."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import click

from compute_executor.cli.chosen_service import ChosenService, RunningService, on_running
from compute_executor.cli.status_lines import Look, lines, one_line_of
from compute_executor.cli.tables import show_json
from compute_executor.errors import ComputeError, NotFound, ServiceUnavailable
from compute_executor.local.state import state_folder

PERIOD = 1.0
"""Seconds between two looks of --watch."""
LINE_PERIOD = 5.0
"""The same where the output is no terminal, which gets one line each time."""
GROUPS = 100
"""Groups that are looked at for those with open tasks."""


@click.command()
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every field.")
@on_running
def status(service: RunningService | None, watch: bool, as_json: bool) -> None:
    """Show a service, its workers and its tasks: by state, by function and by group.

    Counts are those of everything that is kept, also from before the service was last started. The exit code is 1
    when none runs. Looking does not start one.
    """
    if service is None:
        where = f"The next Executor() starts one; what is kept is in {state_folder()}, or in --state FOLDER."
        click.echo("{}" if as_json else f"No service is running. {where}")
        raise click.exceptions.Exit(1)
    if watch and not as_json:
        _watch(service)
        return
    seen = look_at(service)
    if as_json:
        show_json(seen.document())
        return
    for line in lines(seen):
        click.echo(line)


def look_at(running: RunningService) -> Look:
    """Return all that the service answers, of everybody's tasks if whoever asks may see them. Raises ComputeError."""
    ask = running.service.ask
    overview: dict[str, Any] | None
    try:
        overview = ask("GET", "/v3/overview")
        everybody = "everybody=true"
    except NotFound:  # only operators see it
        overview, everybody = None, "everybody=false"
    figures = ask("GET", f"/v3/figures?{everybody}")
    groups = ask("GET", f"/v3/groups?limit={GROUPS}&{everybody}")["groups"]
    version = ask("GET", "/v2/version")
    endpoints = _endpoints(running.service)
    return Look(
        running.service.url, running.local, version, overview, figures, groups, time.time(), endpoints
    )


def _endpoints(service: ChosenService) -> list[dict[str, Any]]:
    """Return those of this package that whoever asks may use; of an older service none."""
    try:
        found: list[dict[str, Any]] = service.ask("GET", "/v3/agents")["endpoints"]
    except ServiceUnavailable:
        return []
    return found


def _watch(running: RunningService) -> None:
    """Show it again and again until Ctrl-C. A service that is gone for a while is waited for."""
    show, period = (_Screen(), PERIOD) if sys.stdout.isatty() else (_print_line, LINE_PERIOD)
    before: Look | None = None
    try:
        while True:
            before = _show_once(running, before, show)
            time.sleep(period)
    except KeyboardInterrupt:
        pass
    finally:
        if isinstance(show, _Screen):
            show.close()


Show = Callable[[Look, Look | None], None]


def _show_once(running: RunningService, before: Look | None, show: Any) -> Look | None:
    try:
        seen = look_at(running)
    except ServiceUnavailable as error:
        click.echo(str(error), err=True)
        return before
    except ComputeError as error:
        raise click.ClickException(str(error)) from None
    show(seen, before)
    return seen


def _print_line(seen: Look, before: Look | None) -> None:
    click.echo(one_line_of(seen, before))
    sys.stdout.flush()


class _Screen:
    """The part of a terminal that is drawn again."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def __call__(self, seen: Look, before: Look | None) -> None:
        from rich.text import Text

        text = Text("\n".join(lines(seen, before)), no_wrap=True, overflow="ellipsis")
        self._live.update(text, refresh=True)

    def close(self) -> None:
        """Leave what was drawn last."""
        self._live.stop()
