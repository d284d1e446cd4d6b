"""Starting workers and letting them go."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.pool import launch, worker_set
from compute_executor.protocol.frames import PoolSpec, WorkerDevices
from compute_executor.serialization import native
from tests.endpoint.conftest import Lab, Script
from tests.endpoint.tasks import nothing, wait_for


def test_all_workers_are_used_and_no_more(lab: Lab, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")

    async def scenario(script: Script) -> None:
        positions = [script.submit(wait_for, gate) for _ in range(6)]
        script.wake()
        await script.until(lambda: len(script.begun) == 3)
        assert len(script.pids()) == 3
        open(gate, "w").close()
        assert len({await script.result(position) for position in positions}) == 3

    lab(scenario, max_workers=3)


def test_idle_workers_are_let_go_but_for_one(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(worker_set, "IDLE_AFTER", 0.1)
    gate = str(tmp_path / "gate")

    async def scenario(script: Script) -> None:
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


def test_the_initializer_runs_once_in_each_worker_before_its_tasks(lab: Lab) -> None:
    def prepare(value: Any) -> None:
        import builtins

        builtins.prepared = (*getattr(builtins, "prepared", ()), value)  # type: ignore[attr-defined]

    def look() -> Any:
        import builtins

        return builtins.prepared  # type: ignore[attr-defined]

    async def scenario(script: Script) -> None:
        assert await script.run(look) == (5,)
        assert await script.run(look) == (5,)

    lab(scenario, initializer=native.dumps_call((prepare, (5,)), {}))


def test_an_initializer_that_raises_breaks_the_pool(lab: Lab) -> None:
    def fail(text: Any) -> None:
        raise ValueError(text)

    async def scenario(script: Script) -> None:
        script.submit(nothing)
        script.wake()
        await script.until(lambda: script.troubles)
        assert "the initializer raised ValueError: no licence" in script.troubles[0]
        assert "in fail" in script.troubles[0]
        assert script.given_back == [1] or script.todo
        script.wake()  # has no effect any more
        assert len(script.troubles) == 1

    lab(scenario, initializer=native.dumps_call((fail, ("no licence",)), {}))


def test_an_interpreter_that_cannot_be_run_breaks_the_pool(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        await script.until(lambda: script.troubles)
        assert "/no/such/python cannot be run" in script.troubles[0]

    lab(scenario, python="/no/such/python")


@pytest.fixture
def short_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Starts of workers fail with what the system says then: as long as the list says so, one by one."""
    monkeypatch.setattr(worker_set, "SCARCE_PAUSE", 0.01)
    refusals: list[Any] = []
    start = launch.LocalLaunch.start

    def scarcely(self: Any, *args: Any) -> Any:
        if refusals and refusals.pop(0):
            raise OSError(errno.EMFILE, "Too many open files")
        return start(self, *args)

    monkeypatch.setattr(launch.LocalLaunch, "start", scarcely)
    return refusals


def test_a_pool_waits_until_the_system_has_room_for_a_worker(lab: Lab, short_of_descriptors: Any) -> None:
    short_of_descriptors += [True] * 5

    async def scenario(script: Script) -> None:
        assert await script.run(nothing) is None
        assert not script.troubles
        assert not short_of_descriptors

    lab(scenario)


def test_a_pool_without_a_worker_does_not_wait_for_ever(
    lab: Lab, short_of_descriptors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_set, "SCARCE_PATIENCE", 0.05)
    short_of_descriptors += [True] * 1000

    async def scenario(script: Script) -> None:
        script.submit(nothing)
        script.wake()
        await script.until(lambda: script.troubles)
        assert "Too many open files" in script.troubles[0]

    lab(scenario)


def test_a_pool_with_some_workers_goes_on_and_gets_the_others_later(
    lab: Lab, short_of_descriptors: Any, tmp_path: Path
) -> None:
    short_of_descriptors += [False, True, True]
    gate = str(tmp_path / "gate")

    async def scenario(script: Script) -> None:
        positions = [script.submit(wait_for, gate) for _ in range(3)]
        script.wake()
        await script.until(lambda: len(script.begun) == 3)
        assert not short_of_descriptors
        open(gate, "w").close()
        for position in positions:
            await script.result(position)

    lab(scenario, max_workers=3)


def test_a_working_directory_that_is_gone_breaks_the_pool(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        await script.until(lambda: script.troubles)
        assert "working directory /no/such/folder is gone" in script.troubles[0]

    lab(scenario, cwd="/no/such/folder")


def test_an_interpreter_that_dies_at_the_start_breaks_the_pool(lab: Lab, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'this is no python' >&2\nexit 3\n")
    python.chmod(0o755)

    async def scenario(script: Script) -> None:
        script.submit(nothing)
        script.wake()
        await script.until(lambda: script.troubles)
        assert "exited with code 3, 3 times" in script.troubles[0]
        assert "this is no python" in script.troubles[0]
        await script.until(lambda: not script.pids())

    lab(scenario, python=str(python))


def test_a_pool_goes_on_with_the_workers_that_could_be_started(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate = str(tmp_path / "gate")

    def refuse(*_: Any, **__: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    async def scenario(script: Script) -> None:
        await script.run(nothing)
        monkeypatch.setattr(launch.subprocess, "Popen", refuse)  # type: ignore[attr-defined]
        positions = [script.submit(wait_for, gate), script.submit(nothing)]
        script.wake()
        await script.until(lambda: positions[0] in script.begun)
        open(gate, "w").close()
        for position in positions:
            await script.result(position)
        assert not script.troubles
        assert len(script.pids()) == 1

    lab(scenario, max_workers=2)


def test_each_worker_sees_devices_of_its_own_also_after_a_death(lab: Lab, tmp_path: Path) -> None:
    gates = [str(tmp_path / name) for name in ("first", "second")]

    def look(gate: Any) -> Any:
        import time

        while not os.path.exists(gate):
            time.sleep(0.005)
        return os.environ["SEEN"], os.environ["OTHER"]

    async def together(script: Script, gate: str) -> list[Any]:
        positions = [script.submit(look, gate) for _ in range(3)]
        script.wake()
        await script.until(lambda: set(positions) <= set(script.begun))
        open(gate, "w").close()
        return sorted([await script.result(position) for position in positions])

    async def scenario(script: Script) -> None:
        script.requeue = True
        each = [("0", "x"), ("1", "x"), ("2", "x")]
        assert await together(script, gates[0]) == each
        os.kill(script.pids()[1], signal.SIGKILL)
        assert await together(script, gates[1]) == each

    devices = [WorkerDevices([name], {"SEEN": name}) for name in "012"]
    environ = {**os.environ, "SEEN": "all", "OTHER": "x"}
    lab(scenario, max_workers=3, devices=devices, environ=environ)


def test_the_variables_of_devices_come_over_those_of_the_program() -> None:
    spec = PoolSpec(
        4, "python", [], "/", {"A": "b", "SEEN": "all"}, devices=[WorkerDevices(["0"], {"SEEN": "0"})]
    )
    assert [one.environ for one in worker_set.specs_by_devices(spec)] == [{"A": "b", "SEEN": "0"}]
    plain = PoolSpec(4, "python", [], "/", {"A": "b"})
    assert worker_set.specs_by_devices(plain) == [plain]
