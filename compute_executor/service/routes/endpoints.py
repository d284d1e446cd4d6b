"""Endpoints: for now the built-in one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.service import documents
from compute_executor.service.bodies import parse_uuid
from compute_executor.service.endpoint_ids import resolve
from compute_executor.service.shell import json_answer, shell_of


async def endpoints(_request: Request) -> Response:
    """``GET /v2/endpoints?role=``: all that the caller may use."""
    return json_answer([documents.endpoint()])


async def endpoint(request: Request) -> Response:
    """``GET /v2/endpoints/{id}``"""
    resolve(parse_uuid(request.path_params["id"], "endpoint"))
    return json_answer(documents.endpoint())


async def status(request: Request) -> Response:
    """``GET /v2/endpoints/{id}/status``"""
    resolve(parse_uuid(request.path_params["id"], "endpoint"))
    return json_answer(documents.endpoint_status(shell_of(request).service.overview()))


ROUTES = [
    Route("/v2/endpoints", endpoints, methods=["GET"]),
    Route("/v2/endpoints/{id}", endpoint, methods=["GET"]),
    Route("/v2/endpoints/{id}/status", status, methods=["GET"]),
]
