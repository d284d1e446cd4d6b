"""Endpoints of our own: registering, finding, ending."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.errors import InvalidRequest
from compute_executor.protocol.endpoint_names import RULE, is_endpoint_name
from compute_executor.service.agents.kind import Agents, registration
from compute_executor.service.api.context import identity_of, json_answer, shell_of
from compute_executor.service.api.request_bodies import parse_uuid, read_json
from compute_executor.service.endpoints.registry import EndpointRegistration


class AgentDocument(msgspec.Struct):
    """What is said of an endpoint when it is registered; what is left out stays as it is. ``machine``, ``join``,
    ``replace``: see `leases.frames.HolderHello`; whoever names no machine takes nobody's place."""

    description: str | UnsetType = UNSET
    public: bool | UnsetType = UNSET
    group: str | UnsetType | None = UNSET
    allowed_functions: list[str] | UnsetType | None = UNSET
    machine: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{32})?$")] = ""
    join: bool = False
    replace: bool = False

    def over(self, before: EndpointRegistration) -> EndpointRegistration:
        """Return what holds from now on. Raises InvalidRequest."""
        public = before.public if self.public is UNSET else self.public
        description = (
            before.metadata.get("description", "") if self.description is UNSET else self.description
        )
        allowed = self.allowed_functions
        if isinstance(allowed, list):
            allowed = [str(parse_uuid(one, "function")) for one in allowed]
        return before._replace(
            multi_user=public,  # each task runs as the user that started the endpoint, for whomever it is
            public=public,
            group=before.group if self.group is UNSET else self.group,
            allowed=before.allowed if allowed is UNSET else allowed,
            metadata={"description": description[:1000]},
        )


class MachineDocument(msgspec.Struct):
    """Which machine of an endpoint is meant: its host or id; empty: all."""

    machine: str = ""
    drain: bool = False


async def register(request: Request) -> Response:
    """``PUT /v3/agents/{name}``: register an endpoint of the caller's under this name; its id and a token for it.

    Where other machines have it, and the one that asks is neither to join nor to replace them, nothing is changed.
    """
    name = request.path_params["name"]
    if not is_endpoint_name(name):
        raise InvalidRequest(f"{name[:100]!r} is no name for an endpoint: {RULE}")
    said = await read_json(request, AgentDocument)
    who, found = identity_of(request), _agents(request)
    before = found.owned(who, name)
    if before is not None and said.machine and not (said.join or said.replace):
        found.check_place(before, said.machine)
    row, token = await found.register(who, said.over(registration(name, before)))
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
