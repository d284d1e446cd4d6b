"""Times are kept only while somebody traces, and never without bound."""

from __future__ import annotations

import pytest

from compute_executor.endpoint.worker import trace


def test_times_are_kept_while_somebody_traces() -> None:
    assert trace.marks is None
    trace.watch()
    trace.watch()
    marks = trace.marks
    trace.unwatch()
    assert trace.marks is marks
    trace.unwatch()
    assert trace.marks is None


def test_a_task_is_sent_and_reported_and_strangers_are_not() -> None:
    marks: trace.Marks = {}
    trace.committed(marks, 1)
    trace.sent(marks, [(1, 0, "more"), (1, 1)])
    trace.reported(marks, [(1, 0, 2), (9, 9)])
    assert {key: len(times) for key, times in marks.items()} == {(1, trace.WHOLE): 1, (1, 0): 2, (1, 1): 1}


def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MOST", 10)
    marks: trace.Marks = {}
    for position in range(100):
        trace.sent(marks, [(1, position)])
        assert len(marks) <= 12
    assert (1, 99) in marks
    assert (1, 0) not in marks
