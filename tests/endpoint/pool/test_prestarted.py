"""A worker that waits for the next pool of its kind: who gets it, who does not, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.pool import prestarted
from compute_executor.endpoint.pool.launch import LocalLaunch
from compute_executor.endpoint.pool.process import WorkerProcess
from tests.endpoint.conftest import Lab, Script, spec
from tests.endpoint.tasks import POOL, nothing


def process_of(script: Script) -> Any:
    """The spare of an engine, if there is one."""
    return script.engine._spare._process


async def left_spare(script: Script) -> Any:
    """Run something in the pool and close it; the spare that is left."""
    await script.run(nothing)
    script.engine.close_pool(POOL)
    while process_of(script) is None:
        await asyncio.sleep(0.005)
    return process_of(script)


def test_the_next_pool_of_this_kind_gets_it(lab: Lab) -> None:
    def look() -> Any:
        import os
        import sys

        return os.getpid(), os.environ["MARK"], sys.path[-1]

    async def scenario(script: Script) -> None:
        waiting = await left_spare(script)
        again = spec(
            environ=dict(os.environ, MARK="a"), path=[*sys.path, "/nowhere"]
        )  # only the path is another
        script.engine.open(POOL, again)
        assert await script.run(look) == (waiting.pid, "a", "/nowhere")
        assert process_of(script) is None
        script.engine.close_pool(POOL)
        while process_of(script) is None:
            await asyncio.sleep(0.005)
        assert process_of(script).pid != waiting.pid, (
            "a process that has run tasks is not given to another pool"
        )

    lab(scenario, environ=dict(os.environ, MARK="a"))


def test_a_pool_that_differs_starts_its_own(lab: Lab) -> None:
    def look() -> Any:
        import os

        return os.getpid(), os.environ["MARK"]

    async def scenario(script: Script) -> None:
        waiting = await left_spare(script)
        script.engine.open(POOL, spec(environ=dict(os.environ, MARK="b")))
        pid, mark = await script.run(look)
        assert mark == "b"
        assert pid != waiting.pid
        assert process_of(script) is waiting

    lab(scenario, environ=dict(os.environ, MARK="a"))


def test_one_that_was_killed_is_not_missed(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        waiting = await left_spare(script)
        os.kill(waiting.pid, signal.SIGKILL)
        while process_of(script) is not None:
            await asyncio.sleep(0.005)
        script.engine.open(POOL, spec())
        assert await script.run(nothing) is None

    lab(scenario)


def test_it_does_not_wait_for_ever(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []  # noted as they start: one may be gone before anybody looks
    monkeypatch.setattr(prestarted, "KEPT_FOR", 0.01)
    monkeypatch.setattr(
        prestarted, "WorkerProcess", lambda *how: started.append(WorkerProcess(*how)) or started[-1]
    )

    async def scenario(script: Script) -> None:
        await script.run(nothing)
        script.engine.close_pool(POOL)
        while not started or process_of(script) is not None:
            await asyncio.sleep(0.005)
        while started[0]._popen.returncode is None:
            await asyncio.sleep(0.005)

    lab(scenario)


class TestLike:
    """Whether a start would be the same now."""

    @pytest.fixture
    def places(self, tmp_path: Path) -> Any:
        site, cwd = tmp_path / "site-packages", tmp_path / "cwd"
        site.mkdir()
        cwd.mkdir()
        return site, cwd

    def like(self, places: Any) -> Any:
        site, cwd = places
        return prestarted._like(LocalLaunch([sys.executable], str(cwd), {}), [str(cwd), str(site)])

    def test_the_same(self, places: Any) -> None:
        before = self.like(places)
        (places[1] / "file").touch()  # what a program writes into its folder changes no start
        assert self.like(places) == before

    def test_something_was_installed(self, places: Any) -> None:
        before = self.like(places)
        os.utime(places[0], (1, 1))
        assert self.like(places) != before

    def test_a_folder_of_the_same_name_is_another(self, places: Any) -> None:
        before = self.like(places)
        places[1].rename(places[1].with_name("old"))
        places[1].mkdir()
        assert self.like(places) != before
        places[1].rmdir()
        assert self.like(places) != before

    def test_not_in_a_container(self, places: Any) -> None:
        class Contained:
            way = None

        assert prestarted._like(Contained(), []) is None  # type: ignore[arg-type]
