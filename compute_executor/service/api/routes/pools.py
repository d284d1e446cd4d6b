"""Pools over HTTP, for our client while its stream is down (OpenPool and ClosePool of the stream)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.protocol import frames
from compute_executor.service.api.context import identity_of, json_answer, shell_of
from compute_executor.service.api.error_responses import refusal
from compute_executor.service.api.request_bodies import MSGPACK, content_type, parse_uuid, read_msgpack


async def open_pool(request: Request) -> Response:
    """``POST /v3/pools``, a frames.OpenPool."""
    if content_type(request) != MSGPACK:
        raise refusal(415, f"this route takes {MSGPACK} only")
    frame = read_msgpack(await request.body(), frames.OpenPool)
    await shell_of(request).service.open_pool(identity_of(request), frame.pool, frame.spec)
    return json_answer({"pool": frame.pool.hex()})


async def close_pool(request: Request) -> Response:
    """``DELETE /v3/pools/{id}``: its workers end when it is empty."""
    pool = parse_uuid(request.path_params["id"], "pool")
    shell_of(request).service.close_pool(identity_of(request), pool.bytes)
    return json_answer({"pool": pool.hex})


ROUTES = [
    Route("/v3/pools", open_pool, methods=["POST"]),
    Route("/v3/pools/{id}", close_pool, methods=["DELETE"]),
]
