"""Our own wire where a service misbehaves; the rest of it is tested against the real one in test_client.py."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

import msgspec
import pytest

from compute_executor import Client
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix, task_uuid
from compute_executor.sdk.http.transport import MSGPACK
from compute_executor.serialization import native
from tests.sdk.conftest import Reply, ScriptedService

NAME = "0" * 32


@pytest.fixture
def client(service: ScriptedService) -> Iterator[Client]:
    service.on("GET /v2/version", Reply(200, {"compute_executor": "0.1.0"}))
    with Client(base_url=service.url) as client:
        yield client


def packed(message: object) -> Reply:
    return Reply(200, body=msgspec.msgpack.encode(message), headers={"Content-Type": MSGPACK})


def test_a_submit_is_sent_again_with_its_key(client: Client, service: ScriptedService) -> None:
    route = f"POST /v3/endpoints/{'0' * 8}-0000-4000-8000-{'0' * 12}/submit"
    service.on(route, Reply(hang_up=True), Reply(503), packed([1]))
    function_id = endpoint_id = "00000000-0000-4000-8000-000000000000"
    client.run(1, function_id=function_id, endpoint_id=endpoint_id)
    sent = service.requests(route)
    assert len(sent) == 3
    assert len({(seen.body, seen.headers["idempotency-key"]) for seen in sent}) == 1


def test_a_batch_keeps_every_option_of_its_endpoint(client: Client, service: ScriptedService) -> None:
    endpoint_id = "00000000-0000-4000-8000-000000000000"
    route = f"POST /v3/endpoints/{endpoint_id}/submit"
    service.on(route, packed([1]))
    service.on(f"GET /v2/endpoints/{endpoint_id}", Reply(200, {"kind": "globus_compute"}))
    batch = client.create_batch(
        resource_specification={"num_nodes": 2},
        user_endpoint_config={"queue": "short"},
        result_serializers=["a.B"],
    )
    batch.add(endpoint_id)
    client.batch_run(endpoint_id, batch)
    options = msgspec.msgpack.decode(service.requests(route)[0].body, type=frames.Submit).options
    assert options.resource_specification == {"num_nodes": 2}
    assert options.user_endpoint_config == {"queue": "short"}
    assert options.result_serializers == ["a.B"]
    assert options.user_runtime is not None
    assert options.user_runtime["python_version"] == sys.version
    assert options.user_runtime["python"]["version"] == platform.python_version()


def test_a_task_that_ends_between_two_questions_is_still_running(
    client: Client, service: ScriptedService
) -> None:
    """Polled before its end, asked for its status after: the next question has its result."""
    prefix = new_prefix()
    task_id = task_uuid(prefix, 0)
    result = frames.Result(1, prefix, 0, frames.VALUE, native.dumps(5), 1.0, 2.0)
    document = {"task_id": task_id, "status": "success", "result": "x"}
    service.on(
        "POST /v2/batch_status", packed([]), Reply(200, {"results": {task_id: document}}), packed([result])
    )
    assert client.get_batch_result([task_id])[task_id] == {"pending": True, "status": "running"}
    assert client.get_batch_result([task_id])[task_id]["result"] == 5
