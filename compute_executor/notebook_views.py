"""How an Executor and a future show themselves in a notebook: a small table, without scripts or styles of a page.

Everything that a user or a task has named is escaped. No request is made for it: it shows what this process knows.
"""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import Any

from compute_executor.durations import length

LONGEST = 500
"""Characters of a value or an error that are shown."""


def table(title: str, rows: list[tuple[str, str]]) -> str:
    """Return a table of names and texts under a title."""
    cells = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in rows
        if text
    )
    return f"<table><caption>{escape(title)}</caption>{cells}</table>"


def of_executor(name: str, label: str, group: str, endpoint: str, state: str) -> str:
    """Return the table of an Executor."""
    commands = f"compute-executor tasks --group {group[:8]}"
    rows = [
        ("label", label),
        ("endpoint", endpoint),
        ("state", state),
        ("task group", group),
        ("look", commands),
    ]
    return table(name, rows)


def of_future(future: Any) -> str:
    """Return the table of a ComputeFuture. One that is running or waiting is not waited for."""
    submitted, began, ended = future.timings
    rows = [
        ("state", _state(future)),
        ("task", future.task_id or ""),
        ("submitted", datetime.fromtimestamp(submitted).astimezone().isoformat(" ", "seconds")),
        ("began", f"{length(max(0.0, began - submitted))} later" if began else ""),
        ("took", length(max(0.0, ended - began)) if began and ended else ""),
        *_end(future),
        ("output", _shortened(future.output().rstrip())),
    ]
    return table("ComputeFuture", rows)


def _state(future: Any) -> str:
    if not future.done():
        return "running" if future.running() else "waiting"
    if future.cancelled():
        return "cancelled"
    return "failed" if future.exception() is not None else "succeeded"


def _end(future: Any) -> list[tuple[str, str]]:
    if not future.done() or future.cancelled():
        return []
    error = future.exception()
    if error is not None:
        return [("error", _shortened(f"{type(error).__name__}: {error}"))]
    try:
        return [("value", _shortened(repr(future.result())))]
    except Exception as wrong:  # a repr of the user's own
        return [("value", f"cannot be shown: {type(wrong).__name__}")]


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
