"""Speaking as a stock SDK does, to a service that knows nothing else."""

from __future__ import annotations

import json
import traceback
import uuid
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor import Client
from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    SubmitOutcomeUnknown,
    TaskExecutionFailed,
    TaskPending,
)
from compute_executor.sdk.batch import BatchTask
from compute_executor.sdk.limits import HOSTED
from compute_executor.sdk.wires.text_wire import TextWire
from compute_executor.serialization import large, packing, stock, strategies
from tests.sdk.conftest import Reply, ScriptedService, Seen

ENDPOINT = str(uuid.uuid4())
FUNCTION, OTHER = str(uuid.uuid4()), str(uuid.uuid4())
SUBMIT = f"POST /v3/endpoints/{ENDPOINT}/submit"


def accept(seen: Seen) -> Reply:
    """As the hosted service answers: ids by function."""
    tasks = {name: [str(uuid.uuid4()) for _ in payloads] for name, payloads in seen.document["tasks"].items()}
    answer = {"request_id": "r", "task_group_id": str(uuid.uuid4()), "endpoint_id": ENDPOINT, "tasks": tasks}
    return Reply(202, answer)


@pytest.fixture
def client(service: ScriptedService) -> Iterator[Client]:
    """A client of a service that is none of ours: its version document does not say so."""
    service.on("GET /v2/version", Reply(200, {"api": "1", "min_sdk_version": "0", "min_ep_version": "0"}))
    service.on(SUBMIT, accept)
    with Client(base_url=service.url, token="t") as client:
        yield client


def documents(task_ids: list[str], **fields: Any) -> dict[str, Any]:
    return {task_id: {"task_id": task_id, **fields} for task_id in task_ids}


def test_it_is_asked_once_whether_it_is_ours(client: Client, service: ScriptedService) -> None:
    assert not client.is_own_service()
    client.run(endpoint_id=ENDPOINT, function_id=FUNCTION)
    client.run(endpoint_id=ENDPOINT, function_id=FUNCTION)
    assert len(service.requests("GET /v2/version?service=all")) == 1


def test_a_service_without_a_version_is_not_ours(service: ScriptedService) -> None:
    with Client(base_url=service.url) as client:
        assert not client.is_own_service()


def test_run_sends_what_a_stock_sdk_sends(client: Client, service: ScriptedService) -> None:
    task_id = client.run(1, "two", endpoint_id=ENDPOINT, function_id=FUNCTION, key=3)
    uuid.UUID(task_id)
    document = service.requests(SUBMIT)[0].document
    (packed,) = document["tasks"][FUNCTION]
    assert strategies.loads_call(packed) == ((1, "two"), {"key": 3})
    assert [buffer[:3] for buffer in packing.unpack(packed)] == ["00\n", "00\n"]
    assert document["create_queue"] is False
    assert {"python_version", "globus_compute_sdk_version", "python", "platform"} <= document[
        "user_runtime"
    ].keys()


def test_register_sends_what_a_stock_sdk_sends(client: Client, service: ScriptedService) -> None:
    service.on("POST /v3/functions", Reply(200, {"function_uuid": FUNCTION}))

    def double(x: int) -> int:
        """Twice as much."""
        return 2 * x

    assert client.register_function(double, public=True, metadata={"a": "b"}) == FUNCTION
    document = service.requests("POST /v3/functions")[0].document
    (buffer,) = packing.unpack(document.pop("function_code"))
    assert buffer.startswith("01\n")
    assert strategies.loads(buffer)(4) == 8
    assert document.pop("meta")["a"] == "b"
    assert document == {
        "function_name": "double",
        "serialized": True,
        "description": "Twice as much.",
        "public": True,
    }


def test_a_batch_in_todays_form(client: Client, service: ScriptedService) -> None:
    group = str(uuid.uuid4())
    batch = client.create_batch(
        task_group_id=group, user_endpoint_config={"cores": 2}, create_websocket_queue=True
    )
    for index in range(3):
        batch.add(FUNCTION if index != 1 else OTHER, (index,))
    answer = client.batch_run(ENDPOINT, batch)
    assert {name: len(ids) for name, ids in answer["tasks"].items()} == {FUNCTION: 2, OTHER: 1}
    assert answer["request_id"] == "r"
    document = service.requests(SUBMIT)[0].document
    assert (document["task_group_id"], document["user_endpoint_config"]) == (group, {"cores": 2})
    assert document["create_queue"] is True


def test_a_batch_in_the_guides_form_keeps_the_order(client: Client, service: ScriptedService) -> None:
    given: dict[str, list[str]] = {}

    def remember(seen: Seen) -> Reply:
        reply = accept(seen)
        given.update(reply.document["tasks"])
        return reply

    service.on(SUBMIT, remember)
    batch = client.create_batch()
    for function_id in (FUNCTION, OTHER, FUNCTION):
        batch.add(endpoint_id=ENDPOINT, function_id=function_id)
    assert client.batch_run(batch) == [given[FUNCTION][0], given[OTHER][0], given[FUNCTION][1]]


def test_a_submit_without_an_answer_is_not_sent_again(client: Client, service: ScriptedService) -> None:
    service.on(SUBMIT, Reply(hang_up=True))
    with pytest.raises(SubmitOutcomeUnknown, match="may or may not run"):
        client.run(endpoint_id=ENDPOINT, function_id=FUNCTION)
    assert len(service.requests(SUBMIT)) == 1


def test_429_is_waited_for(client: Client, service: ScriptedService, no_pauses: list[float]) -> None:
    service.on(SUBMIT, Reply(429, headers={"Retry-After": "5"}), accept)
    client.run(endpoint_id=ENDPOINT, function_id=FUNCTION)
    assert no_pauses == [5.0]


def test_an_answer_with_other_tasks_is_an_error(client: Client, service: ScriptedService) -> None:
    answers: list[Any] = [{}, {FUNCTION: []}, None, {OTHER: ["x"]}]
    for tasks in answers:
        service.on(SUBMIT, Reply(200, {"tasks": tasks}))
        with pytest.raises(ComputeError, match="cannot be followed"):
            client.run(endpoint_id=ENDPOINT, function_id=FUNCTION)


def test_arguments_over_the_limit_are_told_before_sending(client: Client, service: ScriptedService) -> None:
    with pytest.raises(PayloadTooLarge, match=r"13,\d{3},\d{3} bytes, the service takes 9,9"):
        client.run(b"x" * HOSTED.request_bytes, endpoint_id=ENDPOINT, function_id=FUNCTION)
    assert service.requests(SUBMIT) == []


def test_a_function_over_the_limit_is_told_before_sending(client: Client, service: ScriptedService) -> None:
    big = b"x" * HOSTED.function_bytes

    def function() -> int:
        return len(big)

    with pytest.raises(PayloadTooLarge, match="function's code"):
        client.register_function(function)
    assert service.requests("POST /v3/functions") == []


def test_a_batch_over_the_limit_is_split(client: Client, service: ScriptedService) -> None:
    batch = client.create_batch()
    for _ in range(5):
        batch.add(FUNCTION, (b"x" * 3_000_000,))
    answer = client.batch_run(ENDPOINT, batch)
    assert len(answer["tasks"][FUNCTION]) == 5
    submits = service.requests(SUBMIT)
    assert len(submits) == 3
    assert all(len(seen.body) <= HOSTED.request_bytes for seen in submits)


def test_an_endpoint_is_needed(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="endpoint_id is missing"):
        client.run(function_id=FUNCTION)


def test_one_task_is_asked_about_alone_and_kept(client: Client, service: ScriptedService) -> None:
    task_id = str(uuid.uuid4())
    buffer = strategies.dumps([1])
    service.on(
        f"GET /v2/tasks/{task_id}",
        Reply(200, {"task_id": task_id, "status": "waiting-for-ep"}),
        Reply(200, {"task_id": task_id, "status": "success", "result": buffer, "completion_t": "1"}),
        Reply(404),
    )
    with pytest.raises(TaskPending) as caught:
        client.get_result(task_id)
    assert caught.value.status == "waiting-for-ep"
    assert client.get_result(uuid.UUID(task_id)) == [1]
    assert client.get_result(task_id) == [1]
    assert len(service.requests(f"GET /v2/tasks/{task_id}")) == 2


def test_a_functions_own_exception_is_raised(client: Client, service: ScriptedService) -> None:
    """The service has only text, and the exception rides in it."""
    service.on("POST /v3/functions", Reply(200, {"function_uuid": FUNCTION}))

    def fail() -> None:
        raise KeyError("mine")

    client.register_function(fail)
    (buffer,) = packing.unpack(service.requests("POST /v3/functions")[0].document["function_code"])
    try:
        strategies.loads(buffer)()
    except Exception:
        text = traceback.format_exc()
    task_id = str(uuid.uuid4())
    service.on(
        f"GET /v2/tasks/{task_id}", Reply(200, {"task_id": task_id, "status": "failed", "exception": text})
    )
    with pytest.raises(KeyError, match="mine") as caught:
        client.get_result(task_id)
    assert 'raise KeyError("mine")' in str(caught.value.__cause__)


def test_many_tasks_are_asked_about_in_chunks_and_answered_in_order(
    client: Client, service: ScriptedService
) -> None:
    task_ids = [str(uuid.uuid4()) for _ in range(300)]
    asked: list[int] = []

    def status(seen: Seen) -> Reply:
        ids = seen.document["task_ids"]
        asked.append(len(ids))
        results = documents(ids, status="success", result="11\n7", completion_t="1")
        if task_ids[0] in ids:
            results[task_ids[0]] = {"task_id": task_ids[0], "status": "failed", "exception": "KeyError: 1"}
            results[task_ids[1]] = {"task_id": task_ids[1], "status": "running"}
            del results[task_ids[2]]
        return Reply(200, {"response": "batch", "results": results})

    service.on("POST /v2/batch_status", status)
    found = client.get_batch_result([*task_ids, task_ids[5]])
    assert asked == [128, 128, 44]
    assert list(found) == task_ids
    assert isinstance(found[task_ids[0]]["exception"], TaskExecutionFailed)
    assert found[task_ids[1]] == {"pending": True, "status": "running"}
    assert isinstance(found[task_ids[2]]["exception"], NotFound)
    assert found[task_ids[3]] == {"pending": False, "status": "success", "result": 7, "completion_t": "1"}
    client.get_batch_result(task_ids)
    assert asked == [128, 128, 44, 1]


def test_nothing_can_be_withdrawn(client: Client) -> None:
    assert client.cancel_task(str(uuid.uuid4())) is False


@given(st.binary(max_size=5000))
def test_the_size_of_a_task_is_that_of_its_json(argument: bytes) -> None:
    """Arguments travel as packed text already (Client), or are packed when they are sent (Executor)."""
    wire = TextWire(cast(Any, None))
    for payload in (wire.encode_call((argument,), {}), large.whole(stock.dump_call((argument,), {"k": 1}))):
        task = BatchTask(FUNCTION, None, payload)
        real = len(json.dumps(packing.call_to_text(payload)))
        assert real <= wire.size(task) <= real * 1.02 + 400
