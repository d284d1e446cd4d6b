"""Faults of endpoints and of the way to them: nothing is lost, nothing runs twice, nothing hangs."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from compute_executor import Executor
from compute_executor.endpoint.agent import service_link
from compute_executor.errors import WorkerLost
from compute_executor.local.locks import is_held
from compute_executor.local.state import SERVICE_LOCK, read_announcement, state_folder
from tests.contract.work import wait_until
from tests.endpoint.agent.running import RunningEndpoint, run, running
from tests.faults import work
from tests.faults.wire import Wire

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PATIENCE = 90.0
WORKERS = 2
"""At most as many tasks are in the middle of running whenever something dies."""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


@pytest.fixture(autouse=True)
def service_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "10")


def check_all(futures: list[Any], trace: Path, lost_at_most: int) -> None:
    """Every future ends; what is lost is told so, and no more than could be running; nothing ran twice."""
    _, pending = wait(futures, timeout=PATIENCE)
    assert not pending, f"{len(pending)} futures did not end"
    errors = [future.exception() for future in futures if future.exception()]
    assert all(isinstance(error, WorkerLost) for error in errors), errors
    assert len(errors) <= lost_at_most
    assert all(future.exception() or future.result() == name for name, future in enumerate(futures))
    ran = work.runs(trace)
    assert max(ran.values()) == 1, "none ran twice"
    skipped = [name for name, future in enumerate(futures) if not future.exception() and name not in ran]
    assert not skipped


def kill_service() -> None:
    announced = read_announcement(state_folder())
    assert announced is not None
    os.kill(announced.pid, signal.SIGKILL)
    wait_until(lambda: not is_held(state_folder() / SERVICE_LOCK))


def test_killed_with_a_thousand_tasks_open_and_started_again(trace: Path) -> None:
    with running() as first:
        executor = Executor("ws")
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(1000)]
        wait_until(lambda: len(work.runs(trace)) >= 30)
        first.kill()
        before = len(work.runs(trace))
        with running():
            check_all(futures, trace, WORKERS)
        assert before < 1000
        executor.shutdown()


def test_killed_again_and_again_with_short_tasks(trace: Path) -> None:
    endpoint = RunningEndpoint("ws", "--workers", "2")
    with Executor("ws") as executor:
        futures = [executor.submit(work.traced, str(trace), name) for name in range(3000)]
        for reached in (500, 1500):
            wait_until(lambda reached=reached: len(work.runs(trace)) >= reached)
            endpoint.kill()
            endpoint = RunningEndpoint("ws")
        check_all(futures, trace, 2 * WORKERS)
    endpoint.end()


def test_what_was_running_runs_again_where_retries_were_asked_for(trace: Path) -> None:
    with running() as first:
        executor = Executor("ws").options(retries=1)
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(100)]
        wait_until(lambda: len(work.runs(trace)) >= 20)
        first.kill()
        with running():
            assert [future.result(PATIENCE) for future in futures] == list(range(100))
        assert max(work.runs(trace).values()) <= 2
        executor.shutdown()


def test_the_service_is_killed(trace: Path) -> None:
    """What runs goes on meanwhile, and is reported to the next service."""
    with running(), Executor("ws") as executor:
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(150)]
        wait_until(lambda: len(work.runs(trace)) >= 30)
        kill_service()
        check_all(futures, trace, 0)


def test_both_are_killed(trace: Path) -> None:
    with running() as first, Executor("ws") as executor:
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(150)]
        wait_until(lambda: len(work.runs(trace)) >= 30)
        first.kill()
        kill_service()
        with running():
            check_all(futures, trace, WORKERS)


def test_a_frozen_endpoint_goes_on(trace: Path) -> None:
    """It is stopped for longer than a connection may be silent; its tasks are given to nobody else."""
    with running() as endpoint, Executor("ws") as executor:
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(200)]
        wait_until(lambda: len(work.runs(trace)) >= 10)
        endpoint.send(signal.SIGSTOP)
        time.sleep(1.5)
        kill_service()  # its connection is gone, which it does not notice yet
        time.sleep(1)
        endpoint.send(signal.SIGCONT)
        check_all(futures, trace, 0)


def test_a_connection_that_is_cut_proves_nothing(trace: Path, wire: Wire) -> None:
    with running("far", *wire.options(), **wire.environment()), Executor("far") as executor:
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(200)]
        for reached in (20, 60, 110):
            wait_until(lambda reached=reached: len(work.runs(trace)) >= reached)
            wire.proxy.cut()
        check_all(futures, trace, 0)


def test_a_network_that_drops_everything(trace: Path, wire: Wire) -> None:
    """Nothing is closed, nothing arrives; it is noticed by pings, and a new connection goes on."""
    with running("far", *wire.options(), **wire.environment()), Executor("far") as executor:
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(200)]
        wait_until(lambda: len(work.runs(trace)) >= 20)
        wire.proxy.hold_answers()
        time.sleep(service_link.PING_EVERY + service_link.PONG_WITHIN + 2)
        wire.proxy.cut()
        check_all(futures, trace, 0)


def test_bodies_come_over_the_wire(wire: Wire) -> None:
    changes = wire.environment()
    with running("far", *wire.options(), **changes), Executor("far") as executor:
        body = os.urandom(5_000_000)
        assert executor.submit(bytes.swapcase, body).result(PATIENCE) == body.swapcase()
    assert wire.proxy.answered > len(body)


def test_two_machines_under_one_name(trace: Path, wire: Wire) -> None:
    """Each has its share; one is killed and given up, and the other does the rest."""
    with running("pair") as near, Executor("pair") as executor:
        alone = RunningEndpoint("pair", *wire.options(), **wire.environment())
        code, error = alone.wait()
        assert code == 1
        assert "--join" in error
        far = RunningEndpoint("pair", "--workers", "2", "--join", *wire.options(), **wire.environment())
        assert "is connected" in far.said
        parents = set(executor.map(_parent, range(200)))
        assert parents == {near.pid, far.pid}
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(250)]
        wait_until(lambda: len(work.runs(trace)) >= 40)
        far.kill()
        held = 3 * WORKERS + 40  # tasks of 0.02 s: what it ran, and a tenth of a second of work ahead
        wait_until(lambda: json.loads(run("status", "pair", "--json").stdout)["open"] <= held)
        assert "were given up" in run("forget", "pair").stdout
        check_all(futures, trace, held)


def _parent(_: int) -> int:
    time.sleep(0.005)
    return os.getppid()


def test_its_token_is_revoked_while_tasks_run(trace: Path) -> None:
    """It ends with a word; started again it gets a new token and goes on."""
    with Executor(max_workers=1):
        endpoint = RunningEndpoint("ws", "--workers", "2")
        with Executor("ws") as executor:
            futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(150)]
            wait_until(lambda: len(work.runs(trace)) >= 20)
            assert "revoked" in run("revoke", "ws").stdout
            code, error = endpoint.wait()
            assert code == 1
            assert "token" in error
            with running():
                check_all(futures, trace, WORKERS)
