"""batch.add in the guide's form and in today's."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from compute_executor.errors import InvalidRequest, SerializationError
from compute_executor.sdk.batch import Batch
from compute_executor.serialization import native

FUNCTION, ENDPOINT = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture
def batch() -> Batch:
    return Batch(native.dumps_call)


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


def test_an_argument_that_cannot_travel_is_named_where_it_is_passed(batch: Batch) -> None:
    with pytest.raises(SerializationError, match="argument 1"):
        batch.add(FUNCTION, (1, (i for i in range(3))))
    assert len(batch) == 0
