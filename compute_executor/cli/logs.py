"""``compute-executor logs``: what tasks have printed, and what they print from now on."""

from __future__ import annotations

import base64
import codecs
import sys
import time
from typing import Any
from urllib.parse import urlencode

import click

from compute_executor.cli.chosen_service import ChosenService, on_service
from compute_executor.cli.named import resolved
from compute_executor.cli.tables import show_json
from compute_executor.cli.task import harmless
from compute_executor.cli.wrong_input import WrongInput

PERIOD = 0.5
"""Seconds between two looks of --follow."""


@click.command()
@click.argument("name", metavar="TASK|GROUP")
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what is printed, until all has ended, or Ctrl-C."
)
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 10_000), help="Of a group: tasks."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON: the output by the id of its task.")
@on_service
def logs(service: ChosenService | None, name: str, follow: bool, limit: int, as_json: bool) -> None:
    """Show what a task, or the newest tasks of a group, printed on stdout and stderr.

    The end of it (64 KiB of each) is kept with the outcome of the task, as long as that.
    """
    if follow and as_json:
        raise WrongInput("--follow prints lines as they come, --json one document: give one of them")
    kind, whole = resolved(service, name)
    assert service is not None, "what was found was found in a service"
    if follow:
        _follow(service, kind, whole, limit)
        return
    printed = _printed(service, kind, whole, limit)
    if as_json:
        show_json(printed)
        return
    for task, text in printed.items():
        if kind == "group":
            click.echo(f"== {task}")
        click.echo(harmless(text.rstrip("\n")))
    if not printed:
        click.echo("Nothing was printed, or nothing of it is kept yet.", err=True)


def _printed(service: ChosenService, kind: str, whole: str, limit: int) -> dict[str, str]:
    """The output by task, oldest first; without those that printed nothing."""
    ids = [whole]
    if kind == "group":
        found = service.ask("GET", f"/v3/tasks?{urlencode({'group': whole, 'limit': limit})}")["tasks"]
        ids = [task["id"] for task in reversed(found) if task["ended"] or task["state"] == "running"]
    texts = {task: service.ask("GET", f"/v3/tasks/{task}").get("output", "") for task in ids}
    return {task: text for task, text in texts.items() if text}


def _follow(service: ChosenService, kind: str, whole: str, limit: int) -> None:
    """Print what there is and what comes."""
    seen = Seen(named=kind == "group")
    path = f"/v3/{kind}s/{whole}/output"
    answer = service.ask("GET", path)
    if kind == "group":  # what has ended before; what runs is in the answers
        tasks = service.ask("GET", f"/v3/tasks?{urlencode({'group': whole, 'limit': limit})}")["tasks"]
        for task in reversed([task["id"] for task in tasks if task["ended"]]):
            seen.show(service.ask("GET", f"/v3/tasks/{task}/output")["parts"])
    try:
        while True:
            seen.show(answer["parts"])
            if not answer["open"]:
                return
            time.sleep(PERIOD)
            answer = service.ask("GET", f"{path}?after={answer['after']}")
    except KeyboardInterrupt:
        return


class Seen:
    """What has been printed of each task's streams. ``named``: whether a line says of which task it is."""

    def __init__(self, *, named: bool) -> None:
        self._named = named
        self._shown: dict[tuple[str, int, str], int] = {}
        self._decoders: dict[tuple[str, int, str], codecs.IncrementalDecoder] = {}
        self._last = ""

    def show(self, parts: list[dict[str, Any]]) -> None:
        """Print what is new in these."""
        for part in parts:
            for stream in ("stdout", "stderr"):
                written = base64.b64decode(part[stream]["bytes"])
                self._show((part["task"], part["attempt"], stream), part[stream]["start"], written)

    def _show(self, key: tuple[str, int, str], start: int, written: bytes) -> None:
        shown = self._shown.get(key, 0)
        new = written[max(0, shown - start) :]
        if not new:
            return
        self._shown[key] = start + len(written)
        if self._named and key[0] != self._last:
            click.echo(f"== {key[0]}")
        self._last = key[0]
        if start > shown:
            click.echo(f"[{start - shown:,} bytes before this are not kept]")
        decoder = self._decoders.setdefault(key, codecs.getincrementaldecoder("utf-8")("replace"))
        click.echo(harmless(decoder.decode(new)), nl=False)
        sys.stdout.flush()
