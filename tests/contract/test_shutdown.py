"""shutdown, the with statement, and initializers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor

import pytest

from tests.contract import work
from tests.contract.work import PATIENCE, Gate, wait_until

MakeExecutor = Callable[..., Executor]


def test_nothing_can_be_submitted_afterwards(executor: Executor) -> None:
    executor.submit(work.square, 1)
    executor.shutdown()

    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(work.square, 2)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(work.square, [2])


def test_it_may_be_said_twice_and_before_any_use(make_executor: MakeExecutor) -> None:
    executor = make_executor(max_workers=1)

    executor.shutdown()
    executor.shutdown(wait=False)
    executor.shutdown(wait=True, cancel_futures=True)


def test_it_waits_for_what_was_submitted(executor: Executor) -> None:
    futures = [executor.submit(work.square, n) for n in range(100)]

    executor.shutdown()

    assert all(future.done() for future in futures)
    assert [future.result(0) for future in futures] == [n * n for n in range(100)]


def test_without_waiting_the_tasks_still_end(executor: Executor, gate: Gate) -> None:
    future = executor.submit(gate.hold)

    executor.shutdown(wait=False)

    assert not future.done()
    gate.open()
    assert future.result(PATIENCE) == "task"


def test_cancelling_what_has_not_begun(make_executor: MakeExecutor, gate: Gate) -> None:
    executor = make_executor(max_workers=1)
    futures = [executor.submit(gate.hold, str(n)) for n in range(20)]
    gate.wait_for("0")

    closing = threading.Thread(target=lambda: executor.shutdown(cancel_futures=True))
    closing.start()
    wait_until(lambda: all(future.cancelled() for future in futures[2:]))
    gate.open()
    closing.join(PATIENCE)

    assert futures[0].result(0) == "0"
    assert not any(gate.has_begun(str(n)) for n in range(2, 20))


def test_leaving_a_with_body_waits(make_executor: MakeExecutor) -> None:
    with make_executor(max_workers=1) as executor:
        future = executor.submit(work.square, 5)

    assert future.result(0) == 25


def test_an_exception_in_a_with_body_is_not_hidden(make_executor: MakeExecutor) -> None:
    executor = make_executor(max_workers=1)
    future = executor.submit(work.square, 5)

    with pytest.raises(LookupError, match="of the body"), executor:
        raise LookupError("of the body")

    assert future.result(0) == 25


def test_a_callback_may_shut_down(executor: Executor) -> None:
    done = threading.Event()

    def close(_: object) -> None:
        executor.shutdown(wait=False)
        done.set()

    executor.submit(work.square, 1).add_done_callback(close)

    assert done.wait(PATIENCE)
    with pytest.raises(RuntimeError):
        executor.submit(work.square, 2)


def test_two_threads_may_shut_down(executor: Executor, gate: Gate) -> None:
    future = executor.submit(gate.hold)
    threads = [threading.Thread(target=executor.shutdown) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.open()
    for thread in threads:
        thread.join(PATIENCE)

    assert not any(thread.is_alive() for thread in threads)
    assert future.result(0) == "task"


@pytest.mark.parametrize("count", [0, -1])
def test_there_is_at_least_one_worker(make_executor: MakeExecutor, count: int) -> None:
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        make_executor(max_workers=count)


# -- initializers ---------------------------------------------------------------------------------------

SETTING = "unset"


def set_up(value: str) -> None:
    global SETTING
    SETTING = value


def setting() -> str:
    return SETTING


def record(folder: str) -> None:
    """Leave a file named after this worker; a second call in the same one is seen by its longer content."""
    with open(os.path.join(folder, f"{os.getpid()}-{threading.get_ident()}"), "a") as file:
        file.write("x")


def test_every_worker_is_initialized(make_executor: MakeExecutor) -> None:
    executor = make_executor(max_workers=2, initializer=set_up, initargs=("set",))

    assert {executor.submit(setting).result(PATIENCE) for _ in range(10)} == {"set"}


def test_a_worker_is_initialized_once(make_executor: MakeExecutor, tmp_path: object) -> None:
    executor = make_executor(max_workers=2, initializer=record, initargs=(str(tmp_path),))

    list(executor.map(work.square, range(50)))
    executor.shutdown()

    files = [name for name in os.listdir(str(tmp_path)) if name.replace("-", "").isdigit()]
    assert 1 <= len(files) <= 2
    # A worker that got none of the calls may have been stopped between making its file and writing into it.
    assert max(os.path.getsize(os.path.join(str(tmp_path), name)) for name in files) == 1


def test_an_initializer_of_the_test_itself(make_executor: MakeExecutor, tmp_path: object) -> None:
    marker = os.path.join(str(tmp_path), "marker")
    executor = make_executor(max_workers=1, initializer=lambda: open(marker, "w").close())

    assert executor.submit(os.path.exists, marker).result(PATIENCE)


def test_a_failing_initializer_breaks_the_executor(make_executor: MakeExecutor) -> None:
    executor = make_executor(max_workers=1, initializer=work.fail, initargs=(ValueError, "set-up"))

    with pytest.raises(BrokenExecutor):
        executor.submit(work.square, 1).result(PATIENCE)
    with pytest.raises(BrokenExecutor):
        executor.submit(work.square, 2)


def test_an_initializer_must_be_callable(make_executor: MakeExecutor) -> None:
    with pytest.raises(TypeError, match="initializer must be a callable"):
        make_executor(initializer=3)
