"""The conversation with a service of ours by single requests: what is asked, and how answers are read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import msgspec
import pytest

from compute_executor.errors import ComputeError, InvalidRequest, NotFound
from compute_executor.peer import ServiceEndpoint
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix, task_uuid
from compute_executor.session.stream import by_http
from tests.sdk.conftest import Reply, ScriptedService

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode
ENDPOINT, GROUP = uuid.uuid4(), uuid.uuid4()


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    service = ScriptedService()
    yield service
    service.close()


@pytest.fixture
def address(service: ScriptedService) -> ServiceEndpoint:
    return ServiceEndpoint(service.url, "Bearer token")


def submit(endpoint: bytes) -> frames.Submit:
    return frames.Submit(new_prefix(), GROUP.bytes, endpoint, None, [b"d" * 32], msgspec.Raw(b"\x90"), 0)


def packed(message: object) -> Reply:
    return Reply(200, body=encode(message))


def test_a_small_body_stays_and_a_large_one_is_put(
    service: ScriptedService, address: ServiceEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = bytes(frames.INLINE_LIMIT)
    assert by_http.body(address, small) == small
    assert service.seen == []
    monkeypatch.setattr(uuid, "uuid4", lambda: GROUP)
    service.on(f"PUT /v3/blobs/{GROUP.hex}", Reply())
    large = by_http.body(address, small + b"x")
    assert isinstance(large, frames.Blob)
    assert large.size == len(small) + 1
    (put,) = service.seen
    assert (put.method, put.path, put.body) == ("PUT", f"/v3/blobs/{large.name}", small + b"x")
    assert put.headers["authorization"] == "Bearer token"


def test_a_blob_is_fetched(service: ScriptedService, address: ServiceEndpoint) -> None:
    service.on("GET /v3/blobs/name", Reply(200, body=b"content"))
    assert by_http.get_blob(address, frames.Blob("name", 7)) == b"content"


def test_a_function_has_its_id_or_its_error(service: ScriptedService, address: ServiceEndpoint) -> None:
    register = frames.Register(b"d" * 32, "f", b"code")
    refused = InvalidRequest("not this one").document()
    service.on(
        "POST /v3/functions",
        packed(frames.Registered(b"d" * 32, GROUP.bytes)),
        packed(frames.Registered(b"d" * 32, b"", refused)),
    )
    assert by_http.register(address, register) == str(GROUP)
    assert decode(service.seen[0].body, type=frames.Register) == register
    with pytest.raises(InvalidRequest, match="not this one"):
        by_http.register(address, register)


def test_a_submit_goes_to_its_endpoint_or_the_services_own(
    service: ScriptedService, address: ServiceEndpoint
) -> None:
    service.on(f"POST /v3/endpoints/{ENDPOINT}/submit", packed(frames.Accepted(new_prefix())))
    service.on("GET /v2/endpoints", Reply(200, [{"uuid": str(ENDPOINT)}]), Reply(200, []))
    by_http.submit(address, submit(ENDPOINT.bytes))
    by_http.submit(address, submit(b""))
    assert [seen.path for seen in service.seen].count(f"/v3/endpoints/{ENDPOINT}/submit") == 2
    with pytest.raises(ComputeError, match="has no endpoint"):
        by_http.submit(address, submit(b""))


def test_a_pool_is_opened(service: ScriptedService, address: ServiceEndpoint) -> None:
    service.on("POST /v3/pools", Reply())
    pool = frames.OpenPool(b"p" * 16, frames.PoolSpec(2, "python", [], "/", {}))
    by_http.open_pool(address, pool)
    assert decode(service.seen[0].body, type=frames.OpenPool) == pool


def test_cancelling_says_which_will_not_run(service: ScriptedService, address: ServiceEndpoint) -> None:
    prefix = new_prefix()
    service.on("POST /v3/tasks/cancel", packed([(prefix, [1])]))
    assert by_http.cancel(address, [(prefix, [0, 1])]) == [(prefix, [1])]
    assert decode(service.seen[0].body) == [[prefix, [0, 1]]]


def test_a_groups_batches_are_counted_in_their_order(
    service: ScriptedService, address: ServiceEndpoint
) -> None:
    first, second = new_prefix(), new_prefix()
    ids = [(first, 0), (first, 1), (second, 0), (first, 2)]
    service.on(f"GET /v2/taskgroup/{GROUP}", Reply(200, {"tasks": [{"id": task_uuid(*one)} for one in ids]}))
    assert list(by_http.group_tasks(address, GROUP).items()) == [(first, 3), (second, 1)]
    with pytest.raises(NotFound):
        by_http.group_tasks(address, uuid.uuid4())
