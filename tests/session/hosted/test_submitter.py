"""Submits to a service that is none of ours: parts within its limits, who is to blame, patience that ends."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute_executor.batch import Call, Function, Target
from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    PayloadTooLarge,
    ServiceUnavailable,
    SubmitOutcomeUnknown,
)
from compute_executor.protocol.frames import Options
from compute_executor.sdk.wires.wire import BatchPart, SubmitAnswer
from compute_executor.session.hosted.submitter import UNKNOWN_TRIES, HostedSubmitter

ENDPOINT = uuid.uuid4()
GROUP = str(uuid.uuid4())


class Around:
    """The wire, the registering, and the place that hears of it. ``answers``: what submits raise, in order;
    ``dislikes``: what the error for a part is, if any."""

    def __init__(self, *, tasks: int = 4, size: int = 1000) -> None:
        self.limits = SimpleNamespace(request_bytes=size, batch_tasks=tasks)
        self.parts: list[BatchPart] = []
        self.registered: list[str] = []
        self.named: dict[str, str] = {}
        self.turned_down: dict[str, ComputeError] = {}
        self.answers: list[ComputeError] = []
        self.dislikes: Callable[[BatchPart], ComputeError | None] = lambda _part: None
        self.cannot_register: ComputeError | None = None
        self.waits = 0
        self.patient = True
        self.posting = HostedSubmitter(cast(Any, self), self.register, self, GROUP, 10.0)

    # the wire

    def size(self, task: Any) -> int:
        return len(task.payload)

    def submit(self, part: BatchPart) -> SubmitAnswer:
        self.parts.append(part)
        if self.answers:
            raise self.answers.pop(0)
        error = self.dislikes(part)
        if error is not None:
            raise error
        return SubmitAnswer([f"id of {task.payload.decode()}" for task in part.tasks], GROUP, "", "")

    def register(self, name: str, code: bytes) -> str:
        if self.cannot_register is not None:
            raise self.cannot_register
        self.registered.append(name)
        return f"function {name}"

    # the place

    def taken(self, target: Target, calls: list[Call[Any]], task_ids: list[str]) -> None:
        for call, task_id in zip(calls, task_ids, strict=True):
            self.named[cast(bytes, call.body).decode()] = task_id

    def refused(self, call: Call[Any], error: ComputeError) -> None:
        self.turned_down[cast(bytes, call.body).decode()] = error

    def wait(self, seconds: float) -> bool:
        self.waits += 1
        return self.patient

    # the test

    def post(self, *bodies: str, functions: str = "f", **options: Any) -> None:
        target = Target(options.pop("endpoint", ENDPOINT.bytes), None, Options(**options))
        calls = [call(target, body, functions[number % len(functions)]) for number, body in enumerate(bodies)]
        self.posting.post(target, calls)


def call(target: Target, body: str, name: str) -> Call[Any]:
    return Call(cast(Any, None), Function(name.encode() * 32, name, b"code"), body.encode(), target)


def sent(around: Around) -> list[list[str]]:
    return [[task.payload.decode() for task in part.tasks] for part in around.parts]


def test_parts_keep_within_what_the_service_takes() -> None:
    around = Around(tasks=2, size=40)
    around.post("a", "b", "c", "x" * 20, "y" * 20)
    assert sent(around) == [["a", "b"], ["c", "x" * 20], ["y" * 20]]
    assert around.named["c"] == "id of c"
    part = around.parts[0]
    assert part.endpoint_id == str(ENDPOINT)
    assert (part.options.task_group_id, part.options.create_queue) == (GROUP, True)


def test_options_of_the_endpoint_go_along() -> None:
    around = Around()
    around.post(
        "a", resource_specification={"n": 1}, user_endpoint_config={"q": 2}, result_serializers=["x.Y"]
    )
    options = around.parts[0].options
    assert (options.resource_specification, options.user_endpoint_config) == ({"n": 1}, {"q": 2})
    assert options.result_serializers == ["x.Y"]


def test_nodes_and_ranks_are_a_specification_there() -> None:
    around = Around()
    around.post("a", nodes=2, ranks=4)
    wanted = {"num_nodes": 2, "num_ranks": 4, "ranks_per_node": 2}
    assert around.parts[0].options.resource_specification == wanted


def test_what_is_too_large_for_any_part_is_refused_before_it_is_sent() -> None:
    around = Around(size=40)
    around.post("a", "x" * 50)
    assert isinstance(around.turned_down["x" * 50], PayloadTooLarge)
    assert sent(around) == [["a"]]


def test_a_function_is_registered_once_and_known_ones_never() -> None:
    around = Around()
    around.post("a", "b", "c", functions="fg")
    around.post("d")
    assert around.registered == ["f", "g"]
    known, target = uuid.uuid4(), Target(ENDPOINT.bytes, None, Options())
    there = Function(known.bytes, "there", None)
    around.posting.post(target, [Call(cast(Any, None), there, b"e", target)])
    assert around.parts[-1].tasks[0].function_id == str(known)
    assert around.registered == ["f", "g"]


def test_a_function_that_cannot_be_registered_is_its_callers_trouble() -> None:
    around = Around()
    around.cannot_register = PayloadTooLarge("a function of 12 MB")
    around.post("a")
    assert around.turned_down == {"a": around.cannot_register}
    assert around.parts == []


def test_a_service_without_an_endpoint_of_its_own() -> None:
    around = Around()
    around.post("a", endpoint=b"")
    assert isinstance(around.turned_down["a"], InvalidRequest)
    assert around.parts == []


@settings(deadline=None)
@given(st.integers(1, 20), st.sets(st.integers(0, 19)))
def test_only_those_to_blame_are_refused(count: int, bad: set[int]) -> None:
    around = Around(tasks=20)
    around.dislikes = lambda part: (
        InvalidRequest("a payload") if any(int(task.payload) in bad for task in part.tasks) else None
    )
    around.post(*map(str, range(count)))
    assert set(around.turned_down) == {str(one) for one in bad if one < count}
    assert set(around.named) | set(around.turned_down) == {str(one) for one in range(count)}


@pytest.mark.parametrize("error", [NotFound("no such function"), NotAuthorized("not this function")])
def test_a_function_to_blame_does_not_cost_the_others(error: ComputeError) -> None:
    around = Around()
    around.dislikes = lambda part: (
        error if any(task.function_id == "function g" for task in part.tasks) else None
    )
    around.post("a", "b", "c", "d", functions="fg")
    assert set(around.named) == {"a", "c"}
    assert around.turned_down == {"b": error, "d": error}
    assert len(around.parts) == 3  # nothing is gained by halves


def test_other_errors_are_for_all_of_a_part() -> None:
    around = Around()
    around.answers = [ComputeError("a bug over there")]
    around.post("a", "b")
    assert set(around.turned_down) == {"a", "b"}
    assert len(around.parts) == 1


def test_a_submit_that_may_have_arrived_is_not_repeated_unless_wished() -> None:
    around = Around()
    around.answers = [SubmitOutcomeUnknown("cut")]
    around.post("a")
    assert isinstance(around.turned_down["a"], SubmitOutcomeUnknown)
    around.posting.resend_unknown = True
    around.answers = [SubmitOutcomeUnknown("cut")] * UNKNOWN_TRIES
    around.post("b")
    assert around.named == {"b": "id of b"}
    around.answers = [SubmitOutcomeUnknown("cut")] * (UNKNOWN_TRIES + 1)
    around.post("c")
    assert isinstance(around.turned_down["c"], SubmitOutcomeUnknown)


def test_a_service_that_was_there_is_waited_for() -> None:
    around = Around()
    around.post("a")
    around.answers = [ServiceUnavailable("away")] * 3
    around.post("b")
    assert around.named["b"] == "id of b"
    assert around.waits == 3


def test_one_that_never_was_is_not() -> None:
    around = Around()
    around.cannot_register = ServiceUnavailable("a wrong address")
    around.post("a")
    assert around.turned_down == {"a": around.cannot_register}
    assert around.waits == 0


def test_patience_ends_when_nobody_waits_or_the_time_is_over() -> None:
    around = Around()
    around.post("a")
    around.patient = False
    around.answers = [ServiceUnavailable("away")] * 5
    around.post("b")
    assert around.waits == 1
    around.patient = True
    around.posting._grace = 0.0
    around.post("c")
    assert set(around.turned_down) == {"b", "c"}
    assert around.waits == 1
