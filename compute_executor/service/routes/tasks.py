"""Tasks after their submission: how they are doing, how they ended, which are to be withdrawn."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.protocol import frames
from compute_executor.protocol.ids import split_task_id, task_uuid
from compute_executor.service import documents
from compute_executor.service.bodies import (
    MSGPACK,
    content_type,
    parse_uuid,
    read_json,
    read_msgpack,
    wants_msgpack,
)
from compute_executor.service.limits import MAX_STATUS_QUERY
from compute_executor.service.shell import identity_of, json_answer, msgpack_answer, shell_of

ByBatch = list[tuple[bytes, list[int]]]
"""Tasks as frames.Cancel has them: prefix and positions."""


async def task(request: Request) -> Response:
    """``GET /v2/tasks/{id}``"""
    task_id = str(parse_uuid(request.path_params["id"], "task"))
    return json_answer(_document(request, task_id))


async def batch_status(request: Request) -> Response:
    """``POST /v2/batch_status``: JSON, or msgpack of a `ByBatch`; results as documents, or as frames.Result where
    msgpack is accepted (then only of those that have ended)."""
    by_batch = await _named_tasks(request)
    if wants_msgpack(request):
        return msgpack_answer(_outcomes(request, by_batch))
    task_ids = [task_uuid(prefix, position) for prefix, positions in by_batch for position in positions]
    results = {task_id: _document_or_unknown(request, task_id) for task_id in task_ids}
    return json_answer({"response": "batch", "results": results})


async def task_group(request: Request) -> Response:
    """``GET /v2/taskgroup/{id}``: the id is answered as it was asked, because the stock SDK compares it."""
    group_id = request.path_params["id"]
    group = parse_uuid(group_id, "task group")
    batches = shell_of(request).service.group_tasks(identity_of(request), group.bytes)
    tasks = [{"id": task_uuid(prefix, position)} for prefix, count in batches for position in range(count)]
    return json_answer({"taskgroup_id": group_id, "tasks": tasks})


async def cancel(request: Request) -> Response:
    """``POST /v3/tasks/cancel``: which of the tasks surely will not run."""
    by_batch = await _named_tasks(request)
    cancelled = await shell_of(request).service.cancel(identity_of(request), by_batch)
    if wants_msgpack(request):
        return msgpack_answer(cancelled)
    task_ids = [task_uuid(prefix, position) for prefix, positions in cancelled for position in positions]
    return json_answer({"cancelled": task_ids})


async def _named_tasks(request: Request) -> ByBatch:
    """The tasks that a body names, by batch."""
    if content_type(request) == MSGPACK:
        by_batch = read_msgpack(await request.body(), ByBatch)
        _check_count(sum(len(positions) for _, positions in by_batch))
        return by_batch
    document = await read_json(request, documents.TaskIds)
    _check_count(len(document.task_ids))
    grouped: dict[bytes, list[int]] = {}
    for task_id in document.task_ids:
        prefix, position = split_task_id(parse_uuid(task_id, "task"))
        grouped.setdefault(prefix, []).append(position)
    return list(grouped.items())


def _check_count(count: int) -> None:
    if count > MAX_STATUS_QUERY:
        raise InvalidRequest(f"{count} tasks are asked about; the limit is {MAX_STATUS_QUERY}. Ask in parts")


def _document(request: Request, task_id: str) -> dict[str, Any]:
    shell = shell_of(request)
    view = shell.service.task(identity_of(request), *split_task_id(task_id))
    if view.outcome is None:
        return documents.open_task(task_id, view.status)
    return documents.ended_task(task_id, view.outcome, shell.blobs.read)


def _document_or_unknown(request: Request, task_id: str) -> dict[str, Any]:
    try:
        return _document(request, task_id)
    except NotFound:
        return documents.unknown_task(task_id, time.time())


def _outcomes(request: Request, by_batch: ByBatch) -> list[frames.Result]:
    return [
        result
        for prefix, positions in by_batch
        for position in positions
        if (result := _outcome(request, prefix, position)) is not None
    ]


def _outcome(request: Request, prefix: bytes, position: int) -> frames.Result | None:
    """How the task ended; None if it has not. An unknown one has ended too: nobody must wait for it for ever."""
    try:
        return shell_of(request).service.task(identity_of(request), prefix, position).outcome
    except NotFound as error:
        reason = frames.Reason(f"the service knows no such task: {error}", began=False, attempts=0)
        return frames.Result(
            0, prefix, position, frames.LOST, msgspec.msgpack.encode(reason), 0.0, time.time()
        )


ROUTES = [
    Route("/v2/tasks/{id}", task, methods=["GET"]),
    Route("/v2/batch_status", batch_status, methods=["POST"]),
    Route("/v2/taskgroup/{id}", task_group, methods=["GET"]),
    Route("/v3/tasks/cancel", cancel, methods=["POST"]),
]
