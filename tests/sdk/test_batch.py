"""batch.add in the guide's form and in today's."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from compute_executor.errors import InvalidRequest, SerializationError
from compute_executor.sdk.batch import Batch
from compute_executor.serialization import native
from compute_executor.serialize import ComputeSerializer, JSONData

FUNCTION, ENDPOINT = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture
def batch() -> Batch:
    return Batch(encode_call=native.dumps_call)


def calls(batch: Batch) -> list[tuple[str, str | None, tuple[Any, ...], dict[str, Any]]]:
    return [(task.function_id, task.endpoint_id, *native.loads_call(task.payload)) for task in batch]


def test_the_guides_form(batch: Batch) -> None:
    batch.add(1, "two", endpoint_id=ENDPOINT, function_id=FUNCTION, args=3, kwargs=4)
    batch.add(endpoint_id=uuid.UUID(ENDPOINT), function_id=uuid.UUID(FUNCTION))
    assert calls(batch) == [
        (FUNCTION, ENDPOINT, (1, "two"), {"args": 3, "kwargs": 4}),
        (FUNCTION, ENDPOINT, (), {}),
    ]


def test_todays_form(batch: Batch) -> None:
    batch.add(FUNCTION, (1,), {"a": 2})
    batch.add(FUNCTION, args=[1])
    batch.add(function_id=FUNCTION, kwargs={"a": 2})
    batch.add(uuid.UUID(FUNCTION))
    assert calls(batch) == [
        (FUNCTION, None, (1,), {"a": 2}),
        (FUNCTION, None, (1,), {}),
        (FUNCTION, None, (), {"a": 2}),
        (FUNCTION, None, (), {}),
    ]
    assert (len(batch), repr(batch)) == (4, "<Batch of 4 tasks>")


def test_arguments_are_taken_when_added(batch: Batch) -> None:
    values = [1]
    batch.add(FUNCTION, (values,))
    values.append(2)
    assert calls(batch)[0][2] == ([1],)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((FUNCTION, "a string"), {}),
        ((FUNCTION, 5), {}),
        ((FUNCTION, {1, 2}), {}),
        ((FUNCTION, (), 5), {}),
        ((FUNCTION, (), {1: 2}), {}),
        (("no-id",), {}),
        ((5,), {}),
        ((), {}),
        ((), {"function_id": FUNCTION, "x": 1}),
        ((1,), {"endpoint_id": ENDPOINT}),
        ((1,), {"endpoint_id": "nowhere", "function_id": FUNCTION}),
        ((1,), {"endpoint_id": ENDPOINT, "function_id": "nothing"}),
    ],
)
def test_bad_input_is_named_and_adds_nothing(batch: Batch, args: Any, kwargs: Any) -> None:
    with pytest.raises(InvalidRequest):
        batch.add(*args, **kwargs)
    assert len(batch) == 0


@pytest.mark.parametrize("args", [(), (None,), (5,), (FUNCTION, 5), (FUNCTION, (), 5)])
def test_a_wrong_type_is_a_type_error_too(batch: Batch, args: Any) -> None:
    with pytest.raises(TypeError):
        batch.add(*args)


def test_a_name_that_is_none_is_named(batch: Batch) -> None:
    with pytest.raises(TypeError, match="names of arguments as keys, not int: 1"):
        batch.add(FUNCTION, (), {"a": 0, 1: 2})


def test_an_argument_that_cannot_travel_is_named_where_it_is_passed(batch: Batch) -> None:
    with pytest.raises(SerializationError, match="argument 1"):
        batch.add(FUNCTION, (1, (i for i in range(3))))
    assert len(batch) == 0


def test_one_that_was_made_by_itself_is_prepared_as_the_sdk_does_it() -> None:
    group = uuid.uuid4()
    batch = Batch(group, {"num_nodes": 2}, {"heartbeat": 5}, True, result_serializers=["JSON"])
    batch.add(FUNCTION, (1,), {"a": 2})
    serializer = ComputeSerializer()
    payload = serializer.pack_buffers([serializer.serialize((1,)), serializer.serialize({"a": 2})])
    prepared = batch.prepare()
    assert prepared.pop("user_runtime") == batch.user_runtime
    assert prepared == {
        "create_queue": True,
        "tasks": {FUNCTION: [payload]},
        "task_group_id": str(group),
        "resource_specification": {"num_nodes": 2},
        "user_endpoint_config": {"heartbeat": 5},
        "result_serializers": ["JSON"],
    }
    batch.task_group_id = ""
    batch.user_runtime = {"python_version": "3"}
    assert "task_group_id" not in batch.prepare()
    assert batch.prepare()["user_runtime"] == {"python_version": "3"}


def test_by_a_serializer_of_ones_own() -> None:
    serializer = ComputeSerializer(strategy_data=JSONData())
    batch = Batch(serializer=serializer)
    batch.add(FUNCTION, [1])
    payload = serializer.pack_buffers([serializer.serialize([1]), serializer.serialize({})])
    assert batch.prepare()["tasks"] == {FUNCTION: [payload]}
