"""cancel: true only where the task surely does not run, and then everybody who waits is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, as_completed, wait

import pytest

from tests.contract import work
from tests.contract.work import PATIENCE, Gate, wait_until

MakeExecutor = Callable[..., Executor]


@pytest.fixture
def held(make_executor: MakeExecutor, keep_busy: Callable[[Executor], None]) -> Executor:
    """An executor whose workers are busy until the gate opens."""
    executor = make_executor(max_workers=1)
    keep_busy(executor)
    return executor


@pytest.fixture
def ours_held(make_ours: Callable[..., Executor], keep_busy: Callable[[Executor], None]) -> Executor:
    executor = make_ours(max_workers=1)
    keep_busy(executor)
    return executor


def test_a_waiting_task_can_be_cancelled(held: Executor, gate: Gate) -> None:
    future = held.submit(gate.hold, "second")

    assert future.cancel()
    assert future.cancelled()
    assert future.done()
    with pytest.raises(CancelledError):
        future.result(0)
    with pytest.raises(CancelledError):
        future.exception(0)

    gate.open()
    held.shutdown()
    assert not gate.has_begun("second")


def test_cancelling_again_is_true_again(held: Executor, gate: Gate) -> None:
    future = held.submit(gate.hold, "second")

    assert future.cancel()
    assert future.cancel()


def test_what_was_there_for_a_while_can_be_cancelled_too(held: Executor, gate: Gate) -> None:
    futures = [held.submit(gate.hold, str(n)) for n in range(50)]
    # The answer to a later task's cancel shows that the earlier ones have been taken in by now.
    assert held.submit(work.square, 1).cancel()

    assert all(future.cancel() for future in futures)

    gate.open()
    held.shutdown()
    assert not any(gate.has_begun(str(n)) for n in range(50))


def test_a_running_task_cannot_be_cancelled(make_executor: MakeExecutor, gate: Gate) -> None:
    future = make_executor(max_workers=1).submit(gate.hold)
    gate.wait_for()

    assert not future.cancel()
    assert not future.cancelled()
    gate.open()
    assert future.result(PATIENCE) == "task"


def test_a_finished_task_cannot_be_cancelled(executor: Executor) -> None:
    future = executor.submit(work.square, 3)
    future.result(PATIENCE)

    assert not future.cancel()
    assert future.result() == 9


def test_it_is_running_once_a_worker_has_begun(make_executor: MakeExecutor, gate: Gate) -> None:
    executor = make_executor(max_workers=1)
    future = executor.submit(gate.hold)
    waiting = executor.submit(work.square, 1)

    gate.wait_for()
    wait_until(future.running)
    assert not waiting.running()
    gate.open()
    future.result(PATIENCE)
    assert not future.running()


def test_callbacks_of_a_cancelled_future_run(held: Executor, gate: Gate) -> None:
    seen: list[bool] = []
    future = held.submit(gate.hold, "second")
    future.add_done_callback(lambda done: seen.append(done.cancelled()))

    future.cancel()

    assert seen == [True]


def test_wait_wakes_when_the_last_one_is_cancelled(ours_held: Executor, gate: Gate) -> None:
    """Better than threads, where the waiters wake only when a worker comes across the cancelled task."""
    future = ours_held.submit(gate.hold, "second")
    outcome: list[bool] = []
    waiter = threading.Thread(target=lambda: outcome.append(future in wait([future], PATIENCE).done))
    waiter.start()

    assert future.cancel()
    waiter.join(PATIENCE)

    assert outcome == [True]


def test_as_completed_yields_a_cancelled_future(ours_held: Executor, gate: Gate) -> None:
    future = ours_held.submit(gate.hold, "second")
    future.cancel()

    assert list(as_completed([future], PATIENCE)) == [future]


def test_result_in_another_thread_wakes(held: Executor, gate: Gate) -> None:
    future = held.submit(gate.hold, "second")
    raised: list[type[BaseException]] = []

    def client() -> None:
        try:
            future.result(PATIENCE)
        except BaseException as error:
            raised.append(type(error))

    thread = threading.Thread(target=client)
    thread.start()
    future.cancel()
    thread.join(PATIENCE)

    assert issubclass(raised[0], CancelledError)


def test_the_others_go_on(held: Executor, gate: Gate) -> None:
    futures = [held.submit(work.square, n) for n in range(20)]
    cancelled = {n for n in range(0, 20, 3) if futures[n].cancel()}

    gate.open()

    assert cancelled == set(range(0, 20, 3))
    for n, future in enumerate(futures):
        if n not in cancelled:
            assert future.result(PATIENCE) == n * n
