"""The end of one future by one outcome: a value, the original exception, or what kept the function from either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compute_executor.errors import ComputeError, InvalidRequest, ResultDecodeError, TaskCancelled
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import CANCELLED, VALUE, Blob, Result
from compute_executor.sdk.ending import ANYTHING, Reading
from compute_executor.serialization import exceptions
from compute_executor.serialization.python_versions import met, told

Fetch = Callable[[Blob], "bytes | memoryview"]
"""Function that returns the content of a blob."""


def settle(future: ComputeFuture[Any], result: Result, fetch: Fetch, reading: Reading = ANYTHING) -> None:
    """End ``future`` as ``result`` says, read by ``reading``. Never raises: bytes that make no object end it with
    ResultDecodeError."""
    try:
        body = fetch(result.body) if isinstance(result.body, Blob) else result.body
        if result.status == VALUE:
            future.finish(reading.value(body), result.began, result.ended)
            return
        error = reading.exception(result.status, body, future.task_id)
    except BaseException as trouble:  # unpickling runs the user's code, which may call sys.exit
        error = exceptions.detached(_undecodable(future, result, trouble))
    if result.status == CANCELLED and isinstance(error, TaskCancelled) and future.withdrawn():
        return
    future.fail(error, result.began, result.ended)


def _versions(future: ComputeFuture[Any]) -> str:
    """Return the versions on both sides, if the workers of the endpoint have named theirs."""
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
