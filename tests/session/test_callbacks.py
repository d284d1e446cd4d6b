"""The thread of the done-callbacks: in order, whatever they raise, and until the last is done."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from compute_executor.session.callbacks import CallbackRunner
from tests.session.owner import future


def with_callback(callback: Any) -> Any:
    one = future()
    one.finish(1)
    one._done_callbacks.append(callback)
    return one


def test_they_run_in_order_on_a_thread_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    runner = CallbackRunner()
    called: list[Any] = []

    def leave(_: Any) -> None:
        raise SystemExit

    runner.run(with_callback(leave))
    for number in range(5):
        runner.run(with_callback(lambda _, number=number: called.append((number, runner.is_own_thread()))))
    runner.close()

    assert runner.join(10)
    assert called == [(number, True) for number in range(5)]
    assert not runner.is_own_thread()
    assert "exception calling callback" in caplog.text


def test_without_a_callback_there_is_no_thread() -> None:
    before = threading.active_count()
    runner = CallbackRunner()
    runner.close()

    assert runner.join(10)
    assert threading.active_count() == before


def test_one_that_comes_after_the_end_runs_at_once() -> None:
    runner = CallbackRunner()
    called: list[threading.Thread] = []
    runner.close()
    runner.run(with_callback(lambda _: called.append(threading.current_thread())))

    assert called == [threading.current_thread()]


def test_where_no_thread_can_be_started_they_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    runner = CallbackRunner()
    called: list[Any] = []
    monkeypatch.setattr(threading.Thread, "start", refuse)
    runner.run(with_callback(called.append))
    assert len(called) == 1


def test_a_wait_for_one_that_hangs_is_bounded() -> None:
    runner, release = CallbackRunner(), threading.Event()
    runner.run(with_callback(lambda _: release.wait(10)))
    runner.close()

    assert not runner.join(0.01)
    release.set()
    assert runner.join(10)
