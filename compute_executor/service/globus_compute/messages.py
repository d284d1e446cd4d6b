r"""What is said over the broker: "messagepack", which is JSON after one byte (globus-compute-common 1.0).

    \x01{"message_type": "task", "data": {...}}

Values in, values out.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, NamedTuple

import msgspec

from compute_executor.errors import InvalidRequest
from compute_executor.protocol import frames
from compute_executor.protocol.ids import split_task_id
from compute_executor.serialization import packing, peer_json
from compute_executor.serialization.traceback_text import raised_by, summary

VERSION = b"\x01"
NANOSECONDS = 1e9


class ErrorDetails(msgspec.Struct):
    """Of a result that is an error. ``code``: ``RemoteExecutionError``, ``MaxResultSizeExceeded`` ..."""

    code: str = ""
    user_message: str = ""


class Transition(msgspec.Struct):
    """When a task came into a state, in nanoseconds of the clock there."""

    timestamp: int
    state: str


class ResultData(msgspec.Struct):
    """One task has ended. ``data``: a buffer, or with ``error_details`` the text of a traceback."""

    task_id: uuid.UUID
    data: str
    details: dict[str, Any] | None = None
    error_details: ErrorDetails | None = None
    task_statuses: list[Transition] | None = None


class ReportData(msgspec.Struct):
    """A heartbeat. ``ep_status_report`` is another name for ``global_state``."""

    endpoint_id: uuid.UUID
    global_state: dict[str, Any] = {}
    ep_status_report: dict[str, Any] = {}

    @property
    def state(self) -> dict[str, Any]:
        """What the endpoint says of itself."""
        return self.global_state or self.ep_status_report


class _MessageEnvelope(msgspec.Struct):
    message_type: str
    data: msgspec.Raw


class ResultMessage(NamedTuple):
    """What a result means: as `endpoint.pool.events.TaskEnded` has it, for a task named by prefix and position."""

    prefix: bytes
    position: int
    status: int
    body: bytes
    began: float
    ended: float
    details: dict[str, Any] | None


def _pack(kind: str, data: dict[str, Any]) -> bytes:
    return VERSION + msgspec.json.encode({"message_type": kind, "data": data})


def _unpack(body: bytes, kind: str) -> msgspec.Raw:
    if body[:1] != VERSION:
        raise InvalidRequest(f"a message of version {body[:1]!r}, {VERSION!r} is understood")
    envelope = peer_json.decode(body[1:], _MessageEnvelope)
    if envelope.message_type != kind:
        raise InvalidRequest(f"a message of type {envelope.message_type[:50]}, not {kind}")
    return envelope.data


def task(task_id: str, buffer: str) -> bytes:
    """Return the message of one task. ``buffer``: function, args and kwargs, packed."""
    return _pack("task", {"task_id": task_id, "container_id": None, "task_buffer": buffer, "container": None})


def task_headers(
    task_id: str, function: bytes, resources: dict[str, Any] | None, serializers: list[str] | None
) -> dict[str, Any]:
    """Return what a user endpoint looks at before it reads the message."""
    return {
        "task_uuid": task_id,
        "function_uuid": str(uuid.UUID(bytes=function)),
        "resource_specification": json.dumps(resources),
        "result_serializers": serializers or [],
    }


def read_result(body: bytes) -> ResultData:
    """Return the message of one result. Raises InvalidRequest."""
    try:
        return peer_json.decode(bytes(_unpack(body, "result")), ResultData)
    except ValueError as error:
        raise InvalidRequest(f"a message of {len(body)} bytes is no result: {error}") from None


def read_report(body: bytes) -> ReportData:
    """Return the message of one heartbeat. Raises InvalidRequest."""
    try:
        return peer_json.decode(bytes(_unpack(body, "ep_status_report")), ReportData)
    except ValueError as error:
        raise InvalidRequest(f"a message of {len(body)} bytes is no heartbeat: {error}") from None


def outcome(result: ResultData, now: float) -> ResultMessage:
    """Return what a result means. One that cannot be read is an outcome, too: its task must end."""
    prefix, position = split_task_id(result.task_id)
    began, ended = _times(result, now)
    status, body = _status_and_body(result)
    return ResultMessage(prefix, position, status, body, began, ended, result.details)


def _status_and_body(result: ResultData) -> tuple[int, bytes]:
    failure = result.error_details
    if failure is not None:
        raised = raised_by(result.data)  # what endpoints say beside it is the same for every exception
        name, message = raised or (failure.code, failure.user_message)
        short = name.rpartition(".")[2] if raised else name
        return frames.EXCEPTION, packing.exception_from_text(short, message, result.data)
    try:
        return frames.VALUE, packing.result_from_text(result.data)
    except InvalidRequest as error:
        text = f"the endpoint's result of {len(result.data)} characters is malformed: {error}"
        return frames.EXCEPTION, packing.exception_from_text("ResultDecodeError", text, text)


def _times(result: ResultData, now: float) -> tuple[float, float]:
    """Unix times of the begin and the end there; 0 and now where they are not told."""
    times = {one.state: one.timestamp / NANOSECONDS for one in result.task_statuses or ()}
    return times.get("execution-start", 0.0), times.get("execution-end", now)


def result(task_id: str, outcome: frames.Result, text: str, details: dict[str, Any] | None) -> bytes:
    """Return the message of one result for an SDK. ``text``: the buffer, or what went wrong."""
    failed = outcome.status != frames.VALUE
    return _pack(
        "result",
        {
            "task_id": task_id,
            "data": text,
            "details": details,
            "error_details": {"code": _CODES[outcome.status], "user_message": summary(text)}
            if failed
            else None,
            "task_statuses": [
                _transition("execution-start", outcome.began),
                _transition("execution-end", outcome.ended),
            ]
            if outcome.began
            else [],
        },
    )


_CODES = {
    frames.EXCEPTION: "RemoteExecutionError",
    frames.LOST: "WorkerLost",
    frames.CANCELLED: "TaskCancelled",
    frames.TIMEOUT: "TaskTimeout",
    frames.BROKEN: "PoolBroken",
    frames.REFUSED: "NotAuthorized",
}


def _transition(state: str, when: float) -> dict[str, Any]:
    return {"timestamp": int(when * NANOSECONDS), "state": state, "actor": "worker"}
