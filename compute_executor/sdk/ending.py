"""How a task ended, decoded: its value, or the exception that its caller gets. The one place for both.

Used for results of the stream, of our HTTP API and of Globus Compute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from compute_executor.errors import (
    ComputeError,
    DeserializationError,
    InvalidArgument,
    InvalidRequest,
    NotAuthorized,
    PoolBroken,
    ResultDecodeError,
    TaskCancelled,
    TaskExecutionFailed,
    TaskTimeout,
    WorkerLost,
)
from compute_executor.protocol.frames import BROKEN, CANCELLED, EXCEPTION, LOST, REFUSED, TIMEOUT, Reason
from compute_executor.serialization import json_form, native, packing, strategies
from compute_executor.serialization.raised import raised
from compute_executor.serialize import ComputeSerializer, DillDataBase64

_reason = msgspec.msgpack.Decoder(Reason).decode

_PICKLE = b"\x80"

_WITH_MESSAGE: dict[int, type[ComputeError]] = {
    CANCELLED: TaskCancelled,
    TIMEOUT: TaskTimeout,
    REFUSED: NotAuthorized,
}
"""Errors that need no more than the message."""

_OF_WORKERS: dict[int, type[WorkerLost]] = {LOST: WorkerLost, BROKEN: PoolBroken}


def value_of(body: bytes | memoryview) -> Any:
    """Return the object in a result's body: a pickle stream, or a text buffer where a stock worker chose so.

    Raises ResultDecodeError, or whatever unpickling raises.
    """
    if body[:1] == _PICKLE:
        return native.loads(body)
    return strategies.loads(_text(bytes(body)))


def _text(body: bytes) -> str:
    """Return the text buffer in a body that is no pickle stream. Raises ResultDecodeError."""
    try:
        return packing.result_to_text(body)
    except (InvalidRequest, IndexError) as error:
        raise ResultDecodeError(
            f"{len(body)} bytes cannot be read: neither a pickle stream nor a text buffer ({error})"
        ) from None


def value_allowed(body: bytes, serializer: ComputeSerializer) -> Any:
    """Return the object in a result's body, read by what the ``serializer`` allows. Raises DeserializationError."""
    if body[:1] != _PICKLE:
        return serializer.deserialize(_text(body))
    if DillDataBase64 in serializer.allowed_deserializer_types:
        return native.loads(body)
    raise DeserializationError(
        f"the result is a pickle stream of {len(body)} bytes, which this Client's allow list forbids to read. Ask "
        "for another form: create_batch(result_serializers=['globus_compute_sdk.serialize.JSONData'])"
    )


def exception_allowed(status: int, body: bytes, task_id: str, serializer: ComputeSerializer) -> BaseException:
    """Return the exception of a task; where it is a pickle stream that the ``serializer`` does not allow, only that
    there was one. Raises as :func:`exception_of`."""
    pickled = status == EXCEPTION and body[:1] == _PICKLE
    if pickled and DillDataBase64 not in serializer.allowed_deserializer_types:
        return TaskExecutionFailed(
            f"task {task_id} failed; its exception is a pickle stream of {len(body)} bytes, which this Client's "
            "allow list forbids to read",
            task_id=task_id,
        )
    return exception_of(status, body, task_id)


def exception_of(status: int, body: bytes | memoryview, task_id: str | None) -> BaseException:
    """Return the exception of a task that ended with this status of `frames`, which is not VALUE.

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


class Reading(NamedTuple):
    """How a client makes objects of outcomes. ``value``: of the body of a VALUE. ``exception``: of status, body and
    task id of anything else. ``raised_in_chunk``: of what a task of many calls says of the one that raised. They
    raise as :func:`value_of` and :func:`exception_of` do."""

    value: Callable[[bytes | memoryview], Any]
    exception: Callable[[int, bytes | memoryview, str | None], BaseException]
    raised_in_chunk: Callable[[Any], BaseException] = raised


def _json_exception(status: int, body: bytes | memoryview, task_id: str | None) -> BaseException:
    return json_form.raised(body, task_id) if status == EXCEPTION else exception_of(status, body, task_id)


ANYTHING = Reading(value_of, exception_of)
"""Whatever workers send: unpickling runs code that they choose."""

JSON_ONLY = Reading(json_form.value_of, _json_exception, json_form.raised_in_chunk)
"""JSON, and the texts of exceptions: nothing is unpickled."""


def allowing(serializer: ComputeSerializer) -> Reading:
    """Return what the allow list of a serializer allows, and nothing else."""
    return Reading(
        lambda body: value_allowed(bytes(body), serializer),
        lambda status, body, task_id: exception_allowed(status, bytes(body), task_id or "", serializer),
    )


def reading_of(serializer: ComputeSerializer | str | None) -> Reading:
    """Return how outcomes are read with this ``serializer`` of an Executor or Client."""
    if serializer is None:
        return ANYTHING
    if isinstance(serializer, str):
        return JSON_ONLY
    return allowing(serializer) if serializer.allowed_deserializer_types else ANYTHING


JSON = "json"
"""The name of the form in which nothing is unpickled, as users give it."""


def check_serializer(serializer: Any) -> str | None:
    """``serializer`` of a Client: None or "json". Raises ValueError."""
    if serializer is None or (isinstance(serializer, str) and serializer == JSON):
        return serializer
    raise ValueError(
        f'serializer must be "json" or None, not {serializer!r:.100}: strategies of compute_executor.serialize are '
        "given as code_serialization_strategy and data_serialization_strategy, or as result_serializers"
    )


def check_executors_serializer(serializer: Any) -> ComputeSerializer | str | None:
    """``serializer`` of an Executor: None, "json" or a ComputeSerializer. Raises InvalidArgument."""
    if isinstance(serializer, ComputeSerializer):
        return serializer
    if serializer is None or (isinstance(serializer, str) and serializer == JSON):
        return serializer
    raise InvalidArgument(
        f'serializer must be "json", a compute_executor.serialize.ComputeSerializer or None, not {serializer!r:.100}'
    )
