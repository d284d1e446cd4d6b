"""The fake service: an unchanged program talks to it, and meets the faults that are ordered."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from compute_executor import Executor
from compute_executor.errors import NotAuthorized, PoolBroken, StorageFull, TaskTimeout, WorkerLost
from compute_executor.local.state import read_announcement, state_folder
from compute_executor.testing import FakeService

PATIENCE = 30.0


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService() as service:
        yield service


def square(x: int) -> int:
    return x * x


def wait_until_waiting(service: FakeService, calls: int) -> None:
    for _ in range(3000):
        if service.waiting == calls:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{service.waiting} calls wait")


def test_the_environment_is_as_before_afterwards(state_home: object) -> None:
    before = os.environ["COMPUTE_EXECUTOR_HOME"]
    with FakeService():
        home = os.environ["COMPUTE_EXECUTOR_HOME"]
        assert home != before
    assert os.environ["COMPUTE_EXECUTOR_HOME"] == before
    assert not os.path.exists(home)


def test_a_variable_that_was_not_set_is_not_set_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPUTE_EXECUTOR_HOME")
    with FakeService(), Executor(1) as ex:
        assert ex.submit(os.getpid).result(PATIENCE) == os.getpid()
    assert "COMPUTE_EXECUTOR_HOME" not in os.environ


def test_a_lost_worker_ends_one_call(service: FakeService) -> None:
    service.faults.lost_workers = 1
    with Executor(2) as ex:
        with pytest.raises(WorkerLost, match="the test ordered"):
            ex.submit(square, 2).result(PATIENCE)
        assert ex.submit(square, 2).result(PATIENCE) == 4


def test_a_call_with_retries_runs_again(service: FakeService) -> None:
    with Executor(1) as ex:
        service.faults.lost_workers = 2
        assert ex.options(retries=2).submit(square, 3).result(PATIENCE) == 9
        assert service.begun == 3
        service.faults.lost_workers = 2
        with pytest.raises(WorkerLost):
            ex.options(retries=1).submit(square, 3).result(PATIENCE)


def test_a_time_limit(service: FakeService) -> None:
    service.faults.timeouts = 1
    with Executor(1) as ex, pytest.raises(TaskTimeout):
        ex.submit(square, 2).result(PATIENCE)


def test_a_refusal(service: FakeService) -> None:
    with Executor(1) as ex:
        service.faults.refused_batches = 1
        with pytest.raises(NotAuthorized, match="the test ordered"):
            ex.submit(square, 2).result(PATIENCE)
        service.faults.refusal = StorageFull("no room for a moment")
        service.faults.refused_batches = 1
        assert ex.submit(square, 2).result(PATIENCE) == 4


@pytest.mark.parametrize("fault", ["cut_before_stored", "cut_before_answered"])
def test_a_cut_connection_loses_and_repeats_nothing(service: FakeService, fault: str) -> None:
    setattr(service.faults, fault, 2)
    with Executor(2) as ex:
        assert list(ex.map(square, range(50), timeout=PATIENCE)) == [n * n for n in range(50)]
    assert service.begun == 50
    assert getattr(service.faults, fault) == 0


def test_results_that_come_again_and_in_another_order(service: FakeService) -> None:
    service.faults.repeated_results = 2
    service.faults.reversed_results = True
    with Executor(2) as ex:
        assert list(ex.map(square, range(50), timeout=PATIENCE)) == [n * n for n in range(50)]


def test_held_calls_can_be_cancelled(service: FakeService) -> None:
    service.hold()
    with Executor(1) as ex:
        first, second = ex.submit(square, 2), ex.submit(square, 3)
        wait_until_waiting(service, 2)
        assert first.cancel()
        service.release()
        assert second.result(PATIENCE) == 9
    assert first.cancelled()
    assert service.begun == 1


def test_a_service_that_is_killed_and_comes_back(service: FakeService) -> None:
    service.hold()
    with Executor(1) as ex:
        future = ex.submit(square, 5)
        wait_until_waiting(service, 1)
        service.stop()
        service.start()
        service.release()
        assert future.result(PATIENCE) == 25
        service.cut()
        assert ex.submit(square, 6).result(PATIENCE) == 36


def test_it_is_started_once(service: FakeService) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        service.start()


def test_an_initializer_that_fails(service: FakeService) -> None:
    with (
        Executor(1, initializer=square) as ex,
        pytest.raises(PoolBroken, match="initializer raised TypeError"),
    ):
        ex.submit(square, 2).result(PATIENCE)


def test_large_bodies_go_and_come(service: FakeService) -> None:
    with Executor(1) as ex:
        assert len(ex.submit(bytes.upper, b"x" * 300_000).result(PATIENCE)) == 300_000


def test_functions_of_the_program_have_a_main_of_their_own(service: FakeService) -> None:
    space: dict[str, object] = {"__name__": "__main__"}
    exec("count = 0\ndef add():\n    global count\n    count += 1\n    return count", space)
    with Executor(1) as ex:
        assert [ex.submit(space["add"]).result(PATIENCE) for _ in range(3)] == [1, 2, 3]  # type: ignore[arg-type]
    assert space["count"] == 0


def test_strangers_are_refused(service: FakeService) -> None:
    announced = read_announcement(state_folder())
    assert announced is not None
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(announced.url + "/v2/version")
    refused.value.close()
