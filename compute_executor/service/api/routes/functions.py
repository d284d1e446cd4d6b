"""Functions: registered by content, looked up, deleted."""

from __future__ import annotations

import asyncio
import uuid

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.errors import InvalidRequest
from compute_executor.protocol import frames
from compute_executor.serialization import packing
from compute_executor.serialization.content import digest
from compute_executor.service.api import documents
from compute_executor.service.api.context import identity_of, json_answer, msgpack_answer, shell_of
from compute_executor.service.api.paging import page_of
from compute_executor.service.api.request_bodies import (
    MSGPACK,
    content_type,
    parse_uuid,
    read_json,
    read_msgpack,
)


async def register(request: Request) -> Response:
    """``POST /v3/functions`` (and v2), JSON of a stock SDK or a frames.Register."""
    if content_type(request) == MSGPACK:
        return await _register_frame(request)
    document = await read_json(request, documents.FunctionDocument)
    container = parse_uuid(document.container_uuid, "container").bytes if document.container_uuid else None
    only_on = parse_uuid(document.ha_endpoint_id, "endpoint").bytes if document.ha_endpoint_id else None
    code = _code(document)
    function_id = await shell_of(request).service.register(
        identity_of(request),
        digest(code),
        document.function_name or document.entry_point,
        code,
        document.description or "",
        document.meta,
        document.public,
        document.group,
        container,
        only_on,
    )
    return json_answer({"function_uuid": str(uuid.UUID(bytes=function_id))})


def _code(document: documents.FunctionDocument) -> bytes:
    name = document.function_name or document.entry_point
    if not name.strip():
        raise InvalidRequest("a function has a name: function_name is missing or empty")
    if not document.function_code.strip():
        raise InvalidRequest(f"function {name[:100]} has no code: function_code is empty")
    if document.serialized:
        return packing.function_from_text(document.function_code)
    return packing.function_from_source(name, document.function_code)


async def _register_frame(request: Request) -> Response:
    """As on a stream: what the service refuses is in the answer."""
    frame = read_msgpack(await request.body(), frames.Register)
    return msgpack_answer(await shell_of(request).service.registered(identity_of(request), frame))


async def functions(request: Request) -> Response:
    """``GET /v2/functions?search=&limit=&offset=``: what the caller may run, its own first, then the newest, without
    code."""
    text, page = request.query_params.get("search", ""), page_of(request)
    service = shell_of(request).service
    found = service.find_functions(identity_of(request), text, limit=page.limit, offset=page.offset)
    return json_answer([documents.listed_function(row) for row in found])


async def function(request: Request) -> Response:
    """``GET /v2/functions/{id}``"""
    function_id = parse_uuid(request.path_params["id"], "function").bytes
    shell, who = shell_of(request), identity_of(request)
    row = shell.service.function(who, function_id)
    body = shell.service.function_body(who, function_id)

    def made() -> Response:
        return json_answer(documents.function(row, shell.blobs.read(body)))

    return await asyncio.to_thread(made) if isinstance(body, frames.Blob) else made()


async def delete(request: Request) -> Response:
    """``DELETE /v2/functions/{id}``"""
    function_id = parse_uuid(request.path_params["id"], "function")
    await shell_of(request).service.delete_function(identity_of(request), function_id.bytes)
    return json_answer({"function_uuid": str(function_id), "status": "deleted", "result": 302})


ROUTES = [
    Route("/v3/functions", register, methods=["POST"]),
    Route("/v2/functions", register, methods=["POST"]),
    Route("/v2/functions", functions, methods=["GET"]),
    Route("/v2/functions/{id}", function, methods=["GET"]),
    Route("/v2/functions/{id}", delete, methods=["DELETE"]),
]
