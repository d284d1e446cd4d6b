"""An outcome as text: what a stock SDK reads, by HTTP or from a result queue."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from compute_executor.errors import ComputeError
from compute_executor.protocol import frames
from compute_executor.serialization import packing

ReadBody = Callable[[frames.Body], bytes]


def outcome_text(task_id: str, outcome: frames.Result, read: ReadBody) -> tuple[bool, str]:
    """Return whether a task succeeded, and its buffer or what went wrong. What cannot be read or said as text makes a
    failed task, not a failed request."""
    try:
        body = read(outcome.body)
        if outcome.status == frames.VALUE:
            return True, packing.result_to_text(body)
        return False, _failure(outcome.status, body)
    except (ComputeError, msgspec.MsgspecError) as error:
        return False, f"the outcome of task {task_id} cannot be told as text: {error}"


def _failure(status: int, body: bytes) -> str:
    """Return the text of an exception, or of the reason why there is none. Lone surrogates would be no JSON."""
    if status == frames.EXCEPTION:
        text = packing.exception_to_text(body)
    else:
        text = msgspec.msgpack.decode(body, type=frames.Reason).message
    return text.encode("utf-8", "backslashreplace").decode()
