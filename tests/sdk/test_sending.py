"""Batches in parts: every good task goes, every bad one is told by its own id, order is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    ServiceUnavailable,
)
from compute_executor.sdk import sending
from compute_executor.sdk.batch import BatchOptions, BatchTask
from compute_executor.sdk.limits import OWN, RequestLimits
from compute_executor.sdk.outcome import Outcome
from compute_executor.sdk.wires.wire import BatchPart, SubmitAnswer

OPTIONS = BatchOptions()


class FakeWire:
    """Takes what ``refuse`` does not object to; ids tell what was sent."""

    def __init__(self, refuse: Callable[[BatchPart], ComputeError | None] = lambda part: None) -> None:
        self.limits: RequestLimits = OWN
        self.parts: list[BatchPart] = []
        self.refuse = refuse

    def encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        raise NotImplementedError

    def packed_call(self, packed: str) -> bytes:
        raise NotImplementedError

    def function_text(self, function: Callable[..., Any]) -> str:
        raise NotImplementedError

    def size(self, task: BatchTask) -> int:
        return len(task.payload)

    def submit(self, part: BatchPart) -> SubmitAnswer:
        self.parts.append(part)
        error = self.refuse(part)
        if error is not None:
            raise error
        ids = [f"{part.endpoint_id}/{task.function_id}/{task.payload.decode()}" for task in part.tasks]
        return SubmitAnswer(ids, "group", "request", str(part.endpoint_id))

    def outcome(self, task_id: str) -> Outcome:
        raise NotImplementedError

    def outcomes(self, task_ids: Sequence[str]) -> dict[str, Outcome]:
        raise NotImplementedError

    def cancel(self, task_ids: Sequence[str]) -> set[str]:
        raise NotImplementedError


def task(payload: str, function_id: str = "f", endpoint_id: str | None = None) -> BatchTask:
    return BatchTask(function_id, endpoint_id, payload.encode())


def knows(*functions: str) -> Callable[[BatchPart], ComputeError | None]:
    return lambda part: (
        None if {task.function_id for task in part.tasks} <= set(functions) else NotFound("no such function")
    )


def test_one_part_when_it_fits() -> None:
    wire = FakeWire()
    sent = sending.send(wire, [task("a"), task("b", "g")], "ep", OPTIONS)
    assert sent.task_ids == ["ep/f/a", "ep/g/b"]
    assert len(wire.parts) == 1


def test_endpoints_are_parts_and_the_order_stays() -> None:
    wire = FakeWire()
    tasks = [task("a", endpoint_id="x"), task("b", endpoint_id="y"), task("c", endpoint_id="x"), task("d")]
    sent = sending.send(wire, tasks, "z", OPTIONS)
    assert sent.task_ids == ["x/f/a", "y/f/b", "x/f/c", "z/f/d"]
    assert [part.endpoint_id for part in wire.parts] == ["x", "y", "z"]


@given(st.lists(st.integers(1, 10), min_size=1, max_size=40), st.integers(10, 30), st.integers(1, 6))
def test_parts_keep_the_limits_and_lose_nothing(sizes: list[int], limit: int, count: int) -> None:
    wire = FakeWire()
    wire.limits = OWN._replace(request_bytes=limit, batch_tasks=count)
    tasks = [task(chr(97 + index % 26) * size) for index, size in enumerate(sizes)]
    sent = sending.send(wire, tasks, "ep", OPTIONS)
    assert sent.task_ids == [f"ep/f/{one.payload.decode()}" for one in tasks]
    for part in wire.parts:
        assert len(part.tasks) <= count
        assert sum(len(one.payload) for one in part.tasks) <= limit


def test_one_that_alone_is_too_large_is_told_before_anything_is_sent() -> None:
    wire = FakeWire()
    wire.limits = OWN._replace(request_bytes=5)
    with pytest.raises(PayloadTooLarge, match="task 1 is 6 bytes, the service takes 5"):
        sending.send(wire, [task("a"), task("b" * 6)], "ep", OPTIONS)
    assert wire.parts == []


def test_the_good_ones_run_beside_an_unknown_function() -> None:
    sent = sending.send(
        FakeWire(knows("f", "g")), [task("a"), task("b", "no"), task("c", "g")], "ep", OPTIONS
    )
    assert sent.task_ids[0] == "ep/f/a"
    assert sent.task_ids[2] == "ep/g/c"
    (refused,) = sent.refused
    assert refused.task_id == sent.task_ids[1]
    with pytest.raises(NotFound, match="no such function"):
        refused.value()


def test_tasks_of_one_unknown_function_are_asked_about_once() -> None:
    wire = FakeWire(knows())
    with pytest.raises(NotFound):
        sending.send(wire, [task(str(index)) for index in range(100)], "ep", OPTIONS)
    assert len(wire.parts) == 1


def test_the_good_ones_run_beside_an_unknown_endpoint() -> None:
    wire = FakeWire(lambda part: NotFound("no endpoint") if part.endpoint_id == "y" else None)
    sent = sending.send(wire, [task("a", endpoint_id="x"), task("b", endpoint_id="y")], None, OPTIONS)
    assert sent.task_ids[0] == "x/f/a"
    assert [one.task_id for one in sent.refused] == [sent.task_ids[1]]


def test_what_the_service_finds_too_large_is_halved_until_it_is_not() -> None:
    wire = FakeWire(lambda part: PayloadTooLarge("413") if len(part.tasks) > 2 else None)
    tasks = [task(str(index)) for index in range(7)]
    assert sending.send(wire, tasks, "ep", OPTIONS).task_ids == [f"ep/f/{index}" for index in range(7)]


def test_the_one_culprit_among_many_is_found() -> None:
    wire = FakeWire(
        lambda part: PayloadTooLarge("413") if any(one.payload == b"5" for one in part.tasks) else None
    )
    sent = sending.send(wire, [task(str(index)) for index in range(8)], "ep", OPTIONS)
    assert [one.task_id for one in sent.refused] == [sent.task_ids[5]]
    assert len(set(sent.task_ids)) == 8


@pytest.mark.parametrize("error", [InvalidRequest("bad"), ServiceUnavailable("gone"), NotFound("no")])
def test_if_nothing_was_taken_the_refusal_is_raised(error: ComputeError) -> None:
    with pytest.raises(type(error)) as caught:
        sending.send(FakeWire(lambda part: error), [task("a"), task("b", "g")], "ep", OPTIONS)
    assert caught.value is error


def test_trouble_after_the_first_part_loses_none_of_its_ids() -> None:
    wire = FakeWire(lambda part: ServiceUnavailable("gone") if part.endpoint_id == "y" else None)
    sent = sending.send(wire, [task("a", endpoint_id="x"), task("b", endpoint_id="y")], None, OPTIONS)
    assert sent.task_ids[0] == "x/f/a"
    with pytest.raises(ServiceUnavailable):
        sent.refused[0].value()
