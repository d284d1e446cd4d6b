"""Environments: built once for their content, kept, watched, tried again. The builder is the test's."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.environments import environments, images, recipes, virtual
from compute_executor.endpoint.environments.commands import BuildLog
from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.environments.environments import BUILDING, FAILED, QUEUED, READY, Environments
from compute_executor.endpoint.environments.recipes import Image, RecipeDocument, Source
from compute_executor.errors import PoolBroken

SIX = recipes.recipe(RecipeDocument(pip=["six"]))
OTHER = recipes.recipe(RecipeDocument(pip=["attrs"]))
IMAGE = Image("podman", "here")


class Builder:
    """Builds when it is let; counts. ``trouble`` is raised instead, once."""

    def __init__(self) -> None:
        self.built: list[Source] = []
        self.folders: list[Path] = []
        self.begun = 0
        self.trouble: Exception | None = None
        self.let = asyncio.Event()

    async def __call__(self, source: Source, folder: Path, log: BuildLog) -> Environment:
        self.begun += 1
        self.folders.append(folder)
        assert list(folder.iterdir()) == []
        (folder / "file").write_text("x")
        log.say(f"building {source.kind}")
        await self.let.wait()
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble
        self.built.append(source)
        return Environment(sys.executable, "3.11")


Scenario = Callable[[Environments, Builder], Coroutine[Any, Any, None]]


def play(scenario: Scenario, folder: Path) -> None:
    """A scenario with the environments of a folder, which are closed at the end."""

    async def run() -> None:
        builder = Builder()
        found = Environments(folder, builder)
        try:
            await asyncio.wait_for(scenario(found, builder), 20)
        finally:
            await found.close()

    asyncio.run(run())


async def turn() -> None:
    for _ in range(50):
        await asyncio.sleep(0.001)


def test_all_who_ask_share_one_build_and_it_is_kept(tmp_path: Path) -> None:
    async def first(found: Environments, builder: Builder) -> None:
        assert found.status(SIX) == QUEUED
        found.start(SIX)
        waiting = [asyncio.ensure_future(found.ready(SIX)) for _ in range(5)]
        await turn()
        assert (found.status(SIX), found.pending) == (BUILDING, 1)
        assert "building venv" in found.log(SIX)
        builder.let.set()
        assert {one.python for one in await asyncio.gather(*waiting)} == {sys.executable}
        assert found.status(SIX) == READY
        assert (await found.ready(SIX)).version == "3.11"
        found.start(SIX)
        assert builder.built == [SIX]
        assert found.all() == [{"environment": recipes.digest(SIX), "state": READY}]

    async def after_a_restart(found: Environments, builder: Builder) -> None:
        assert found.status(SIX) == READY
        assert (await found.ready(SIX)).python == sys.executable
        assert builder.begun == 0
        assert "building venv" in found.log(SIX)

    play(first, tmp_path / "environments")
    play(after_a_restart, tmp_path / "environments")


def test_one_that_fails_says_why_until_it_is_asked_for_again(tmp_path: Path) -> None:
    async def first(found: Environments, builder: Builder) -> None:
        builder.let.set()
        builder.trouble = PoolBroken("pip ended with 1. No matching distribution")
        with pytest.raises(PoolBroken, match="No matching distribution"):
            await found.ready(SIX)
        assert found.status(SIX) == FAILED
        assert not builder.folders[0].exists()
        assert found.all()[0]["state"] == FAILED

    async def then(found: Environments, builder: Builder) -> None:
        builder.let.set()
        assert found.status(SIX) == FAILED
        with pytest.raises(PoolBroken, match="No matching distribution"):
            await found.ready(SIX)
        assert builder.begun == 0
        found.start(SIX)
        await found.ready(SIX)
        assert found.status(SIX) == READY

    play(first, tmp_path / "environments")
    play(then, tmp_path / "environments")


def test_a_disk_that_is_full_fails_the_build(tmp_path: Path) -> None:
    async def scenario(found: Environments, builder: Builder) -> None:
        builder.let.set()
        builder.trouble = OSError(28, "No space left on device")
        with pytest.raises(PoolBroken, match="No space left"):
            await found.ready(SIX)

    play(scenario, tmp_path)


def test_what_was_interrupted_is_begun_anew(tmp_path: Path) -> None:
    async def interrupted(found: Environments, builder: Builder) -> None:
        found.start(SIX)
        await turn()
        assert builder.begun == 1

    async def then(found: Environments, builder: Builder) -> None:
        assert found.status(SIX) == QUEUED
        builder.let.set()
        await found.ready(SIX)
        place = tmp_path / recipes.digest(SIX)
        assert [path.name for path in place.glob("attempt-*")] == [builder.folders[0].name]

    play(interrupted, tmp_path)
    play(then, tmp_path)


def test_whoever_gives_up_waiting_does_not_stop_the_build(tmp_path: Path) -> None:
    async def scenario(found: Environments, builder: Builder) -> None:
        waiting = asyncio.ensure_future(found.ready(SIX))
        await turn()
        waiting.cancel()
        builder.let.set()
        await found.ready(SIX)
        assert builder.begun == 1

    play(scenario, tmp_path)


def test_a_few_are_built_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "AT_ONCE", 1)

    async def scenario(found: Environments, builder: Builder) -> None:
        found.start(SIX)
        found.start(OTHER)
        await turn()
        assert [found.status(one) for one in (SIX, OTHER)] == [BUILDING, QUEUED]
        builder.let.set()
        await asyncio.gather(found.ready(SIX), found.ready(OTHER))

    play(scenario, tmp_path)


def test_one_whose_interpreter_is_gone_is_built_again(tmp_path: Path) -> None:
    async def scenario(found: Environments, builder: Builder) -> None:
        builder.let.set()
        await found.ready(SIX)
        marker = tmp_path / recipes.digest(SIX) / "ready.json"
        marker.write_text(json.dumps({"python": "/no/such/python", "version": "3.11"}))
        assert found.status(SIX) == QUEUED
        await found.ready(SIX)
        marker.write_text("{")
        assert found.status(SIX) == QUEUED

    play(scenario, tmp_path)


def test_images_are_looked_for_anew_by_each_service(tmp_path: Path) -> None:
    async def scenario(found: Environments, builder: Builder) -> None:
        builder.let.set()
        assert found.status(IMAGE) == QUEUED
        await found.ready(IMAGE)
        await found.ready(IMAGE)
        assert found.status(IMAGE) == READY
        assert builder.begun == 1

    play(scenario, tmp_path)
    play(scenario, tmp_path)


def test_each_kind_is_built_in_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def way(name: str) -> Environment:
        return Environment(name, "")

    monkeypatch.setattr(images, "existing", lambda *_: way("existing"))
    monkeypatch.setattr(images, "build", lambda *_: way("image"))
    monkeypatch.setattr(virtual, "build", lambda *_: way("virtual"))
    log = BuildLog(tmp_path / "log")
    kinds = (IMAGE, SIX, recipes.recipe(RecipeDocument(container_type="docker")))
    ways = [asyncio.run(environments.build(one, tmp_path, log)).python for one in kinds]
    assert ways == ["existing", "virtual", "image"]
