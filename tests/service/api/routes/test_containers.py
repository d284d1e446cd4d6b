"""The routes of containers: what comes in, what goes out."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from compute_executor.endpoint.environments.recipes import Image, ImageDocument, RecipeDocument
from compute_executor.errors import NotFound
from compute_executor.service.access import Identity
from compute_executor.service.pools.containers import Container
from tests.service.asgi import ask
from tests.service.conftest import ADMIN, World

ID = uuid.UUID(int=9)
HEADERS = {"content-type": "application/json"}
FOUND = Container(ID.bytes, ADMIN.id, "n", "d", Image("docker", "python:3.12"), 0.0)


class FakeContainers:
    """Keeps what it is given; knows one container, of Ann's."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    async def register(self, who: Identity, document: ImageDocument) -> bytes:
        self.given.append((who, document))
        return ID.bytes

    async def build(self, who: Identity, document: RecipeDocument) -> bytes:
        self.given.append((who, document))
        return ID.bytes

    def find(self, who: Identity, container: bytes) -> Container:
        if container != ID.bytes:
            raise NotFound("no container for you")
        return FOUND

    def of_kind(self, who: Identity, container: bytes, kind: str) -> Container:
        if kind != "docker":
            raise NotFound("of another type")
        return self.find(who, container)

    def build_document(self, who: Identity, container: bytes) -> dict[str, str]:
        self.find(who, container)
        return {"status": "building", "log": "Collecting six"}


@pytest.fixture
def containers(world: World) -> FakeContainers:
    world.service.containers = FakeContainers()  # type: ignore[attr-defined]
    return world.service.containers  # type: ignore[attr-defined,no-any-return]


def post(world: World, path: str, document: Any) -> Any:
    return ask(world.app, "POST", path, body=json.dumps(document).encode(), headers=HEADERS)


def test_an_image_is_named(world: World, containers: FakeContainers) -> None:
    document = {"location": "python:3.12", "type": "docker", "name": "n", "description": "d"}
    assert post(world, "/v2/containers", document).json() == {"container_id": str(ID)}
    assert containers.given == [(ADMIN, ImageDocument(**document))]


def test_an_environment_is_asked_for(world: World, containers: FakeContainers) -> None:
    document = {"pip": ["six"], "python_version": "3.12", "name": "n"}
    assert post(world, "/v2/containers/build", document).json() == {"container_id": str(ID)}
    assert containers.given == [(ADMIN, RecipeDocument(**document))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v2/containers", {}),
        ("/v2/containers", {"location": 5, "type": "docker"}),
        ("/v2/containers", []),
        ("/v2/containers/build", {"pip": "six"}),
        ("/v2/containers/build", {"pip": [1]}),
        ("/v2/containers/build", {"python_version": 3.12}),
        ("/v2/containers/build", 5),
    ],
)
def test_what_is_malformed_is_said(
    world: World, containers: FakeContainers, path: str, document: Any
) -> None:
    answer = post(world, path, document)
    assert (answer.status, answer.json()["name"]) == (400, "InvalidRequest")
    assert containers.given == []


def test_one_is_looked_up(world: World, containers: FakeContainers) -> None:
    for path in (f"/v2/containers/{ID}", f"/v2/containers/{ID}/docker"):
        document = ask(world.app, "GET", path).json()["container"]
        assert (document["container_uuid"], document["location"]) == (str(ID), "python:3.12")


def test_a_build_is_looked_at(world: World, containers: FakeContainers) -> None:
    document = ask(world.app, "GET", f"/v2/containers/build/{ID}").json()
    assert document == {"container_id": str(ID), "status": "building", "log": "Collecting six"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/v2/containers/{uuid.UUID(int=1)}", 404),
        (f"/v2/containers/{ID}/podman", 404),
        (f"/v2/containers/build/{uuid.UUID(int=1)}", 404),
        ("/v2/containers/nonsense", 400),
        ("/v2/containers/build/nonsense", 400),
    ],
)
def test_what_is_not_there(world: World, containers: FakeContainers, path: str, status: int) -> None:
    assert ask(world.app, "GET", path).status == status
