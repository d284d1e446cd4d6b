"""Starting workers and letting them go."""

from __future__ import annotations

import asyncio
import errno

import pytest

from compute_executor.endpoint.pool import launch, worker_set
from compute_executor.serialization import native
from tests.endpoint.tasks import nothing, wait_for


def test_all_workers_are_used_and_no_more(lab, tmp_path):
    gate = str(tmp_path / "gate")

    async def scenario(script):
        positions = [script.submit(wait_for, gate) for _ in range(6)]
        script.wake()
        await script.until(lambda: len(script.begun) == 3)
        assert len(script.pids()) == 3
        open(gate, "w").close()
        assert len({await script.result(position) for position in positions}) == 3

    lab(scenario, max_workers=3)


def test_idle_workers_are_let_go_but_for_one(lab, monkeypatch, tmp_path):
    monkeypatch.setattr(worker_set, "IDLE_AFTER", 0.1)
    gate = str(tmp_path / "gate")

    async def scenario(script):
        positions = [script.submit(wait_for, gate) for _ in range(3)]
        script.wake()
        await script.until(lambda: len(script.begun) == 3)
        open(gate, "w").close()
        for position in positions:
            await script.result(position)
        while len(script.pids()) > 1:
            await asyncio.sleep(0.02)
        assert await script.run(nothing) is None

    lab(scenario, max_workers=3)


def test_the_initializer_runs_once_in_each_worker_before_its_tasks(lab):
    def prepare(value):
        import builtins

        builtins.prepared = (*getattr(builtins, "prepared", ()), value)

    def look():
        import builtins

        return builtins.prepared

    async def scenario(script):
        assert await script.run(look) == (5,)
        assert await script.run(look) == (5,)

    lab(scenario, initializer=native.dumps_call((prepare, (5,)), {}))


def test_an_initializer_that_raises_breaks_the_pool(lab):
    def fail(text):
        raise ValueError(text)

    async def scenario(script):
        script.submit(nothing)
        script.wake()
        await script.until(lambda: script.troubles)
        assert "the initializer raised ValueError: no licence" in script.troubles[0]
        assert "in fail" in script.troubles[0]
        assert script.given_back == [1] or script.todo
        script.wake()  # has no effect any more
        assert len(script.troubles) == 1

    lab(scenario, initializer=native.dumps_call((fail, ("no licence",)), {}))


def test_an_interpreter_that_cannot_be_run_breaks_the_pool(lab):
    async def scenario(script):
        await script.until(lambda: script.troubles)
        assert "/no/such/python cannot be run" in script.troubles[0]

    lab(scenario, python="/no/such/python")


@pytest.fixture
def short_of_descriptors(monkeypatch):
    """Starts of workers fail with what the system says then: as long as the list says so, one by one."""
    monkeypatch.setattr(worker_set, "SCARCE_PAUSE", 0.01)
    refusals = []
    start = launch.LocalLaunch.start

    def scarcely(self, *args):
        if refusals and refusals.pop(0):
            raise OSError(errno.EMFILE, "Too many open files")
        return start(self, *args)

    monkeypatch.setattr(launch.LocalLaunch, "start", scarcely)
    return refusals


def test_a_pool_waits_until_the_system_has_room_for_a_worker(lab, short_of_descriptors):
    short_of_descriptors += [True] * 5

    async def scenario(script):
        assert await script.run(nothing) is None
        assert not script.troubles
        assert not short_of_descriptors

    lab(scenario)


def test_a_pool_without_a_worker_does_not_wait_for_ever(lab, short_of_descriptors, monkeypatch):
    monkeypatch.setattr(worker_set, "SCARCE_PATIENCE", 0.05)
    short_of_descriptors += [True] * 1000

    async def scenario(script):
        script.submit(nothing)
        script.wake()
        await script.until(lambda: script.troubles)
        assert "Too many open files" in script.troubles[0]

    lab(scenario)


def test_a_pool_with_some_workers_goes_on_and_gets_the_others_later(lab, short_of_descriptors, tmp_path):
    short_of_descriptors += [False, True, True]
    gate = str(tmp_path / "gate")

    async def scenario(script):
        positions = [script.submit(wait_for, gate) for _ in range(3)]
        script.wake()
        await script.until(lambda: len(script.begun) == 3)
        assert not short_of_descriptors
        open(gate, "w").close()
        for position in positions:
            await script.result(position)

    lab(scenario, max_workers=3)


def test_a_working_directory_that_is_gone_breaks_the_pool(lab):
    async def scenario(script):
        await script.until(lambda: script.troubles)
        assert "working directory /no/such/folder is gone" in script.troubles[0]

    lab(scenario, cwd="/no/such/folder")


def test_an_interpreter_that_dies_at_the_start_breaks_the_pool(lab, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'this is no python' >&2\nexit 3\n")
    python.chmod(0o755)

    async def scenario(script):
        script.submit(nothing)
        script.wake()
        await script.until(lambda: script.troubles)
        assert "exited with code 3, 3 times" in script.troubles[0]
        assert "this is no python" in script.troubles[0]
        await script.until(lambda: not script.pids())

    lab(scenario, python=str(python))


def test_a_pool_goes_on_with_the_workers_that_could_be_started(lab, monkeypatch, tmp_path):
    gate = str(tmp_path / "gate")

    def refuse(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    async def scenario(script):
        await script.run(nothing)
        monkeypatch.setattr(launch.subprocess, "Popen", refuse)
        positions = [script.submit(wait_for, gate), script.submit(nothing)]
        script.wake()
        await script.until(lambda: positions[0] in script.begun)
        open(gate, "w").close()
        for position in positions:
            await script.result(position)
        assert not script.troubles
        assert len(script.pids()) == 1

    lab(scenario, max_workers=2)
