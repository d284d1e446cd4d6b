"""Tables for notebooks: what they say, and that nothing in them is markup of a task's."""

from __future__ import annotations

from typing import Any, cast

from compute_executor import Executor
from tests.conftest import MakeExecutor
from tests.fake_service import FakeService


class Loud:
    def __repr__(self) -> str:
        raise ValueError("no")


def test_an_executor(make: MakeExecutor) -> None:
    executor: Executor = make(label="<b>fit</b>", max_workers=2)
    shown = executor._repr_html_()
    assert "&lt;b&gt;fit&lt;/b&gt;" in shown
    assert f"compute-executor tasks --group {str(executor.task_group_id)[:8]}" in shown
    assert "<b>" not in shown


def test_futures_of_every_state(fake: FakeService, make: MakeExecutor) -> None:
    executor = make(max_workers=1)
    done, failed = executor.submit(abs, -5), executor.submit(int, "<script>")
    assert done.result(10) == 5
    assert failed.exception(10) is not None
    shown = done._repr_html_()
    for text in ("succeeded", ">5<", str(done.task_id), "later"):
        assert text in shown
    shown = failed._repr_html_()
    assert "ValueError: invalid literal" in shown
    assert "<script>" not in shown
    waiting = executor.submit(abs, 1)
    assert "waiting" in waiting._repr_html_() or waiting.done()
    loud = executor.submit(abs, 1)
    loud.result(10)
    loud._result = cast(Any, Loud())
    assert "cannot be shown: ValueError" in loud._repr_html_()
    loud._result = cast(Any, "x" * 1000)
    assert "x" * 400 + "x" in loud._repr_html_()
    assert "x" * 600 not in loud._repr_html_()
