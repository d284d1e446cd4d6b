"""Values that calls share, at an endpoint of our own: sent once, right after any death, gone after the last user."""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from compute_executor import Executor
from compute_executor.errors import WorkerLost
from compute_executor.local.locks import is_held
from compute_executor.local.state import SERVICE_LOCK, read_announcement, state_folder
from tests.body_files import sizes_in
from tests.contract.work import wait_until
from tests.endpoint.agent.running import RunningEndpoint, running
from tests.faults.wire import Wire

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PATIENCE = 90.0
SIZE = 4_000_000


@pytest.fixture(autouse=True)
def service_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "4")


@pytest.fixture
def far(wire: Wire) -> Iterator[RunningEndpoint]:
    with running("far", *wire.options(), **wire.environment()) as found:
        yield found


@pytest.fixture
def start(wire: Wire) -> Iterator[Callable[[], RunningEndpoint]]:
    """Starts an endpoint, which does not outlive the test however that ends."""
    started: list[RunningEndpoint] = []

    def one() -> RunningEndpoint:
        started.append(RunningEndpoint("far", "--workers", "2", *wire.options(), **wire.environment()))
        return started[-1]

    yield one
    for endpoint in started:
        endpoint.kill()


def first(value: Any, position: int = 0) -> Any:
    return value[position]


def slowly(value: Any, position: int) -> Any:
    time.sleep(0.03)
    return value[position]


def kept() -> list[int]:
    """The sizes of the bodies that the service keeps."""
    return sizes_in(state_folder() / "blobs")


def test_sent_once_however_many_calls_and_maps_share_it(far: RunningEndpoint, wire: Wire) -> None:
    table = bytearray(SIZE)
    with Executor("far") as executor:
        assert list(executor.map(partial(first, table), range(60))) == [0] * 60
        assert list(executor.map(partial(first, table), range(60))) == [0] * 60
        assert [executor.submit(first, table).result(PATIENCE) for _ in range(3)] == [0] * 3
        assert wire.blobs("far").count(SIZE) == 1
        assert wire.proxy.answered < 2.5 * SIZE, (
            "once, and once more with the first call that passed it itself"
        )
        table[7] = 1
        assert list(executor.map(partial(first, table), range(9))) == [0] * 7 + [1, 0]
    wait_until(lambda: wire.blobs("far") == [])
    assert kept() == []


def test_refs(far: RunningEndpoint, wire: Wire) -> None:
    with Executor("far") as executor:
        ref = executor.put({"a": bytearray(SIZE)})
        assert executor.submit(lambda deep: len(deep[0]["x"]["a"]), [{"x": ref}]).result(PATIENCE) == SIZE
        assert list(executor.map(lambda one: len(one["a"]), [ref] * 20)) == [SIZE] * 20
        assert wire.proxy.answered < 1.5 * SIZE
        small = executor.put(5)
        assert executor.submit(pow, small, 2).result(PATIENCE) == 25
        slow = executor.submit(lambda one: time.sleep(0.5) or len(one["a"]), ref)
        ref.release()
        assert slow.result(PATIENCE) == SIZE, "a task needs it"
        wait_until(lambda: max(wire.blobs("far"), default=0) < SIZE)
        del small
        gc.collect()
    wait_until(lambda: wire.blobs("far") == [])


def test_many_refs_in_one_call(far: RunningEndpoint, wire: Wire) -> None:
    with Executor("far") as executor:
        refs = [executor.put(number) for number in range(1_000)]
        assert executor.submit(sum, refs).result(PATIENCE) == sum(range(1_000))
        assert list(executor.map(lambda *some: sum(some), refs, reversed(refs))) == [999] * 1_000


def test_large_arguments_go_with_their_tasks(far: RunningEndpoint, wire: Wire) -> None:
    with Executor("far") as executor:
        bodies = [os.urandom(300_000) for _ in range(20)]
        assert list(executor.map(len, bodies)) == [300_000] * 20
        wait_until(lambda: wire.blobs("far") == [])


def end_service(number: int) -> None:
    announced = read_announcement(state_folder())
    assert announced is not None
    os.kill(announced.pid, number)
    wait_until(lambda: not is_held(state_folder() / SERVICE_LOCK))


@pytest.mark.parametrize("when", ["before it came", "while it comes", "while tasks run"])
@pytest.mark.parametrize("who", ["endpoint", "service", "connection"])
def test_a_death_at_any_step_leaves_the_right_values_and_no_file(
    who: str, when: str, wire: Wire, start: Callable[[], RunningEndpoint]
) -> None:
    table = bytes(range(250)) * 40_000  # 10 MB
    endpoint = start()
    executor = Executor("far")
    wire.proxy.slow = 0.005 if when == "while it comes" else 0.0
    if when == "before it came":
        endpoint.send(signal.SIGSTOP)
    calls = [
        executor.submit(partial(slowly, table), position) for position in range(2)
    ]  # seen: from now on a part
    calls += [executor.submit(partial(slowly, table), position) for position in range(2, 60)]
    if when == "while it comes":
        wait_until(lambda: any(0 < size < len(table) for size in wire.blobs("far")))
    elif when == "while tasks run":
        calls[5].result(PATIENCE)
    if who == "endpoint":
        endpoint.kill()
        endpoint = start()
    elif who == "service":
        end_service(signal.SIGKILL)
    else:
        wire.proxy.cut()
    endpoint.send(signal.SIGCONT)
    wire.proxy.slow = 0.0
    ended = [(call.exception(PATIENCE), position) for position, call in enumerate(calls)]
    lost = [error for error, _ in ended if error]
    assert all(isinstance(error, WorkerLost) for error in lost), lost
    assert len(lost) <= (2 if who == "endpoint" else 0), lost
    assert all(calls[position].result() == table[position] for error, position in ended if not error)
    del calls, ended
    executor.shutdown()
    if who == "service":  # the next one gives clients of the one before a minute to come back
        end_service(signal.SIGTERM)
        with Executor(1) as next_program:
            assert next_program.submit(abs, -1).result(PATIENCE) == 1
    wait_until(lambda: wire.blobs("far") == [])
    wait_until(lambda: kept() == [])
    assert endpoint.end()[0] == 0
