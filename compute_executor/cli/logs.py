"""``compute-executor logs``: what tasks have printed, and what they print from now on."""

from __future__ import annotations

import base64
import codecs
import sys
import time
from typing import Any

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
    "--limit",
    default=100,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Of a group: tasks that printed, the newest.",
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
    """Return the output by task, oldest first; without those that printed nothing."""
    answer = _until_now(service, kind, whole, limit)
    return {part["task"]: _text(part) for part in answer["parts"]}


def _until_now(service: ChosenService, kind: str, whole: str, limit: int) -> dict[str, Any]:
    """Return what was printed until now, that of the newest tasks of a group alone: an answer to go on from."""
    path = f"/v3/{kind}s/{whole}/output"
    if kind == "task":
        return service.ask("GET", path)
    answer = service.ask("GET", path)
    after, last = 0, answer["after"]
    parts: dict[str, dict[str, Any]] = {}
    while after < last:  # a part of the store at a time, up to what is there now
        answer = service.ask("GET", f"{path}?after={after}")
        after = answer["after"]
        for part in answer["parts"]:
            parts.pop(part["task"], None)
            parts[part["task"]] = part
        parts = dict(list(parts.items())[-limit:])
    return {**answer, "parts": list(parts.values())} if last else answer


def _text(part: dict[str, Any]) -> str:
    """Return both streams of a task; a line says how much before is not kept."""
    text = ""
    for stream in ("stdout", "stderr"):
        start, written = part[stream]["start"], base64.b64decode(part[stream]["bytes"])
        if written:
            text += f"[{start} bytes before this are not kept]\n" if start else ""
            text += written.decode("utf-8", "replace")
    return text


def _follow(service: ChosenService, kind: str, whole: str, limit: int) -> None:
    """Print what there is and what comes."""
    seen = Seen(named=kind == "group")
    path = f"/v3/{kind}s/{whole}/output"
    answer = _until_now(service, kind, whole, limit)
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
