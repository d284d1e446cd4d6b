"""The same conversation by HTTP requests: one at a time, for what is rare, and while there is no stream."""

from __future__ import annotations

import json
import uuid
from typing import Any

import msgspec

from compute_executor.errors import ComputeError, from_document
from compute_executor.peer import OCTETS, ServiceEndpoint, request
from compute_executor.protocol.frames import (
    INLINE_LIMIT,
    Accepted,
    Blob,
    Body,
    OpenPool,
    Register,
    Registered,
    Submit,
)
from compute_executor.protocol.ids import TaskPositions, split_task_id

_encode = msgspec.msgpack.Encoder().encode
_registered = msgspec.msgpack.Decoder(Registered).decode
_accepted = msgspec.msgpack.Decoder(Accepted).decode
_tasks = msgspec.msgpack.Decoder(TaskPositions).decode


def put_blob(address: ServiceEndpoint, name: str, content: bytes) -> None:
    """Upload a large body. Raises ComputeError, as all of these do."""
    request(address, "PUT", f"/v3/blobs/{name}", content, kind=OCTETS)


def get_blob(address: ServiceEndpoint, blob: Blob) -> bytes:
    """Download a large body."""
    return request(address, "GET", f"/v3/blobs/{blob.name}")


def open_pool(address: ServiceEndpoint, frame: OpenPool) -> None:
    """Declare a pool."""
    request(address, "POST", "/v3/pools", _encode(frame))


def register(address: ServiceEndpoint, frame: Register) -> str:
    """Register a function; its id as text."""
    answer = _registered(request(address, "POST", "/v3/functions", _encode(frame)))
    if answer.error is not None:
        raise from_document(answer.error)
    return str(uuid.UUID(bytes=answer.function))


def submit(address: ServiceEndpoint, frame: Submit) -> None:
    """Submit a batch: whoever returns from here has it confirmed."""
    endpoint = uuid.UUID(bytes=frame.endpoint) if frame.endpoint else default_endpoint(address)
    _accepted(request(address, "POST", f"/v3/endpoints/{endpoint}/submit", _encode(frame)))


def default_endpoint(address: ServiceEndpoint) -> str:
    """The service's own endpoint."""
    found: list[dict[str, Any]] = json.loads(request(address, "GET", "/v2/endpoints"))
    if not found:
        raise ComputeError(f"the service at {address.url} has no endpoint")
    return str(found[0]["uuid"])


def cancel(address: ServiceEndpoint, tasks: TaskPositions) -> TaskPositions:
    """Withdraw what has not begun; which surely will not run."""
    return _tasks(request(address, "POST", "/v3/tasks/cancel", _encode(tasks)))


def group_tasks(address: ServiceEndpoint, group: uuid.UUID) -> dict[bytes, int]:
    """The batches of a task group in the order of their submission: prefix and number of tasks."""
    document = json.loads(request(address, "GET", f"/v2/taskgroup/{group}"))
    counts: dict[bytes, int] = {}
    for task in document["tasks"]:
        prefix, position = split_task_id(task["id"])
        counts[prefix] = max(counts.get(prefix, 0), position + 1)
    return counts


def body(address: ServiceEndpoint, content: bytes) -> Body:
    """The content as a body that a frame can hold, uploaded if it is large."""
    if len(content) <= INLINE_LIMIT:
        return content
    name = uuid.uuid4().hex
    put_blob(address, name, content)
    return Blob(name, len(content))
