"""How a task ended, decoded: its value, or the exception that its caller gets. The one place for both.

Used for results of the stream, of our HTTP API and of Globus Compute.
"""

from __future__ import annotations

from typing import Any

import msgspec

from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotAuthorized,
    PoolBroken,
    ResultDecodeError,
    TaskCancelled,
    TaskTimeout,
    WorkerLost,
)
from compute_executor.protocol.frames import BROKEN, CANCELLED, EXCEPTION, LOST, REFUSED, TIMEOUT, Reason
from compute_executor.serialization import native, packing, strategies
from compute_executor.serialization.raised import raised

_reason = msgspec.msgpack.Decoder(Reason).decode

_WITH_MESSAGE: dict[int, type[ComputeError]] = {
    CANCELLED: TaskCancelled,
    TIMEOUT: TaskTimeout,
    REFUSED: NotAuthorized,
}
"""Errors that need no more than the message."""

_OF_WORKERS: dict[int, type[WorkerLost]] = {LOST: WorkerLost, BROKEN: PoolBroken}


def value_of(body: bytes | memoryview) -> Any:
    """The object in a result's body: a pickle stream, or a text buffer where a stock worker chose so.

    Raises ResultDecodeError, or whatever unpickling raises.
    """
    if body[:1] == b"\x80":
        return native.loads(body)
    try:
        return strategies.loads(packing.result_to_text(bytes(body)))
    except (InvalidRequest, IndexError) as error:
        raise ResultDecodeError(
            f"{len(body)} bytes cannot be read: neither a pickle stream nor a text buffer ({error})"
        ) from None


def exception_of(status: int, body: bytes | memoryview, task_id: str | None) -> BaseException:
    """The exception of a task that ended with this status of `frames`, which is not VALUE.

    Raises ResultDecodeError for a status or a body that is none, and whatever unpickling raises.
    """
    if status == EXCEPTION:
        return raised(body, task_id)
    if status not in _WITH_MESSAGE and status not in _OF_WORKERS:
        raise ResultDecodeError(
            f"the outcome has status {status}, which is unknown here: a newer service?", task_id=task_id
        )
    try:
        reason = _reason(body)
    except (ValueError, RecursionError) as error:
        raise ResultDecodeError(
            f"why it ended ({len(body)} bytes, status {status}) cannot be read: {error}", task_id=task_id
        ) from error
    if status in _WITH_MESSAGE:
        return _WITH_MESSAGE[status](reason.message, task_id=task_id)
    return _OF_WORKERS[status](
        reason.message,
        task_id=task_id,
        exit_code=reason.exit_code,
        began=reason.began,
        attempts=reason.attempts,
    )
