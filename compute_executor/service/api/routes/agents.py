"""Endpoints of our own: registering, finding, ending."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.errors import InvalidRequest
from compute_executor.protocol.endpoint_names import RULE, is_endpoint_name
from compute_executor.service.agents.kind import Agents
from compute_executor.service.api.context import identity_of, json_answer, shell_of
from compute_executor.service.api.request_bodies import parse_uuid, read_json
from compute_executor.service.endpoints.registry import EndpointRegistration


class AgentDocument(msgspec.Struct):
    """What is said of an endpoint when it is registered."""

    description: str = ""
    public: bool = False
    group: str | None = None
    allowed_functions: list[str] | None = None


class MachineDocument(msgspec.Struct):
    """Which machine of an endpoint is meant: its host or id; empty: all."""

    machine: str = ""
    drain: bool = False


async def register(request: Request) -> Response:
    """``PUT /v3/agents/{name}``: register an endpoint of the caller's under this name; its id and a token for it."""
    name = request.path_params["name"]
    if not is_endpoint_name(name):
        raise InvalidRequest(f"{name[:100]!r} is no name for an endpoint: {RULE}")
    said = await read_json(request, AgentDocument)
    allowed = said.allowed_functions
    row, token = await _agents(
        request
    ).register(
        identity_of(request),
        EndpointRegistration(
            name,
            name,
            said.public,  # each task runs as the user that started the endpoint, for whomever it is
            said.public,
            said.group,
            None if allowed is None else [str(parse_uuid(one, "function")) for one in allowed],
            {"description": said.description[:1000]},
        ),
    )
    return json_answer({"endpoint_id": str(row.id), "token": token})


async def agents(request: Request) -> Response:
    """``GET /v3/agents``: all that the caller may use."""
    who, found = identity_of(request), _agents(request)
    return json_answer({"endpoints": [found.view(who, row) for row in found.visible(who)]})


async def agent(request: Request) -> Response:
    """``GET /v3/agents/{name}``: one, by name or id."""
    who, found = identity_of(request), _agents(request)
    return json_answer(found.view(who, found.find(who, request.path_params["name"])))


async def end(request: Request) -> Response:
    """``POST /v3/agents/{name}/end``: tell its machines to end."""
    said = await read_json(request, MachineDocument)
    who, found = identity_of(request), _agents(request)
    row = found.find(who, request.path_params["name"], "manage endpoint")
    return json_answer({"told": found.end_machines(row, said.machine, drain=said.drain)})


async def forget(request: Request) -> Response:
    """``POST /v3/agents/{name}/forget``: give up what machines hold that are not connected."""
    said = await read_json(request, MachineDocument)
    who, found = identity_of(request), _agents(request)
    row = found.find(who, request.path_params["name"], "manage endpoint")
    return json_answer({"given_up": found.forget_machines(row, said.machine)})


async def revoke(request: Request) -> Response:
    """``POST /v3/agents/{name}/revoke``: no token of it is good any more."""
    who, found = identity_of(request), _agents(request)
    row = found.find(who, request.path_params["name"], "manage endpoint")
    return json_answer({"revoked": await found.tokens.revoke(row.id)})


def _agents(request: Request) -> Agents:
    return shell_of(request).service.agents


ROUTES: list[Any] = [
    Route("/v3/agents", agents, methods=["GET"]),
    Route("/v3/agents/{name}", register, methods=["PUT"]),
    Route("/v3/agents/{name}", agent, methods=["GET"]),
    Route("/v3/agents/{name}/end", end, methods=["POST"]),
    Route("/v3/agents/{name}/forget", forget, methods=["POST"]),
    Route("/v3/agents/{name}/revoke", revoke, methods=["POST"]),
]
