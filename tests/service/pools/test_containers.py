"""Containers: whose they are, what they are made of, what becomes of them."""

from __future__ import annotations

import asyncio
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.environments import recipes, runtimes
from compute_executor.endpoint.environments.commands import BuildLog
from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.environments.environments import BUILDING, FAILED, QUEUED, READY, Environments
from compute_executor.endpoint.environments.recipes import ImageDocument, RecipeDocument, Source
from compute_executor.errors import (
    EndpointNotShared,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    PoolBroken,
    ServiceUnavailable,
)
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.pools import containers
from tests.service.fixture import ALICE, BOB, ServiceFixture, live, serving, turn

SIX = RecipeDocument(name="six", description="old", pip=["six==1.15.0"])
READY_ONE = Environment(sys.executable, "3.11")


class Builder:
    """Builds when it is let, or fails with ``trouble``."""

    def __init__(self) -> None:
        self.built: list[Source] = []
        self.let = asyncio.Event()
        self.trouble = ""

    async def __call__(self, source: Source, folder: Path, log: BuildLog) -> Environment:
        log.say("it begins")
        await self.let.wait()
        self.built.append(source)
        if self.trouble:
            raise PoolBroken(self.trouble)
        return READY_ONE


@pytest.fixture
def fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceFixture:
    async def podman(kind: str) -> str:
        if kind not in ("podman", "docker"):
            raise InvalidRequest(f"this endpoint cannot run {kind} images")
        return "/bin/podman"

    monkeypatch.setattr(runtimes, "find", podman)
    return ServiceFixture(tmp_path)


def environments(fixture: ServiceFixture, builder: Builder) -> Environments:
    return Environments(fixture.folder / "environments", builder)


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@live
async def test_the_same_again_is_the_same_and_others_have_their_own(fixture: ServiceFixture) -> None:
    builder = Builder()
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        builder.let.set()
        one = await service.containers.build(ALICE, SIX)
        assert await service.containers.build(ALICE, SIX) == one
        assert await service.containers.build(ALICE, RecipeDocument(pip=["six==1.15.0"])) != one
        other = await service.containers.build(BOB, SIX)
        assert other != one
        await until(lambda: service.containers.build_document(BOB, other)["status"] == READY)
        assert len(builder.built) == 1


@live
async def test_it_can_be_looked_at_while_it_is_built(fixture: ServiceFixture) -> None:
    builder = Builder()
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        one = await service.containers.build(ALICE, SIX)
        await until(lambda: "it begins" in service.containers.build_document(ALICE, one)["log"])
        assert service.containers.build_document(ALICE, one)["status"] == BUILDING
        assert service.busy()
        assert service.overview()["environments"][0]["state"] == BUILDING
        assert service.containers.find(ALICE, one).document() == {
            "container_uuid": str(uuid.UUID(bytes=one)),
            "name": "six",
            "description": "old",
            "type": "venv",
            "pip": ("six==1.15.0",),
            "python_version": recipes.OWN_PYTHON,
        }
        builder.let.set()
        assert await service.containers.environment(one) == READY_ONE
        await turn()
        assert not service.busy()


@live
async def test_a_stranger_finds_nothing(fixture: ServiceFixture) -> None:
    async with serving(fixture, environments=environments(fixture, Builder())) as service:
        one = await service.containers.build(ALICE, SIX)
        for look in (service.containers.find, service.containers.build_document):
            with pytest.raises(NotFound) as foreign:
                look(BOB, one)
            with pytest.raises(NotFound) as absent:
                look(ALICE, b"x" * 16)
            assert str(foreign.value).split()[:4] == str(absent.value).split()[:4]
        with pytest.raises(NotFound):
            service.containers.find(ALICE, b"short")
        with pytest.raises(NotFound):
            await service.register(BOB, b"d" * 32, "f", b"code", container=one)


@live
async def test_an_image_by_its_kind(fixture: ServiceFixture) -> None:
    builder = Builder()
    builder.let.set()
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        one = await service.containers.register(ALICE, ImageDocument("python:3.12", "docker", "p", "d"))
        assert service.containers.of_kind(ALICE, one, "Docker").document()["location"] == "python:3.12"
        with pytest.raises(NotFound, match="of type docker, not podman"):
            service.containers.of_kind(ALICE, one, "podman")
        with pytest.raises(InvalidRequest, match="cannot run singularity images"):
            await service.containers.register(ALICE, ImageDocument("a.sif", "singularity"))
        with pytest.raises(InvalidRequest):
            await service.containers.build(ALICE, RecipeDocument(container_type="zip"))
        image = await service.containers.build(ALICE, RecipeDocument(apt=["git"]))
        assert service.containers.find(ALICE, image).source.kind == "podman"


@live
async def test_what_failed_is_tried_again_when_it_is_asked_for_again(fixture: ServiceFixture) -> None:
    builder = Builder()
    builder.let.set()
    builder.trouble = "No matching distribution"
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        one = await service.containers.build(ALICE, SIX)
        with pytest.raises(PoolBroken, match=r"\(six\) cannot be used: No matching"):
            await service.containers.environment(one)
        assert service.containers.build_document(ALICE, one)["status"] == FAILED
        builder.trouble = ""
        assert await service.containers.build(ALICE, SIX) == one
        assert await service.containers.environment(one) == READY_ONE
        with pytest.raises(PoolBroken, match="no container"):
            await service.containers.environment(b"x" * 16)


@live
async def test_a_restart_knows_them_and_goes_on_with_their_builds(fixture: ServiceFixture) -> None:
    async with serving(fixture, environments=environments(fixture, Builder())) as service:
        one = await service.containers.build(ALICE, SIX)
        image = await service.containers.register(ALICE, ImageDocument("here", "podman"))
        assert service.containers.build_document(ALICE, one)["status"] in (QUEUED, BUILDING)
    builder = Builder()
    builder.let.set()
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        await until(lambda: service.containers.build_document(ALICE, one)["status"] == READY)
        assert service.containers.build_document(ALICE, image)["status"] == QUEUED
        assert [source.kind for source in builder.built] == ["venv"]


@live
async def test_there_are_bounds(fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MOST", 1)
    async with serving(
        fixture, environments=environments(fixture, Builder()), limits=ServiceLimits(description=9)
    ) as service:
        with pytest.raises(PayloadTooLarge, match="10 characters, the limit is 9"):
            await service.containers.build(ALICE, RecipeDocument(name="n" * 5, description="d" * 5))
        await service.containers.build(ALICE, RecipeDocument())
        with pytest.raises(ServiceUnavailable, match="1 containers, which is the limit"):
            await service.containers.build(ALICE, RecipeDocument())


@live
async def test_only_whoever_may_run_code_here_has_something_built(fixture: ServiceFixture) -> None:
    """To build is to run what a package brings along, as the service."""
    builder = Builder()
    builder.let.set()
    image = ImageDocument("alpine", "podman")
    operators = frozenset({BOB.id})
    async with serving(fixture, environments=environments(fixture, builder), operators=operators) as service:
        for refused in (service.containers.build(ALICE, SIX), service.containers.register(ALICE, image)):
            with pytest.raises(EndpointNotShared, match="the build of an environment"):
                await refused
        await service.containers.build(BOB, RecipeDocument(name="mine", pip=["six==1.15.0"]))
        await until(lambda: builder.built)
    assert len(builder.built) == 1


@live
async def test_what_was_to_be_built_when_it_was_open_to_all_is_not(fixture: ServiceFixture) -> None:
    async with serving(fixture, environments=environments(fixture, Builder())) as service:
        await service.containers.build(ALICE, SIX)
    builder = Builder()
    builder.let.set()
    found = environments(fixture, builder)
    async with serving(fixture, environments=found, operators=frozenset({BOB.id})) as service:
        await service.containers.build(BOB, RecipeDocument(name="other", pip=["six==1.16.0"]))
        await until(lambda: builder.built)
    assert len(builder.built) == 1
    assert "1.16.0" in repr(builder.built)
