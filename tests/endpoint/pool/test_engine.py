"""What an engine promises: work in, outcomes out, and how it ends."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.pool.engine import ProcessEngine
from compute_executor.protocol.frames import EXCEPTION, VALUE
from tests.endpoint.conftest import Lab, Script
from tests.endpoint.tasks import POOL, nothing


@pytest.mark.parametrize("uv", [False, True])
def test_values_and_exceptions_come_back_on_either_loop(lab: Lab, uv: Any) -> None:
    def divide(a: Any, b: Any = 1) -> Any:
        return a / b

    async def scenario(script: Script) -> None:
        assert await script.run(divide, 6, b=4) == 1.5
        with pytest.raises(ZeroDivisionError) as caught:
            await script.run(divide, 1, b=0)
        assert "in divide" in str(caught.value.__cause__)
        assert "worker.py" not in str(caught.value.__cause__), "our own frames are left out"
        assert [script.ends[position].status for position in (1, 2)] == [VALUE, EXCEPTION]
        assert script.asked == [0], "a worker asks for a function once"

    script = lab(scenario, uv=uv)
    ended = script.ends[1]
    assert 0 <= ended.ended - ended.began < 5
    assert abs(time.time() - ended.ended) < 60


def test_a_flow_of_short_tasks_all_end_once(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        positions = [script.submit(nothing) for _ in range(5000)]
        script.wake()
        await script.until(lambda: len(script.ends) == len(positions))
        assert sorted(script.order) == positions

    script = lab(scenario, max_workers=2)
    assert not script.losses
    assert not script.given_back


def test_opening_twice_is_opening_once(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        await script.run(nothing)
        pids = script.pids()
        script.engine.open(POOL, None)  # type: ignore[arg-type]
        assert script.pids() == pids

    lab(scenario)


def test_an_engine_without_pools_closes(tmp_path: Path) -> None:
    async def scenario() -> None:
        await ProcessEngine(None, blob_folder=tmp_path, ring_folder=tmp_path).close()  # type: ignore[arg-type]

    asyncio.run(scenario())


def test_a_closed_pool_finishes_its_work_and_ends(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        positions = [script.submit(nothing) for _ in range(500)]
        script.wake()
        script.engine.close_pool(POOL)
        script.engine.close_pool(b"unknown")
        await script.until(lambda: len(script.ends) == len(positions))
        while script.engine.workers():
            await asyncio.sleep(0.01)
        script.wake()

    lab(scenario)


@pytest.mark.slow
def test_closing_stops_what_runs_and_returns_what_does_not(lab: Lab, tmp_path: Path) -> None:
    def stubborn(path: Any) -> None:
        import signal
        import time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(path, "w").close()
        time.sleep(60)

    async def scenario(script: Script) -> None:
        script.submit(stubborn, str(tmp_path / "deaf"))
        script.submit(stubborn, str(tmp_path / "deaf"))
        script.wake()
        await script.until(lambda: 1 in script.begun)
        while not (tmp_path / "deaf").exists():
            await asyncio.sleep(0.01)

    script = lab(scenario)
    assert script.given_back == [2]
    assert script.losses[1].exit_code == -signal.SIGKILL
    assert "its pool was stopped" in script.losses[1].message
