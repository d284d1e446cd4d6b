"""Time lines: every task has its spans, in order, from its submit to its future."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import compute_executor
from compute_executor import tracing
from compute_executor.endpoint.worker import trace
from compute_executor.protocol.frames import Result
from compute_executor.protocol.ids import new_prefix
from compute_executor.service.api.task_times import TaskTimes

PLACES = ("submitted", *(place for _, place in tracing.SPANS))
NAMES = [span for span, _ in tracing.SPANS]


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a file that lacks only its last comma and bracket."""
    events: list[dict[str, Any]] = json.loads(path.read_text().rstrip().rstrip(",") + "]")
    return events


def test_each_span_ends_where_the_next_begins() -> None:
    events = tracing.spans("id", "f", {place: float(number) for number, place in enumerate(PLACES, 1)})

    assert [event["name"] for event in events if event["ph"] == "b"] == ["f", *NAMES]
    assert [event["ts"] for event in events[1:-1]] == [1e6 * n for k in range(1, 11) for n in (k, k + 1)]
    assert (events[0]["ts"], events[-1]["ts"]) == (1e6, 11e6)


def test_an_unknown_place_leaves_its_span_out() -> None:
    events = tracing.spans("id", "f", {"submitted": 1.0, "flushed": 2.0, "set": 3.0})

    assert [event["name"] for event in events if event["ph"] == "b"] == ["f", NAMES[0], NAMES[-1]]


def test_clocks_that_differ_make_no_negative_span() -> None:
    events = tracing.spans("id", "f", {"submitted": 5.0, "began": 1.0, "set": 6.0})

    assert [event["ts"] for event in events] == [5e6, 5e6, 5e6, 5e6, 6e6, 6e6]


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_every_task_has_all_its_hops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    path = tmp_path / "trace.json"
    if how == "environment":
        monkeypatch.setenv("COMPUTE_EXECUTOR_TRACE", str(path))
    before = time.time()
    with compute_executor.Executor(max_workers=1, trace=path if how == "argument" else None) as executor:
        futures = [executor.submit(abs, -number) for number in range(5)]
        assert [future.result(60) for future in futures] == list(range(5))
        ids = {future.task_id for future in futures}
    events = read(path)

    assert {event["id"] for event in events} == ids
    for task_id in ids:
        mine = [event for event in events if event["id"] == task_id]
        assert [event["name"] for event in mine if event["ph"] == "b"] == ["abs", *NAMES]
        times = [event["ts"] for event in mine]
        assert times[1:] == sorted(times[1:])
        assert before <= times[0] / 1e6 <= times[-1] / 1e6 <= time.time()


def test_without_a_trace_no_file_is_made_and_nothing_is_kept(tmp_path: Path) -> None:
    with compute_executor.Executor(max_workers=1) as executor:
        assert executor.submit(abs, -1).result(60) == 1
    assert trace.marks is None


def test_two_traces_share_a_file(tmp_path: Path) -> None:
    files = [tracing.TraceFile(str(tmp_path / "trace.json")) for _ in range(2)]
    for number, file in enumerate(files):
        file.write([{"number": number}])
        file.close()

    assert read(tmp_path / "trace.json") == [{"number": 0}, {"number": 1}]


def test_hops_of_a_batch() -> None:
    hops, prefix = TaskTimes(), new_prefix()
    try:
        assert trace.marks is not None
        hops.received(prefix, 1)
        trace.committed(trace.marks, 7)
        hops.committed(prefix, 7)
        trace.sent(trace.marks, [(7, 0, 1)])
        trace.reported(trace.marks, [(7, 0, 1), (8, 0, 1)])  # nobody has sent the second
        hops.stored([Result(1, prefix, 0, 0, b""), Result(2, new_prefix(), 0, 0, b"")])
        told = hops.take()
        assert told is not None
        known, unknown = told.tasks
        assert 0 < known.received <= known.committed <= known.sent <= known.reported <= known.stored
        assert unknown.stored
        assert not unknown.sent
        assert hops.take() is None
        assert not trace.marks
    finally:
        hops.close()
    assert trace.marks is None


def test_marks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MOST", 10)
    marks: trace.Marks = {}
    for number in range(100):
        trace.sent(marks, [(number, 0, 1)])

    assert len(marks) <= 11
    assert (99, 0) in marks
