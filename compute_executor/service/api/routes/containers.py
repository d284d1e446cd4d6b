"""Containers: images named, environments built, both looked up; how a build stands."""

from __future__ import annotations

import uuid

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from compute_executor.endpoint.environments.recipes import ImageDocument, RecipeDocument
from compute_executor.service.api.context import identity_of, json_answer, shell_of
from compute_executor.service.api.request_bodies import parse_uuid, read_json


async def register(request: Request) -> Response:
    """``POST /v2/containers``: an image that exists."""
    document = await read_json(request, ImageDocument)
    container = await shell_of(request).service.containers.register(identity_of(request), document)
    return json_answer({"container_id": str(uuid.UUID(bytes=container))})


async def build(request: Request) -> Response:
    """``POST /v2/containers/build``: an environment by its content; one that has failed is tried again."""
    document = await read_json(request, RecipeDocument)
    container = await shell_of(request).service.containers.build(identity_of(request), document)
    return json_answer({"container_id": str(uuid.UUID(bytes=container))})


async def look_up(request: Request) -> Response:
    """``GET /v2/containers/{id}`` and ``GET /v2/containers/{id}/{type}``"""
    container = parse_uuid(request.path_params["id"], "container").bytes
    containers, who = shell_of(request).service.containers, identity_of(request)
    kind = request.path_params.get("type")
    found = containers.find(who, container) if kind is None else containers.of_kind(who, container, kind)
    return json_answer({"container": found.document()})


async def build_status(request: Request) -> Response:
    """``GET /v2/containers/build/{id}``: its status, and its log, also while it grows."""
    container = parse_uuid(request.path_params["id"], "container").bytes
    document = shell_of(request).service.containers.build_document(identity_of(request), container)
    return json_answer({"container_id": request.path_params["id"], **document})


ROUTES = [
    Route("/v2/containers", register, methods=["POST"]),
    Route("/v2/containers/build", build, methods=["POST"]),
    Route("/v2/containers/build/{id}", build_status, methods=["GET"]),
    Route("/v2/containers/{id}", look_up, methods=["GET"]),
    Route("/v2/containers/{id}/{type}", look_up, methods=["GET"]),
]
