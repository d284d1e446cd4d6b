"""kill -9 of the service at the worst moments: nothing is lost, nothing runs twice, nothing hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from compute_executor import Executor
from compute_executor.errors import WorkerLost
from compute_executor.local import embedded
from compute_executor.local.embedded import ServiceAddress
from compute_executor.local.locks import is_held
from compute_executor.local.state import SERVICE_LOCK, read_announcement, state_folder
from tests.contract.work import wait_until
from tests.faults import work
from tests.faults.proxy import Proxy

PATIENCE = 60.0
"""Seconds within which every future has to have ended."""

WORKERS = 2
"""At most as many tasks does a kill find between the mark that they begin and the result in the outbox: nobody can
know how far they were, so they are lost and not run again. What had ended is not lost, stored or not."""


def assert_each_ran(trace: Path, futures: list[Any], kills: int) -> None:
    """Each has left its trace, but for those that a kill has met on their first step; those are told as lost."""
    untraced = set(range(len(futures))) - set(work.runs(trace))
    assert all(isinstance(futures[name].exception(PATIENCE), WorkerLost) for name in untraced), (
        "skipped in silence"
    )
    assert len(untraced) <= kills * WORKERS


def kill_service() -> None:
    """SIGKILL, and gone when this returns."""
    announced = read_announcement(state_folder())
    assert announced is not None
    os.kill(announced.pid, signal.SIGKILL)
    wait_until(lambda: not is_held(state_folder() / SERVICE_LOCK))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


@pytest.mark.slow
def test_with_a_thousand_tasks_open(trace: Path) -> None:
    with Executor(max_workers=2) as executor:
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(1000)]
        wait_until(lambda: len(work.runs(trace)) >= 20)
        kill_service()
        begun = set(work.runs(trace))
        _, pending = wait(futures, timeout=PATIENCE)
        assert not pending
    lost = [name for name, future in enumerate(futures) if future.exception()]
    assert all(isinstance(futures[name].exception(), WorkerLost) for name in lost)
    assert len(set(lost) - begun) <= WORKERS, "what had not begun is never lost"
    assert len(lost) <= WORKERS, "what had ended is not lost either"
    assert all(futures[name].result() == name for name in range(1000) if name not in lost)
    assert max(work.runs(trace).values()) == 1, "none ran twice"
    assert_each_ran(trace, futures, kills=1)


def test_under_a_flood_of_short_tasks() -> None:
    """Hundreds have finished and are not stored yet whenever the service dies."""
    with Executor(max_workers=WORKERS) as executor:
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8
        futures = [executor.submit(divmod, name, 7) for name in range(20_000)]
        futures[2000].result(PATIENCE)
        kill_service()
        _, pending = wait(futures, timeout=PATIENCE)
        assert not pending
    lost = [future for future in futures if future.exception()]
    assert all(isinstance(future.exception(), WorkerLost) for future in lost)
    assert len(lost) <= WORKERS
    assert all(
        future.exception() or future.result() == divmod(name, 7) for name, future in enumerate(futures)
    )


@pytest.mark.slow
def test_what_was_told_is_there_afterwards() -> None:
    """Also what was told before it was stored: another client asks the next service."""
    with Executor(max_workers=WORKERS) as executor:
        futures = [executor.submit(divmod, name, 7) for name in range(4000)]
        futures[1000].result(PATIENCE)
        kill_service()
        told = {future.task_id: future.result() for future in futures if future.done()}
        wait(futures, timeout=PATIENCE)
        with Executor() as other:
            found = {one.task_id: one for one in other.reload_tasks(executor.task_group_id)}
            assert {name: found[name].result(PATIENCE) for name in told} == told


@pytest.mark.slow
def test_what_was_running_runs_again_where_retries_were_asked_for(trace: Path) -> None:
    with Executor(max_workers=2) as executor:
        retrying = executor.options(retries=1)
        futures = [retrying.submit(work.traced_slowly, str(trace), name) for name in range(200)]
        wait_until(lambda: len(work.runs(trace)) >= 20)
        kill_service()
        assert [future.result(PATIENCE) for future in futures] == list(range(200))
    assert max(work.runs(trace).values()) <= 2


@pytest.mark.slow
def test_killed_again_and_again(trace: Path) -> None:
    with Executor(max_workers=2) as executor:
        futures = [executor.submit(work.traced_slowly, str(trace), name) for name in range(300)]
        for reached in (10, 60, 110, 160):
            wait_until(lambda reached=reached: len(work.runs(trace)) >= reached)
            kill_service()
        _, pending = wait(futures, timeout=PATIENCE)
        assert not pending
    assert max(work.runs(trace).values()) == 1
    assert_each_ran(trace, futures, kills=4)
    assert sum(isinstance(future.exception(), WorkerLost) for future in futures) <= 4 * WORKERS


def test_while_idle_the_next_task_finds_another() -> None:
    with Executor(max_workers=1) as executor:
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8
        kill_service()
        assert executor.submit(pow, 2, 4).result(PATIENCE) == 16


class Wired:
    """An embedded service behind a proxy: what a client of this process is told of it."""

    def __init__(self) -> None:
        self._find = embedded.find_or_start
        self.proxy = Proxy(self._where)

    def _where(self) -> tuple[str, int]:
        host, _, port = self._find().url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def find_or_start(self) -> ServiceAddress:
        return self._find()._replace(url=f"http://127.0.0.1:{self.proxy.port}")


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wired]:
    wired = Wired()
    monkeypatch.setattr(embedded, "find_or_start", wired.find_or_start)
    yield wired
    wired.proxy.close()


def test_between_accepting_and_answering(wired: Wired, trace: Path) -> None:
    """The batch is stored and the answer never comes: sent again, it must be recognised."""
    with Executor(max_workers=1) as executor:
        executor.submit(pow, 2, 3).result(PATIENCE)
        wired.proxy.hold_answers()
        futures = [executor.submit(work.traced, str(trace), name) for name in range(50)]
        wait_until(lambda: len(work.runs(trace)) >= 1)  # accepted: it runs
        kill_service()
        wired.proxy.cut()
        outcomes = [_outcome(future) for future in futures]
    assert max(work.runs(trace).values()) == 1, "sent twice, run once"
    assert_each_ran(trace, futures, kills=1)
    lost = [outcome for outcome in outcomes if isinstance(outcome, WorkerLost)]
    assert len(lost) <= 1, "what had ended is not lost"
    assert [outcome for outcome in outcomes if not isinstance(outcome, WorkerLost)] == [
        name for name, outcome in enumerate(outcomes) if not isinstance(outcome, WorkerLost)
    ]


def _outcome(future: Any) -> Any:
    try:
        return future.result(PATIENCE)
    except WorkerLost as lost:
        return lost


def test_a_wire_that_is_cut_again_and_again(wired: Wired, trace: Path) -> None:
    with Executor(max_workers=2) as executor:
        futures = []
        for round_ in range(10):
            names = range(50 * round_, 50 * round_ + 50)
            futures += [executor.submit(work.traced, str(trace), name) for name in names]
            reached = 25 * round_
            wait_until(lambda reached=reached: len(work.runs(trace)) >= reached)
            wired.proxy.cut()
        assert [future.result(PATIENCE) for future in futures] == list(range(500))
    assert work.runs(trace) == dict.fromkeys(range(500), 1)


def test_answers_that_are_lost_while_tasks_run(wired: Wired, trace: Path) -> None:
    with Executor(max_workers=2) as executor:
        executor.submit(pow, 2, 3).result(PATIENCE)
        futures = [executor.submit(work.traced, str(trace), name) for name in range(500)]
        wired.proxy.hold_answers()
        wait_until(lambda: len(work.runs(trace)) == 500)
        wired.proxy.cut()
        assert [future.result(PATIENCE) for future in futures] == list(range(500))
    assert max(work.runs(trace).values()) == 1


def test_a_task_that_kills_each_worker_is_given_up(trace: Path) -> None:
    with Executor(max_workers=2) as executor:
        neighbours = [executor.submit(work.traced, str(trace), name) for name in range(100)]
        poison = executor.options(retries=3).submit(work.kill_own_worker, str(trace), 1000)
        error = poison.exception(PATIENCE)
        assert isinstance(error, WorkerLost)
        assert (error.attempts, error.exit_code, error.task_id) == (4, -signal.SIGKILL, poison.task_id)
        assert [future.result(PATIENCE) for future in neighbours] == list(range(100))
    assert work.runs(trace)[1000] == 4
