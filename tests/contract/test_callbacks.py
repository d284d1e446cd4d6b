"""Done-callbacks: in order, with the future, and harmless when they raise."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from tests.contract import work
from tests.contract.work import PATIENCE, Gate, wait_until


def test_in_the_order_they_were_added(executor: Executor, gate: Gate) -> None:
    order: list[int] = []
    last = threading.Event()
    future = executor.submit(gate.hold)
    for number in range(10):
        future.add_done_callback(lambda _, number=number: order.append(number))  # type: ignore[misc]
    future.add_done_callback(lambda _: last.set())

    gate.open()

    assert last.wait(PATIENCE)
    assert order == list(range(10))


def test_with_the_future_itself(executor: Executor) -> None:
    seen: list[Future[int]] = []
    future = executor.submit(work.square, 4)
    future.add_done_callback(seen.append)
    wait_until(lambda: seen)

    assert seen[0] is future
    assert seen[0].result(0) == 16


def test_at_once_when_it_is_done_already(executor: Executor) -> None:
    future = executor.submit(work.square, 4)
    future.result(PATIENCE)
    threads: list[threading.Thread] = []

    future.add_done_callback(lambda _: threads.append(threading.current_thread()))

    assert threads == [threading.current_thread()]


def test_one_that_raises_is_logged_and_harmless(
    executor: Executor, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    after = threading.Event()
    future = executor.submit(gate.hold)
    future.add_done_callback(lambda _: work.fail(ValueError, "of a callback"))
    future.add_done_callback(lambda _: after.set())

    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        gate.open()
        assert after.wait(PATIENCE)

    assert "exception calling callback" in caplog.text
    assert "of a callback" in caplog.text
    assert executor.submit(work.square, 5).result(PATIENCE) == 25


def test_one_may_submit(executor: Executor) -> None:
    chain: list[int] = []
    done = threading.Event()

    def go_on(future: Future[int]) -> None:
        chain.append(future.result())
        if len(chain) < 20:
            executor.submit(work.square, len(chain)).add_done_callback(go_on)
        else:
            done.set()

    executor.submit(work.square, 0).add_done_callback(go_on)

    assert done.wait(PATIENCE)
    assert chain == [n * n for n in range(20)]


def test_those_of_a_cancelled_future_run_in_the_thread_that_cancels(executor: Executor, gate: Gate) -> None:
    for name in ("first", "second"):
        executor.submit(gate.hold, name)
        gate.wait_for(name)
    futures = [executor.submit(gate.hold, str(number)) for number in range(4)]
    threads: list[threading.Thread] = []
    for future in futures:
        future.add_done_callback(lambda _: threads.append(threading.current_thread()))

    assert futures[3].cancel()
    executor.shutdown(wait=False, cancel_futures=True)
    assert threads == [threading.current_thread()] * 4
    gate.open()


def cancel(executor: Executor, future: Future[str]) -> None:
    assert future.cancel()


def shut_down(executor: Executor, future: Future[str]) -> None:
    executor.shutdown(wait=False, cancel_futures=True)


@pytest.mark.parametrize("act", [cancel, shut_down])
def test_cancelling_under_a_lock_that_a_callback_waits_for(
    executor: Executor, gate: Gate, act: Callable[[Executor, Future[str]], None]
) -> None:
    lock = threading.RLock()
    entered, passed = threading.Event(), threading.Event()

    def needs_the_lock(_: Future[Any]) -> None:
        entered.set()
        with lock:
            passed.set()

    quick = executor.submit(time.sleep, 0.2)
    first = executor.submit(gate.hold, "first")
    with lock:
        quick.add_done_callback(needs_the_lock)
        waiting = [executor.submit(gate.hold, str(number)) for number in range(20)]
        assert entered.wait(PATIENCE)
        gate.wait_for("first")
        for future in waiting:
            future.add_done_callback(needs_the_lock)
        began = time.monotonic()
        act(executor, waiting[-1])
        assert time.monotonic() - began < 2
        assert waiting[-1].cancelled()
    gate.open()
    assert first.result(PATIENCE) == "first"


def test_a_map_that_is_closed_under_a_lock_that_a_callback_waits_for(executor: Executor, gate: Gate) -> None:
    lock = threading.Lock()
    entered = threading.Event()

    def needs_the_lock(_: Future[Any]) -> None:
        entered.set()
        with lock:
            pass

    with lock:
        executor.submit(time.sleep, 0.1).add_done_callback(needs_the_lock)
        values = executor.map(gate.hold_all_but_the_first, range(20))
        next(values)
        assert entered.wait(PATIENCE)
        began = time.monotonic()
        values.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began < 2
    gate.open()


def test_one_may_wait_for_another_future(executor: Executor, gate: Gate) -> None:
    seen: list[str] = []
    done = threading.Event()
    other = executor.submit(gate.hold, "other")
    first = executor.submit(time.sleep, 0.1)

    def wait_for_the_other(_: Future[Any]) -> None:
        gate.open()
        seen.append(other.result(PATIENCE))
        done.set()

    first.add_done_callback(wait_for_the_other)
    assert done.wait(PATIENCE)
    assert seen == ["other"]


def test_shutdown_waits_for_the_callbacks(make_executor: Any) -> None:
    called: list[float] = []

    def slow(_: Future[int]) -> None:
        time.sleep(0.2)
        called.append(time.monotonic())

    with make_executor(max_workers=1) as executor:
        executor.submit(time.sleep, 0.1).add_done_callback(slow)
    assert len(called) == 1


def test_one_may_cancel_another(executor: Executor, gate: Gate) -> None:
    first = executor.submit(gate.hold, "first")
    second = executor.submit(gate.hold, "second")
    gate.wait_for("first")
    gate.wait_for("second")
    third = executor.submit(gate.hold, "third")
    outcome: list[bool] = []
    third.add_done_callback(lambda _: outcome.append(second.cancel()))

    assert third.cancel()
    assert outcome == [False]
    gate.open()
    assert first.result(PATIENCE) == "first"
