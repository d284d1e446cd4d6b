"""Done-callbacks: in order, with the future, and harmless when they raise."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Executor, Future

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
