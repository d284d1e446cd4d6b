"""Failures of a sweep: which are alike, and when there are too many to go on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from compute_executor.failure_kind import kind_of_failure
from compute_executor.sweeps.book import Book
from compute_executor.sweeps.destination import replaced
from compute_executor.sweeps.values import cell, json_text, parameter_cell

ALIKE = 20
"""Rows that, if they are the first and fail in one way, end a sweep: it is the program that is wrong."""


class SweepFailure(NamedTuple):
    """A row that failed. ``row``: its number in the table, from 1. ``output``: the end of what it had printed."""

    row: int
    parameters: Mapping[str, Any]
    error: str
    traceback: str
    output: str
    attempts: int

    def text(self) -> str:
        """Return all of it, for a person."""
        where = ", ".join(f"{name} = {_shown(value)}" for name, value in self.parameters.items())
        tries = f" ({self.attempts} attempts)" if self.attempts > 1 else ""
        parts = [f"row {self.row}{tries}: {where}", self.traceback.strip() or self.error]
        if self.output.strip():
            parts += ["output:", self.output.rstrip()]
        return "\n".join(parts) + "\n"


class FailureGroup(NamedTuple):
    """Failures that are alike: how many, and the ``first``."""

    number: int
    first: SweepFailure


class FailureLimit:
    """When failures end a sweep: more than ``most``, or, without it, the first rows that all fail alike. A value."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._ended = self._failed = 0
        self._kind: str | None = ""

    def exceeded(self, error: str) -> str:
        """Note how a row ended; why the sweep shall end, or nothing."""
        self._ended += 1
        self._failed += bool(error)
        if self._most is not None:
            return (
                f"more than {self._most:,} rows failed (--max-failures)" if self._failed > self._most else ""
            )
        if self._kind is None:
            return ""
        kind = kind_of_failure(error) if error else None
        if self._ended == 1:
            self._kind = kind
        elif kind != self._kind:
            self._kind = None
        if self._kind and self._ended == ALIKE:
            return f"the first {ALIKE} rows all failed alike (--max-failures N lets it go on)"
        return ""


def failures(book: Book) -> Iterable[SweepFailure]:
    """Yield the failed rows of a book, in order."""
    for number, row in enumerate(book.rows(), 1):
        end = row.end
        if end is not None and end.error:
            yield SweepFailure(number, row.parameters, end.error, end.traceback, end.output, end.attempts)


def grouped(found: Iterable[SweepFailure]) -> list[FailureGroup]:
    """Failures that are alike together, the most frequent first."""
    groups: dict[str, FailureGroup] = {}
    for failure in found:
        kind = kind_of_failure(failure.error)
        before = groups.get(kind)
        groups[kind] = FailureGroup(1 + before.number, before.first) if before else FailureGroup(1, failure)
    return sorted(groups.values(), key=lambda group: -group.number)


def write_failures(path: Path, found: Iterable[SweepFailure]) -> None:
    """Write every failure with its traceback and output: JSON lines if the name ends so, else text."""
    lines = path.suffix.lower() in (".jsonl", ".json")
    with replaced(path) as file:
        for failure in found:
            text = json_text(_document(failure)) if lines else failure.text()
            file.write(f"{text}\n".encode("utf-8", "backslashreplace"))


def _document(failure: SweepFailure) -> dict[str, Any]:
    document = failure._asdict()
    try:
        json_text(document["parameters"])
    except (TypeError, ValueError, json.JSONDecodeError):
        document["parameters"] = {name: _shown(value) for name, value in failure.parameters.items()}
    return document


def _shown(value: Any) -> str:
    try:
        return parameter_cell(value) if value is None else cell(value)
    except Exception:  # objects of the user are asked for their text
        return f"a {type(value).__name__}"
