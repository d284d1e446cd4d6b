"""What a future tells of a call: its value as bytes, or its error with the worker's traceback."""

from __future__ import annotations

import re
import traceback
from concurrent.futures import Future
from typing import Any, NamedTuple

from compute_executor.errors import (
    NotAuthorized,
    PoolBroken,
    ServiceUnavailable,
    VersionMismatch,
)
from compute_executor.sweeps.book import CallEnd, dump
from compute_executor.sweeps.calls import CARRIED

ALL_ROWS = (ServiceUnavailable, NotAuthorized, VersionMismatch, PoolBroken)
"""Errors that say nothing about the row they came with: the sweep ends, and can be resumed."""
_OURS = re.compile(
    r'  File "[^"\n]*compute_executor/(?:sweeps/(?:calls|programs)|functions/remote)\.py".*\n(?:    .*\n)*',
    re.MULTILINE,
)


class CallOutcome(NamedTuple):
    """``id``: of the row, None if the call did not tell. ``value``: what it returned, unless there is an
    ``error``."""

    id: int | None
    value: Any
    error: str
    kind: str = ""
    traceback: str = ""


def outcome(future: Future[Any]) -> CallOutcome:
    """Return how a call ended. Raises what would meet every other row too."""
    if future.cancelled():
        return CallOutcome(None, None, "cancelled", "CancelledError")
    error = future.exception()
    if error is None:
        number, value = future.result()
        return CallOutcome(number, value, "")
    if isinstance(error, ALL_ROWS):
        raise error
    text = f"{type(error).__name__}: {error}"
    return CallOutcome(getattr(error, CARRIED, None), None, text, type(error).__name__, _traceback(error))


def call_end(found: CallOutcome, number: int, future: Future[Any], attempts: int) -> CallEnd:
    """Return the same for the book, with times and output where the future knows them."""
    value, error, kind = None, found.error, found.kind
    if not error:
        try:
            value = dump(found.value)
        except Exception as bad:  # objects of the user are pickled
            error, kind = f"the result cannot be kept: {type(bad).__name__}: {bad}", type(bad).__name__
    timings: Any = getattr(future, "timings", None)
    if timings is None:
        return CallEnd(number, value, error, kind, found.traceback, attempts=attempts)
    place = future.place  # type: ignore[attr-defined]  # a ComputeFuture has it
    task = None if place is None else place[0] + place[1].to_bytes(4, "big")
    output = future.output()  # type: ignore[attr-defined]
    return CallEnd(
        number, value, error, kind, found.traceback, output, timings.began, timings.ended, attempts, task
    )


def _traceback(error: BaseException) -> str:
    """Return the worker's traceback, without the frames that are ours."""
    cause = error.__cause__
    if cause is not None and type(cause).__name__ in ("RemoteTraceback", "_RemoteTraceback"):
        text = str(cause).strip().strip('"').strip("\n")
    else:
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return _OURS.sub("", text + "\n").rstrip()
