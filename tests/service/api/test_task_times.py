"""Times of a connection's tasks: all of a task's or zeros, and nothing kept of what has ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compute_executor.endpoint.worker import trace
from compute_executor.protocol import frames
from compute_executor.service.api.task_times import TaskTimes

PREFIX = b"p" * 12


@pytest.fixture
def hops() -> Iterator[TaskTimes]:
    hops = TaskTimes()
    yield hops
    hops.close()
    assert trace.marks is None


def result(position: int, prefix: bytes = PREFIX) -> frames.Result:
    return frames.Result(1, prefix, position, frames.VALUE, b"", 1.0, 2.0)


def test_a_task_has_all_its_times_in_their_order(hops: TaskTimes) -> None:
    assert hops.take() is None
    assert trace.marks is not None
    hops.received(PREFIX, 2)
    trace.committed(trace.marks, 5)
    hops.committed(PREFIX, 5)
    trace.sent(trace.marks, [(5, 0), (5, 1)])
    trace.reported(trace.marks, [(5, 0)])
    hops.stored([result(0)])
    found = hops.take()
    assert found is not None
    (hop,) = found.tasks
    times = [hop.received, hop.committed, hop.sent, hop.reported, hop.stored, found.streamed]
    assert all(times)
    assert times == sorted(times)
    assert hops.take() is None


def test_what_was_not_seen_is_zero(hops: TaskTimes) -> None:
    hops.stored([result(0, b"?" * 12)])
    found = hops.take()
    assert found is not None
    assert (found.tasks[0].received, found.tasks[0].sent, found.tasks[0].reported) == (0.0, 0.0, 0.0)


def test_nothing_is_kept_of_what_has_ended(hops: TaskTimes) -> None:
    hops.received(PREFIX, 2)
    hops.committed(PREFIX, 5)
    hops.stored([result(0), result(1)])
    hops.received(b"q" * 12, 1)
    hops.committed(b"q" * 12, None)  # it has ended meanwhile
    hops.stored([result(0, b"q" * 12)])
    assert (hops._batches, hops._left, hops._received) == ({}, {}, {})
