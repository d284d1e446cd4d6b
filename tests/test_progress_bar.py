"""The progress bar: what it counts, where it is drawn, and that it changes no result."""

from __future__ import annotations

import concurrent.futures
import importlib.machinery
import importlib.util
import io
import os
import pty
import sys
import types
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from compute_executor.progress_bar import can_draw, over_results, progress
from tests.conftest import MakeExecutor


def done(value: object = None, error: Exception | None = None) -> Future[Any]:
    future: Future[Any] = Future()
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
    return future


def test_futures_come_as_they_end_and_failures_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    cancelled: Future[Any] = Future()
    cancelled.cancel()
    cancelled.set_running_or_notify_cancel()
    futures = [done(1), done(error=ValueError("no")), cancelled]
    assert set(progress(futures, label="fit")) == set(futures)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("fit: 3/3, ")
    assert "2 failed" in shown.err


def test_a_timeout_is_that_of_as_completed() -> None:
    with pytest.raises(concurrent.futures.TimeoutError):
        list(progress([Future()], timeout=0.0))


def test_nothing_to_wait_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress([])) == []
    assert capsys.readouterr().err.startswith("0/0")


def test_it_works_with_the_standard_pools() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert [future.result() for future in progress([pool.submit(abs, -1)])] == [1]


def test_results_keep_their_order_and_an_error_is_raised(capsys: pytest.CaptureFixture[str]) -> None:
    def results() -> Any:
        yield from (1, 2)
        raise ValueError("no")

    got: list[int] = []
    with pytest.raises(ValueError, match="no"):
        got.extend(value for value in over_results(results(), None))
    assert "3, " in capsys.readouterr().err


def test_leaving_early_closes_what_is_below() -> None:
    class Closing:
        closed = False

        def __iter__(self) -> Closing:
            return self

        def __next__(self) -> int:
            return 1

        def close(self) -> None:
            self.closed = True

    below = Closing()
    shown = over_results(below, None)
    next(shown)
    shown.close()  # type: ignore[attr-defined]
    assert below.closed


@pytest.mark.parametrize("chunksize", [1, 3])
def test_map_with_a_bar(make: MakeExecutor, chunksize: int, capsys: pytest.CaptureFixture[str]) -> None:
    executor = make(label="squares")
    assert list(executor.map(abs, range(7), chunksize=chunksize, progress=True)) == list(range(7))
    assert capsys.readouterr().err.startswith("squares: 7/7, ")


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        list(progress([done(1), done(2)], label="fit [x]"))
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert b"fit [x]" in shown
    assert b"2/2" in shown


@pytest.mark.parametrize("installed", [True, False])
def test_a_notebook_gets_a_bar_where_widgets_are_installed(
    monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    found = importlib.machinery.ModuleSpec("ipywidgets", None) if installed else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found if name == "ipywidgets" else None)
    assert can_draw(io.StringIO()) is installed
