"""Tasks after their submission: how they are doing, how they ended, which are to be withdrawn."""

from __future__ import annotations

import time

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.protocol import frames
from compute_executor.protocol.ids import TaskPositions, by_batch, each_task, split_task_id, task_uuid
from compute_executor.service.api import documents
from compute_executor.service.api.context import identity_of, is_ours, json_answer, msgpack_answer, shell_of
from compute_executor.service.api.request_bodies import (
    MSGPACK,
    content_type,
    parse_uuid,
    read_json,
    read_msgpack,
    wants_msgpack,
)
from compute_executor.service.api.result_text import Part, answer_of, parts_of
from compute_executor.service.api.turns import in_turns
from compute_executor.service.limits import MAX_ANSWER, MAX_STATUS_QUERY


async def task(request: Request) -> Response:
    """``GET /v2/tasks/{id}``"""
    task_id = str(parse_uuid(request.path_params["id"], "task"))
    return answer_of(await _parts(request, task_id), shell_of(request).blobs)


async def batch_status(request: Request) -> Response:
    """``POST /v2/batch_status``: JSON, or msgpack of `TaskPositions`; results as documents, or as frames.Result where
    msgpack is accepted (then only of those that have ended). Results for which there is no room in one answer
    are told as if they were not there yet: whoever polls gets them the next time."""
    tasks = each_task(await _named_tasks(request))
    if wants_msgpack(request):
        return msgpack_answer(await _outcomes(request, tasks))
    return answer_of(await _documents(request, tasks), shell_of(request).blobs)


async def task_group(request: Request) -> Response:
    """``GET /v2/taskgroup/{id}``: the id is answered as it was asked, because the stock SDK compares it. That one
    then asks for what has ended, and listens at the group's queue for the rest."""
    group_id = request.path_params["id"]
    group = parse_uuid(group_id, "task group")
    if not is_ours(request):
        queues = shell_of(request).service.globus_compute.queues
        await queues.listened(identity_of(request), group.bytes)
    batches = shell_of(request).service.group_tasks(identity_of(request), group.bytes)
    dated = [(batch, documents.time_text(batch.created)) for batch in batches]
    tasks = ((batch.prefix, position, when) for batch, when in dated for position in range(batch.tasks))
    told = [
        {"id": task_uuid(prefix, position), "created_at": when}
        async for prefix, position, when in in_turns(tasks)
    ]
    return json_answer({"taskgroup_id": group_id, "create_websockets_queue": True, "tasks": told})


async def cancel(request: Request) -> Response:
    """``POST /v3/tasks/cancel``: which of the tasks surely will not run."""
    tasks = await _named_tasks(request)
    cancelled = await shell_of(request).service.cancel(identity_of(request), tasks)
    if wants_msgpack(request):
        return msgpack_answer(cancelled)
    ids = [task_uuid(prefix, position) async for prefix, position in in_turns(each_task(cancelled))]
    return json_answer({"cancelled": ids})


async def _named_tasks(request: Request) -> TaskPositions:
    """Return the tasks that a body names, by batch."""
    if content_type(request) == MSGPACK:
        named = read_msgpack(await request.body(), TaskPositions)
        _check_count(sum(len(positions) for _, positions in named))
        return named
    document = await read_json(request, documents.TaskIds)
    _check_count(len(document.task_ids))
    return by_batch(
        [split_task_id(parse_uuid(task_id, "task")) async for task_id in in_turns(document.task_ids)]
    )


def _check_count(count: int) -> None:
    if count > MAX_STATUS_QUERY:
        raise InvalidRequest(f"{count} tasks are asked about; the limit is {MAX_STATUS_QUERY}. Ask in parts")


async def _documents(request: Request, tasks: list[tuple[bytes, int]]) -> list[Part]:
    """Return the answer to a batch_status, in parts."""
    found: list[Part] = [b'{"response":"batch","results":{']
    room = MAX_ANSWER
    async for prefix, position in in_turns(tasks):
        task_id = task_uuid(prefix, position)
        parts = await _parts_or_unknown(request, task_id) if room > 0 else [_not_yet(task_id)]
        room -= sum(part.size if isinstance(part, frames.Blob) else len(part) for part in parts)
        found += [b',"%s":' % task_id.encode() if len(found) > 1 else b'"%s":' % task_id.encode(), *parts]
    return [*found, b"}}"]


def _not_yet(task_id: str) -> bytes:
    return msgspec.json.encode(documents.open_task(task_id, documents.RUNNING))


async def _parts(request: Request, task_id: str) -> list[Part]:
    shell = shell_of(request)
    view = shell.service.task(identity_of(request), *split_task_id(task_id))
    details = None if view.outcome is None else shell.service.task_details(view.outcome)
    return await parts_of(task_id, view, shell.blobs, details)


async def _parts_or_unknown(request: Request, task_id: str) -> list[Part]:
    try:
        return await _parts(request, task_id)
    except NotFound as error:
        _audit(request, error)
        return [msgspec.json.encode(documents.unknown_task(task_id, time.time()))]


async def _outcomes(request: Request, tasks: list[tuple[bytes, int]]) -> list[frames.Result]:
    found: list[frames.Result] = []
    room = MAX_ANSWER
    async for prefix, position in in_turns(tasks):
        result = _outcome(request, prefix, position)
        if result is not None:
            found.append(result)
            room -= len(result.body) if isinstance(result.body, bytes) else 0
        if room <= 0:
            break
    return found


def _audit(request: Request, error: NotFound) -> None:
    shell_of(request).service.audit.refused(identity_of(request), f"POST {request.url.path}", error)


def _outcome(request: Request, prefix: bytes, position: int) -> frames.Result | None:
    """Return how the task ended; None if it has not. An unknown one has ended too: nobody must wait for it for
    ever."""
    try:
        return shell_of(request).service.task(identity_of(request), prefix, position).outcome
    except NotFound as error:
        _audit(request, error)
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
