"""Lists of task groups and tasks, everything about one of them, and its end."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.errors import InvalidRequest
from compute_executor.protocol.ids import split_task_id
from compute_executor.service.api.context import identity_of, json_answer, shell_of
from compute_executor.service.api.request_bodies import parse_uuid, read_json
from compute_executor.service.tasks.listing import TaskFilter


class CancelOptions(msgspec.Struct):
    """How to cancel. ``running``: stop also what has begun."""

    running: bool = False


async def groups(request: Request) -> Response:
    """``GET /v3/groups?limit=20&everybody=true&label=``"""
    query = request.query_params
    found = await shell_of(request).service.listing.groups(
        identity_of(request),
        everybody=query.get("everybody") == "true",
        limit=_number(query.get("limit", "20"), "limit"),
        label=query.get("label"),
    )
    return json_answer({"groups": found})


async def group(request: Request) -> Response:
    """``GET /v3/groups/{id}``"""
    named = parse_uuid(request.path_params["id"], "task group").bytes
    return json_answer(await shell_of(request).service.listing.group(identity_of(request), named))


async def tasks(request: Request) -> Response:
    """``GET /v3/tasks?group=&state=&function=&since=&limit=50&before=``: newest first. ``next`` in the answer is the
    ``before`` of the next part."""
    query = request.query_params
    named = query.get("group")
    wanted = TaskFilter(
        parse_uuid(named, "task group").bytes if named else None,
        query.get("state"),
        query.get("function"),
        float(_number(query.get("since", "0"), "since")),
        _number(query.get("limit", "50"), "limit"),
        _before(query.get("before")),
    )
    found, further = await shell_of(request).service.listing.tasks(identity_of(request), wanted)
    return json_answer({"tasks": found, "next": further})


async def task(request: Request) -> Response:
    """``GET /v3/tasks/{id}``"""
    prefix, position = split_task_id(parse_uuid(request.path_params["id"], "task"))
    return json_answer(shell_of(request).service.listing.task(identity_of(request), prefix, position))


async def task_output(request: Request) -> Response:
    """``GET /v3/tasks/{id}/output``: what it has printed, also while it runs."""
    prefix, position = split_task_id(parse_uuid(request.path_params["id"], "task"))
    return json_answer(shell_of(request).service.printed.of_task(identity_of(request), prefix, position))


async def group_output(request: Request) -> Response:
    """``GET /v3/groups/{id}/output?after=``: what its tasks have printed that ended after the answer whose ``after``
    this is, and those that run."""
    named = parse_uuid(request.path_params["id"], "task group").bytes
    text = request.query_params.get("after")
    after = None if text is None else _number(text, "after")
    return json_answer(shell_of(request).service.printed.of_group(identity_of(request), named, after))


async def figures(request: Request) -> Response:
    """``GET /v3/figures?everybody=true&only=tasks``: all that is kept by state and by function, and the rate; or only
    by state, which costs nothing that grows with the store."""
    query = request.query_params
    found = await shell_of(request).service.task_figures(
        identity_of(request),
        everybody=query.get("everybody") == "true",
        counts_only=query.get("only") == "tasks",
    )
    return json_answer(found)


async def resolve(request: Request) -> Response:
    """``GET /v3/resolve?name=``: the task or group that a short id or a label names."""
    name = request.query_params.get("name", "")
    return json_answer(shell_of(request).service.listing.resolve(identity_of(request), name))


async def cancel_group(request: Request) -> Response:
    """``POST /v3/groups/{id}/cancel``"""
    named = parse_uuid(request.path_params["id"], "task group").bytes
    options = await read_json(request, CancelOptions)
    report = await shell_of(request).service.cancel_group(
        identity_of(request), named, running=options.running
    )
    return json_answer(report._asdict())


async def cancel_task(request: Request) -> Response:
    """``POST /v3/tasks/{id}/cancel``"""
    prefix, position = split_task_id(parse_uuid(request.path_params["id"], "task"))
    options = await read_json(request, CancelOptions)
    report = await shell_of(request).service.cancel_task(
        identity_of(request), prefix, position, running=options.running
    )
    return json_answer(report._asdict())


def _number(text: str, name: str) -> int:
    """Return a whole number of at most 15 digits. Raises InvalidRequest."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise InvalidRequest(f"{name} is a whole number, not {text[:50]!r}")
    return int(text)


def _before(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    batch, _, position = text.partition(".")
    return _number(batch, "before"), _number(position, "before")


ROUTES = [
    Route("/v3/groups", groups, methods=["GET"]),
    Route("/v3/groups/{id}", group, methods=["GET"]),
    Route("/v3/groups/{id}/cancel", cancel_group, methods=["POST"]),
    Route("/v3/tasks", tasks, methods=["GET"]),
    Route("/v3/tasks/{id}", task, methods=["GET"]),
    Route("/v3/tasks/{id}/cancel", cancel_task, methods=["POST"]),
    Route("/v3/tasks/{id}/output", task_output, methods=["GET"]),
    Route("/v3/groups/{id}/output", group_output, methods=["GET"]),
    Route("/v3/figures", figures, methods=["GET"]),
    Route("/v3/resolve", resolve, methods=["GET"]),
]
