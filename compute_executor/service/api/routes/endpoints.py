"""Endpoints: the built-in one, and those that registered themselves."""

from __future__ import annotations

import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.service.access import may
from compute_executor.service.api import documents
from compute_executor.service.api.context import identity_of, json_answer, shell_of
from compute_executor.service.api.paging import page_of
from compute_executor.service.api.request_bodies import parse_uuid, read_json
from compute_executor.service.endpoints.ids import BUILT_IN, is_built_in
from compute_executor.service.endpoints.registry import registration
from compute_executor.service.endpoints.rows import EndpointRow


async def endpoints(request: Request) -> Response:
    """``GET /v2/endpoints?role=&limit=&offset=``: those that the caller may use, its own first."""
    service, page = shell_of(request).service, page_of(request)
    found = service.endpoints.visible(identity_of(request), request.query_params.get("role"))
    listed = [documents.endpoint(), *map(documents.registered_endpoint, found)]
    return json_answer(listed[page.offset :][: page.limit])


async def endpoint(request: Request) -> Response:
    """``GET /v2/endpoints/{id}``"""
    row = _row(request)
    if row is None:
        return json_answer(documents.endpoint())
    versions = shell_of(request).service.worker_versions(row)
    managed = may(identity_of(request), "manage endpoint", row.owned)
    return json_answer({**documents.whole_endpoint(row, managed=managed), **versions})


async def status(request: Request) -> Response:
    """``GET /v2/endpoints/{id}/status``"""
    row, service = _row(request), shell_of(request).service
    if row is None:
        return json_answer(documents.endpoint_status(service.figures(identity_of(request))))
    return json_answer(documents.registered_endpoint_status(service.is_online(row), row))


async def register(request: Request) -> Response:
    """``POST /v3/endpoints``, ``POST /v2/endpoints``, ``PUT /v3/endpoints/{id}``: register a stock endpoint; the
    answer names its queues."""
    said = registration(await read_json(request, documents.EndpointDocument))
    endpoint_id = _id(request) if "id" in request.path_params else None
    globus_compute = shell_of(request).service.globus_compute
    return json_answer(await globus_compute.register(identity_of(request), said, endpoint_id))


async def lock(request: Request) -> Response:
    """``POST /v3/endpoints/{id}/lock``, ``POST /v2/endpoints/{id}/lock``: it cannot register for a while."""
    endpoint_id = _id(request)
    until = await shell_of(request).service.endpoints.lock(identity_of(request), endpoint_id)
    expiration = documents.time_text(until)
    return json_answer({"endpoint_id": str(endpoint_id), "lock_expiration_timestamp": expiration})


async def delete(request: Request) -> Response:
    """``DELETE /v2/endpoints/{id}``"""
    endpoint_id = _id(request)
    await shell_of(request).service.delete_endpoint(identity_of(request), endpoint_id)
    return json_answer({"endpoint_id": str(endpoint_id), "result": 302})


async def allowed_functions(request: Request) -> Response:
    """``GET /v3/endpoints/{id}/allowed_functions``"""
    row = _row(request)
    allowed = row.allowed if row else None
    document: dict[str, Any] = {"endpoint_id": str(row.id if row else BUILT_IN)}
    return json_answer({**document, "restricted": allowed is not None, "functions": allowed or []})


def _id(request: Request) -> uuid.UUID:
    return parse_uuid(request.path_params["id"], "endpoint")


def _row(request: Request) -> EndpointRow | None:
    """Return the endpoint that is asked about; None if it is the built-in one. Raises NotFound."""
    endpoint_id = _id(request)
    if is_built_in(endpoint_id):
        return None
    return shell_of(request).service.endpoints.row(identity_of(request), endpoint_id)


ROUTES = [
    Route("/v2/endpoints", endpoints, methods=["GET"]),
    Route("/v2/endpoints", register, methods=["POST"]),
    Route("/v3/endpoints", register, methods=["POST"]),
    Route("/v3/endpoints/{id}", register, methods=["PUT"]),
    Route("/v2/endpoints/{id}", endpoint, methods=["GET"]),
    Route("/v2/endpoints/{id}", delete, methods=["DELETE"]),
    Route("/v2/endpoints/{id}/status", status, methods=["GET"]),
    Route("/v2/endpoints/{id}/lock", lock, methods=["POST"]),
    Route("/v3/endpoints/{id}/lock", lock, methods=["POST"]),
    Route("/v3/endpoints/{id}/allowed_functions", allowed_functions, methods=["GET"]),
]
