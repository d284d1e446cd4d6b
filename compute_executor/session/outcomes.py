"""One outcome into one future: a value, the original exception, or what kept the function from either."""

from __future__ import annotations

from collections.abc import Callable
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
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import (
    BROKEN,
    CANCELLED,
    EXCEPTION,
    LOST,
    REFUSED,
    TIMEOUT,
    VALUE,
    Blob,
    Reason,
    Result,
)
from compute_executor.serialization import exceptions, native, packing, strategies
from compute_executor.serialization.python_versions import met, told
from compute_executor.serialization.raised import raised

Fetch = Callable[[Blob], "bytes | memoryview"]
"""Gets the content of a blob."""

_reason = msgspec.msgpack.Decoder(Reason).decode


def settle(future: ComputeFuture[Any], result: Result, fetch: Fetch) -> None:
    """End ``future`` as ``result`` says. Never raises: bytes that make no object end it with ResultDecodeError."""
    try:
        body = fetch(result.body) if isinstance(result.body, Blob) else result.body
        if result.status == VALUE:
            future.finish(value_of(body), result.began, result.ended)
            return
        error = _error(future, result.status, body)
    except BaseException as trouble:  # unpickling runs the user's code, which may call sys.exit
        error = exceptions.detached(_undecodable(future, result, trouble))
    if isinstance(error, TaskCancelled) and future.withdrawn():
        return
    future.fail(error, result.began, result.ended)


def value_of(body: bytes | memoryview) -> Any:
    """The object in a result's body: a stream, or from a stock worker that chose so a text buffer."""
    if body[:1] == b"\x80":
        return native.loads(body)
    try:
        return strategies.loads(packing.result_to_text(bytes(body)))
    except (InvalidRequest, IndexError) as error:
        raise ResultDecodeError(
            f"{len(body)} bytes cannot be read: neither a pickle stream nor a text buffer ({error})"
        ) from None


def _error(future: ComputeFuture[Any], status: int, body: bytes | memoryview) -> BaseException:
    if status == EXCEPTION:
        return raised(body, future.task_id)
    if status not in (LOST, CANCELLED, TIMEOUT, BROKEN, REFUSED):
        raise ResultDecodeError(f"the outcome has status {status}, which is unknown here: a newer service?")
    reason = _reason(body)
    if status in (LOST, BROKEN):
        kind = WorkerLost if status == LOST else PoolBroken
        return kind(
            reason.message,
            task_id=future.task_id,
            exit_code=reason.exit_code,
            began=reason.began,
            attempts=reason.attempts,
        )
    return _PLAIN[status](reason.message, task_id=future.task_id)


_PLAIN: dict[int, type[ComputeError]] = {
    CANCELLED: TaskCancelled,
    TIMEOUT: TaskTimeout,
    REFUSED: NotAuthorized,
}
"""Errors that need no more than the message."""


def _versions(future: ComputeFuture[Any]) -> str:
    """Which versions met, if the workers of its endpoint have said what theirs are."""
    there = told(future.endpoint_id or "")
    return f". {met(there)}" if there else ""


def _undecodable(future: ComputeFuture[Any], result: Result, trouble: BaseException) -> ComputeError:
    if isinstance(trouble, ComputeError) and not isinstance(trouble, InvalidRequest):  # that is said of text
        trouble.task_id = future.task_id
        if isinstance(trouble, ResultDecodeError):
            trouble.args = (f"{trouble.args[0]}{_versions(future)}", *trouble.args[1:])
        return trouble
    size = result.body.size if isinstance(result.body, Blob) else len(result.body)
    error = ResultDecodeError(
        f"the outcome of task {future.task_id} ({size} bytes, status {result.status}) cannot be read: "
        f"{type(trouble).__name__}: {trouble}{_versions(future)}",
        task_id=future.task_id,
    )
    error.__cause__ = trouble
    return error
