"""What becomes of the tasks of a pool."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.pool import pool
from compute_executor.endpoint.worker import begun_log
from tests.endpoint.conftest import Lab, Script
from tests.endpoint.tasks import nothing


def test_beginnings_are_told_for_tasks_that_take_a_while_only(lab: Lab, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def wait(path: Any) -> None:
        import time

        while not os.path.exists(path):
            time.sleep(0.001)

    async def scenario(script: Script) -> None:
        await script.run(nothing)  # the first one may take a while: imports
        await script.run(nothing)
        assert 2 not in script.begun
        before = time.time()
        position = script.submit(wait, str(gate))
        script.wake()
        await script.until(lambda: position in script.begun)
        assert before <= script.begun[position] < before + 1
        assert (script.batch, position, 1) in begun_log.begun(script.folder / "rings")
        assert script.engine.workers()[0].task == (script.batch, position)
        assert script.engine.workers()[0].state == "running"
        gate.touch()
        await script.result(position)
        assert script.ends[position].began <= script.begun[position]

    lab(scenario)


def test_a_task_that_ends_soon_is_not_reported_as_running(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "REPORT_AFTER", 3600.0)

    async def scenario(script: Script) -> None:
        for position in (1, 2, 3):
            await script.run(time.sleep, 5 * pool.LOOK_EVERY)
            assert position not in script.begun

    lab(scenario)


def test_the_ring_remembers_what_had_begun_when_everything_is_gone(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        for _ in range(3):
            await script.run(nothing)

    script = lab(scenario)
    assert begun_log.begun(script.folder / "rings") == {(script.batch, position, 1) for position in (1, 2, 3)}


def test_what_waits_behind_a_long_task_in_its_chunk_runs_elsewhere(lab: Lab, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def step(awaited: Any = None) -> None:
        import os
        import time

        while awaited and not os.path.exists(awaited):
            time.sleep(0.001)

    async def scenario(script: Script) -> None:
        for _ in range(30):
            await script.run(step)  # known to be short from now on
        short = [script.submit(step) for _ in range(10)]
        long = script.submit(step, str(gate))
        short += [script.submit(step) for _ in range(11)]
        script.wake()
        await script.until(lambda: set(short) <= set(script.order))
        assert long not in script.order
        gate.touch()
        await script.until(lambda: long in script.order)
        assert not script.losses

    lab(scenario, max_workers=2)


def test_results_do_not_wait_for_a_long_neighbour(lab: Lab, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def step(path: Any = None) -> None:
        import time

        while path and not os.path.exists(path):
            time.sleep(0.001)

    async def scenario(script: Script) -> None:
        for _ in range(30):
            await script.run(step)
        early = [script.submit(step) for _ in range(10)]
        long = script.submit(step, str(gate))
        for _ in range(10):
            script.submit(step)
        script.wake()
        await script.until(lambda: set(early) <= set(script.ends))
        assert long not in script.ends
        await script.until(lambda: long in script.begun)
        gate.touch()
        await script.result(long)

    lab(scenario, max_workers=1)


def test_a_service_that_wakes_the_engine_while_it_takes(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        take = script.take

        def take_and_wake(pool: Any, limit: Any) -> Any:
            script.wake()
            return take(pool, limit)

        script.take = take_and_wake
        assert await script.run(len, "ab") == 2

    lab(scenario)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_bursts_with_deaths_and_long_tasks_among_them_all_end(lab: Lab, tmp_path: Path, workers: Any) -> None:
    """Each burst must end by itself, without a wake that would hide a worker left idle beside its work."""
    trace = str(tmp_path / "trace")

    def step(number: Any, what: Any) -> None:
        import os
        import time

        with open(trace, "a") as file:
            file.write(f"{number}\n")
        if what == "die":
            os.kill(os.getpid(), 9)
        if what == "wait":
            time.sleep(0.012)

    async def scenario(script: Script) -> None:
        chance = random.Random(workers)
        killers = set()
        for _ in range(60):
            kinds = chance.choices(["", "die", "wait"], [200, 1, 4], k=chance.randint(1, 60))
            burst = {
                script.submit(step, number, what): what
                for number, what in enumerate(kinds, script.last() + 1)
            }
            killers |= {position for position, what in burst.items() if what == "die"}
            script.requeue = True
            script.wake()
            await script.until(lambda burst=burst: set(burst) <= set(script.ends) | set(script.losses))  # type: ignore[misc]
        assert set(script.losses) == killers

    script = lab(scenario, max_workers=workers)
    ran = [int(line) for line in (tmp_path / "trace").read_text().split()]
    assert sorted(ran) == list(range(1, script.last() + 1)), "each exactly once"
