"""The JSON that stock SDKs send and expect (globus-compute-sdk 4.19 and funcX SDK 0.3 to 2.2).

What they send is a `msgspec.Struct` each; fields that we do not use are not listed and so ignored. What they
expect is made by a function each. No route, no service in here: values in, values out.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from compute_executor._version import __version__
from compute_executor.protocol import frames
from compute_executor.serialization import packing
from compute_executor.service.access import subject
from compute_executor.service.endpoints.ids import BUILT_IN
from compute_executor.service.tasks.outcome_text import ReadBody, outcome_text

if TYPE_CHECKING:
    from compute_executor.errors import ComputeError
    from compute_executor.service.endpoints.rows import EndpointRow
    from compute_executor.service.store.rows import FunctionRow

API_VERSION = "2.0.0"
OLDEST_SDK = "0.3.0"
"""The first SDK with task groups and streamed results."""

WAITING, RUNNING, SUCCESS, FAILED = "waiting-for-ep", "running", "success", "failed"


# -- what they send -----------------------------------------------------------------------------------------


class FunctionDocument(msgspec.Struct):
    """A registration. ``serialized: false``: the code is bare source. v2 puts ``entry_point`` for what is the
    name today."""

    function_code: str
    function_name: str = ""
    entry_point: str = ""
    serialized: bool = True
    description: str | None = None
    meta: dict[str, Any] = {}
    public: bool = False
    group: str | None = None
    container_uuid: str | None = None
    ha_endpoint_id: str | None = None


class SubmitDocument(msgspec.Struct):
    """A batch as of v3: payloads by function, in order."""

    tasks: dict[str, list[str]]
    task_group_id: str | None = None
    resource_specification: dict[str, Any] | None = None
    create_queue: bool = False
    user_endpoint_config: dict[str, Any] | None = None
    user_runtime: dict[str, Any] | None = None
    result_serializers: list[str] | None = None


class EndpointDocument(msgspec.Struct):
    """What an endpoint says of itself when it registers."""

    endpoint_name: str
    display_name: str | None = None
    multi_user: bool | None = None
    metadata: dict[str, Any] | None = None
    allowed_functions: list[str] | None = None
    public: bool | None = None
    group: str | None = None
    description: str | None = None
    subscription_uuid: str | None = None
    high_assurance: bool | None = None


class LegacySubmitDocument(msgspec.Struct):
    """A batch as of v2: (function, endpoint, payload) each."""

    tasks: list[tuple[str, str, str]]
    task_group_id: str | None = None


class TaskIds(msgspec.Struct):
    """The body of batch_status and cancel."""

    task_ids: list[str]


# -- what they expect ---------------------------------------------------------------------------------------


def version(instance: str) -> dict[str, Any]:
    """Return the version document. ``instance`` tells our own clients which run of a service this is."""
    return {
        "api": API_VERSION,
        "min_sdk_version": OLDEST_SDK,
        "min_ep_version": OLDEST_SDK,
        "min_endpoint_version": OLDEST_SDK,
        "git_sha": f"v{__version__}",  # an installed package knows no commit, but the tag of its release
        "compute_executor": __version__,
        "protocol": frames.PROTOCOL,
        "instance": instance,
    }


def function(row: FunctionRow, code: bytes) -> dict[str, Any]:
    """Return a registered function with its packed code."""
    return {**listed_function(row), "function_code": packing.function_to_text(code)}


def listed_function(row: FunctionRow) -> dict[str, Any]:
    """Return a registered function without its code."""
    return {
        "function_uuid": str(uuid.UUID(bytes=row.id)),
        "function_name": row.name,
        "description": row.description,
        "metadata": row.metadata,
        "public": row.public,
        "group": row.group,
        "ha_endpoint_id": str(uuid.UUID(bytes=row.only_on)) if row.only_on else None,
    }


def submitted(
    request_id: uuid.UUID, endpoint: uuid.UUID, group: bytes, ids: list[str], counts: dict[str, int]
) -> dict[str, Any]:
    """Return the answer to a v3 submit: the ids of the tasks in the order sent. ``counts``: tasks by function."""
    tasks: dict[str, list[str]] = {}
    position = 0
    for function_id, count in counts.items():
        tasks[function_id] = ids[position : position + count]
        position += count
    return {
        "request_id": str(request_id),
        "task_group_id": str(uuid.UUID(bytes=group)),
        "endpoint_id": str(endpoint),
        "tasks": tasks,
    }


def time_text(when: float) -> str:
    """Return a Unix time as stock documents have it: ISO 8601, of UTC, which is not said."""
    return datetime.fromtimestamp(when, timezone.utc).replace(tzinfo=None).isoformat()


def accepted_task(task_id: str) -> dict[str, Any]:
    """Return what the answer to a v2 submit says of a task that was accepted."""
    return {"status": "success", "task_uuid": task_id, "http_status_code": 200, "reason": None}


def refused_task(error: ComputeError) -> dict[str, Any]:
    """Return what the answer to a v2 submit says of a task that was not accepted."""
    code = error.http_status
    return {"status": "failed", "task_uuid": None, "http_status_code": code, "reason": error.message}


def legacy_submitted(group: str, results: list[dict[str, Any]], *, whole: bool) -> dict[str, Any]:
    """Return the answer to a v2 submit. ``results``: of each task, in the order sent; ``whole``: all were
    accepted."""
    return {"response": "success" if whole else "failed", "task_group_id": group, "results": results}


def open_task(task_id: str, status: str) -> dict[str, Any]:
    """Return the document of a task that has not ended."""
    return {"task_id": task_id, "status": status}


def ended_task(
    task_id: str, outcome: frames.Result, read: ReadBody, details: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the document of a task that has ended. ``read`` fetches a body that lies in a file; ``details``: what
    the worker said of itself."""
    document = {"task_id": task_id, "completion_t": str(outcome.ended), "details": details}
    success, text = outcome_text(task_id, outcome, read)
    if success:
        return {**document, "status": SUCCESS, "result": text}
    return {**document, "status": FAILED, "exception": text, "reason": text}


def large_task(task_id: str, outcome: frames.Result, details: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the document of a task that has succeeded, without its result, which is written after it."""
    return {"task_id": task_id, "completion_t": str(outcome.ended), "details": details, "status": SUCCESS}


def unknown_task(task_id: str, now: float) -> dict[str, Any]:
    """In a batch_status: an id that is nobody's must not make the others' documents fail."""
    text = f"there is no task {task_id} for you"
    return {"task_id": task_id, "status": FAILED, "completion_t": str(now), "exception": text, "reason": text}


def endpoint() -> dict[str, Any]:
    """Return the built-in endpoint, as endpoint lists and lookups show it."""
    return {
        "uuid": str(BUILT_IN),
        "name": "built-in",
        "built_in": True,
        "display_name": "The worker processes of this service",
        "multi_user": False,
        "public": False,
    }


def registered_endpoint(row: EndpointRow) -> dict[str, Any]:
    """Return a registered endpoint, as lists show it."""
    return {
        "uuid": str(row.id),
        "kind": row.kind,
        "name": row.name,
        "display_name": row.display_name,
        "multi_user": row.multi_user,
        "public": row.public,
        "owner": subject(row.owner),
        "owner_id": subject(row.owner),
        **{name: row.metadata[name] for name in _SHOWN if name in row.metadata},
    }


def whole_endpoint(row: EndpointRow, *, managed: bool) -> dict[str, Any]:
    """Return a registered endpoint, as a lookup shows it: all that it said of itself. ``managed``: to somebody who
    may change it, who may read its configuration too."""
    said = {name: row.metadata.get(name) for name in (*_DESCRIBED, *(_CONFIGURATION if managed else ()))}
    return {**registered_endpoint(row), **said}


_SHOWN = ("endpoint_version", "python_version", "hostname", "local_user", "user_config_schema")
"""Of an endpoint's metadata, what everybody who may use it sees."""
_DESCRIBED = ("description", "sdk_version", "subscription_uuid", "high_assurance")
_CONFIGURATION = ("endpoint_config", "user_config_template")
"""It may hold what is only for its owner."""


def registered_endpoint_status(online: bool, row: EndpointRow) -> dict[str, Any]:
    """Return whether it was heard of late, and what it said."""
    return {"status": "online" if online else "offline", "details": row.state}


def endpoint_status(overview: dict[str, Any]) -> dict[str, Any]:
    """It is online as long as there is anybody to ask."""
    return {"status": "online", "details": overview}
