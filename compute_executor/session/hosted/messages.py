"""A result as a stock endpoint writes it: one byte of version, then one JSON object ("messagepack").

The service passes it on as it came, so this is what lies in a result queue. Only values in here, no I/O.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from compute_executor.errors import InvalidRequest, ResultDecodeError
from compute_executor.protocol import frames
from compute_executor.sdk.outcome import FAILED, SUCCESS, Outcome
from compute_executor.serialization import packing, peer_json

VERSION = b"\x01"


class _Data(msgspec.Struct):
    task_id: uuid.UUID
    data: str
    details: dict[str, Any] | None = None
    error_details: dict[str, Any] | None = None


class _ResultEnvelope(msgspec.Struct):
    message_type: str
    data: _Data


def read(body: bytes) -> Outcome:
    """Return the outcome that a message tells. Raises ResultDecodeError for what is no result."""
    if body[:1] != VERSION:
        raise ResultDecodeError(f"a message of {len(body)} bytes begins with {body[:1]!r}, not {VERSION!r}")
    try:
        envelope = peer_json.decode(body[1:], _ResultEnvelope)
    except ValueError as error:
        raise ResultDecodeError(f"a message of {len(body)} bytes is no result: {error}") from None
    if envelope.message_type != "result":
        raise ResultDecodeError(f"a message of type {envelope.message_type} came where results come")
    return _outcome(envelope.data)


def task_id_of(body: bytes) -> str | None:
    """Return the task that an unreadable message is about, if that much can be seen."""
    start = body.find(b'"task_id"')
    quoted = body[start + 9 : start + 60].split(b'"') if start >= 0 else []
    try:
        return str(uuid.UUID(quoted[1].decode()))
    except (IndexError, ValueError):
        return None


def _outcome(data: _Data) -> Outcome:
    task_id = str(data.task_id)
    if data.error_details is not None:
        text = data.data.encode(errors="backslashreplace")
        return Outcome(task_id, FAILED, frames.EXCEPTION, text, details=data.details)
    try:
        body = packing.result_from_text(data.data)
    except InvalidRequest as error:
        raise ResultDecodeError(
            f"the result of task {task_id} is no buffer: {error}", task_id=task_id
        ) from None
    return Outcome(task_id, SUCCESS, frames.VALUE, body, details=data.details)
