from __future__ import annotations

import asyncio
import base64
import json
import pickle
import uuid
from typing import Any

import msgspec
import pytest

from compute_executor.errors import PayloadTooLarge
from compute_executor.protocol import frames
from compute_executor.protocol.ids import MAX_BATCH, split_task_id
from compute_executor.serialization import native, packing
from compute_executor.service.api.routes import submit as module
from compute_executor.service.endpoints.ids import BUILT_IN, TUTORIAL
from tests.service.asgi import Answer, ask
from tests.service.conftest import World

F1, F2 = str(uuid.uuid4()), str(uuid.uuid4())
GROUP = str(uuid.uuid4())
URL = f"/v3/endpoints/{TUTORIAL}/submit"


def packed(*args: Any, **kwargs: Any) -> str:
    """Arguments as a stock SDK sends them."""
    buffers = [f"00\n{base64.encodebytes(pickle.dumps(value, 4)).decode()}" for value in (args, kwargs)]
    return packing.pack(buffers)


def post(world: World, document: Any, url: str = URL, **headers: str) -> Answer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(world.app, "POST", url, body=body, headers={"content-type": "application/json", **names})


def calls(world: World, batch: frames.Submit) -> list[tuple[str, Any]]:
    """Function and arguments of every task of a batch, read as a worker would."""
    tasks = msgspec.msgpack.decode(batch.tasks, type=list[tuple[int, frames.Body]])
    assert len(tasks) == batch.count
    return [
        (str(uuid.UUID(bytes=batch.functions[index])), native.loads_call(world.blobs.read(body)))
        for index, body in tasks
    ]


def test_the_stock_sdks_batch_is_stored_without_its_base64(world: World) -> None:
    document = {
        "create_queue": True,
        "tasks": {F1: [packed(1), packed(2, key="x")], F2: [packed()]},
        "task_group_id": GROUP,
        "resource_specification": {"num_nodes": 1},
        "user_runtime": {"python": {"version_tuple": [3, 11]}},
    }
    answer = post(world, document).json()
    (batch,) = world.service.batches
    assert calls(world, batch) == [(F1, ((1,), {})), (F1, ((2,), {"key": "x"})), (F2, ((), {}))]
    assert batch.group == uuid.UUID(GROUP).bytes
    assert batch.options.resource_specification == {"num_nodes": 1}
    assert (batch.endpoint, batch.pool) == (BUILT_IN.bytes, None)
    assert world.service.globus_compute.groups == [batch.group]
    assert answer["task_group_id"] == GROUP
    assert answer["endpoint_id"] == str(BUILT_IN)
    ids = {
        name: [split_task_id(task_id) for task_id in task_ids] for name, task_ids in answer["tasks"].items()
    }
    assert ids == {F1: [(batch.prefix, 0), (batch.prefix, 1)], F2: [(batch.prefix, 2)]}
    assert uuid.UUID(answer["request_id"])


def test_a_group_is_drawn_if_none_is_given(world: World) -> None:
    groups = {post(world, {"tasks": {F1: [packed(1)]}}).json()["task_group_id"] for _ in range(2)}
    assert {uuid.UUID(group).bytes for group in groups} == {batch.group for batch in world.service.batches}
    assert len(groups) == 2


def test_large_arguments_become_blobs(world: World) -> None:
    text = "x" * (frames.INLINE_LIMIT + 1)
    post(world, {"tasks": {F1: [packed(text)]}})
    assert calls(world, world.service.batches[0]) == [(F1, ((text,), {}))]
    (name,) = (path.name for path in world.blobs.folder.iterdir())
    assert name.encode() in bytes(world.service.batches[0].tasks)


@pytest.mark.parametrize(
    "document",
    [
        {"tasks": {}},
        {"tasks": {F1: []}},
        {"tasks": {"f": [packed(1)]}},
        {"tasks": {F1: ["no buffer"]}},
        {"tasks": {F1: [packed(1)[:-9]]}},
        {"tasks": {F1: [1]}},
        {"tasks": {F1: [packed(1)]}, "task_group_id": "x"},
        {"task_group_id": GROUP},
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(world: World, document: Any) -> None:
    assert post(world, document).status == 400
    assert world.service.batches == []
    assert list(world.blobs.folder.iterdir()) == []


def test_more_tasks_than_a_batch_has_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 2)
    answer = post(world, {"tasks": {F1: [packed(1)] * 3}})
    assert answer.status == 400
    assert "1 to 2 tasks, this has 3" in answer.json()["reason"]
    assert MAX_BATCH > 2


@pytest.mark.parametrize(
    "url", [f"/v3/endpoints/{uuid.uuid4()}/submit", "/v3/endpoints/x/submit"], ids=["unknown", "no id"]
)
def test_another_endpoint_is_not_there(world: World, url: str) -> None:
    assert post(world, {"tasks": {F1: [packed(1)]}}, url).status in (404, 400)
    assert world.service.batches == []


def test_what_the_service_refuses_is_answered(world: World) -> None:
    world.service.raises = PayloadTooLarge("task 3 is 9 bytes, the limit is 8")
    answer = post(world, {"tasks": {F1: [packed(1)]}})
    assert (answer.status, answer.json()["reason"]) == (413, "task 3 is 9 bytes, the limit is 8")


# -- idempotency --------------------------------------------------------------------------------------------

BATCH = {"tasks": {F1: [packed(1), packed(2)]}}


def test_the_same_request_with_its_key_is_answered_the_same_and_runs_nothing(world: World) -> None:
    first = post(world, BATCH, idempotency_key="k1")
    again = post(world, BATCH, idempotency_key="k1")
    assert first.body == again.body
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(world.service.batches) == 1
    assert world.service.keys.keys() == {"k1"}


def test_another_key_or_none_is_another_batch(world: World) -> None:
    bodies = {post(world, BATCH, idempotency_key=key).body for key in ("k1", "k2")} | {
        post(world, BATCH).body
    }
    assert len(bodies) == len(world.service.batches) == 3


def test_a_key_with_another_body_is_unprocessable(world: World) -> None:
    post(world, BATCH, idempotency_key="k1")
    for document, url in (
        ({"tasks": {F1: [packed(1)]}}, URL),
        (BATCH, URL.replace(str(TUTORIAL), str(BUILT_IN))),
    ):
        answer = post(world, document, url, idempotency_key="k1")
        assert (answer.status, answer.json()["name"]) == (422, "InvalidRequest")
    assert len(world.service.batches) == 1


def test_a_key_whose_request_was_refused_is_free(world: World) -> None:
    world.service.raises = PayloadTooLarge("no")
    assert post(world, BATCH, idempotency_key="k1").status == 413
    world.service.raises = None
    assert post(world, BATCH, idempotency_key="k1").status == 200


def test_a_key_that_is_on_its_way_is_told_to_come_back(world: World) -> None:
    accepted = world.service.submit
    answers: list[Answer] = []

    async def meanwhile(*given: Any) -> None:
        world.service.submit = accepted
        loop = asyncio.get_running_loop()
        answers.append(await loop.run_in_executor(None, lambda: post(world, BATCH, idempotency_key="k1")))
        await accepted(*given)

    world.service.submit = meanwhile  # type: ignore[assignment]
    assert post(world, BATCH, idempotency_key="k1").status == 200
    assert (answers[0].status, answers[0].headers["retry-after"]) == (409, "1")
    assert len(world.service.batches) == 1


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_some_characters_and_not_too_many(world: World, key: str) -> None:
    assert post(world, BATCH, idempotency_key=key).status == 400


# -- other forms --------------------------------------------------------------------------------------------


def test_our_own_frame_is_passed_on_as_it_is(world: World) -> None:
    frame = frames.Submit(
        prefix=b"p" * 12,
        group=b"g" * 16,
        endpoint=b"",
        pool=b"q" * 16,
        functions=[b"f" * 32],
        tasks=msgspec.Raw(msgspec.msgpack.encode([(0, b"body")])),
        count=1,
        options=frames.Options(retries=2),
    )
    answer = ask(
        world.app,
        "POST",
        URL,
        body=msgspec.msgpack.encode(frame),
        headers={"content-type": "application/msgpack"},
    )
    assert answer.headers["content-type"] == "application/msgpack"
    assert msgspec.msgpack.decode(answer.body, type=frames.Accepted) == frames.Accepted(b"p" * 12)
    (got,) = world.service.batches
    assert msgspec.msgpack.encode(got) == msgspec.msgpack.encode(frame)


@pytest.mark.parametrize(
    "body", [b"", b"\x90", b"\x91\x05", msgspec.msgpack.encode(frames.Subscribe(b"g" * 16))]
)
def test_what_is_no_frame_of_that_kind_is_refused(world: World, body: bytes) -> None:
    assert (
        ask(world.app, "POST", URL, body=body, headers={"content-type": "application/msgpack"}).status == 400
    )


def test_a_batch_of_the_guides_time(world: World) -> None:
    document = {
        "task_group_id": GROUP,
        "create_websocket_queue": True,
        "tasks": [
            [F2, str(TUTORIAL), packed(1)],
            [F1, str(BUILT_IN), packed(2)],
            [F2, str(TUTORIAL), packed(3)],
        ],
    }
    answer = post(world, document, "/v2/submit").json()
    (batch,) = world.service.batches
    assert calls(world, batch) == [(F2, ((1,), {})), (F1, ((2,), {})), (F2, ((3,), {}))]
    assert [split_task_id(result["task_uuid"]) for result in answer["results"]] == [
        (batch.prefix, position) for position in range(3)
    ]
    assert {result["http_status_code"] for result in answer["results"]} == {200}
    assert answer["task_group_id"] == GROUP


def test_a_batch_of_the_guides_time_for_several_endpoints(world: World) -> None:
    absent, mine = str(uuid.uuid4()), str(TUTORIAL)
    tasks = [[F1, absent, packed(1)], [F2, mine, packed(2)], [F1, absent, packed(3)], [F1, mine, packed(4)]]
    answer = post(world, {"tasks": tasks}, "/v2/submit").json()
    (batch,) = world.service.batches
    assert calls(world, batch) == [(F2, ((2,), {})), (F1, ((4,), {}))]
    assert answer["response"] == "failed"
    assert [result["status"] for result in answer["results"]] == ["failed", "success"] * 2
    assert [result["http_status_code"] for result in answer["results"]] == [404, 200] * 2
    assert absent in answer["results"][2]["reason"]
    assert answer["results"][2]["task_uuid"] is answer["results"][3]["reason"] is None
    assert split_task_id(answer["results"][3]["task_uuid"]) == (batch.prefix, 1)


def test_the_parts_of_a_batch_of_the_guides_time_are_found_again_by_their_key(world: World) -> None:
    tasks = [[F1, str(uuid.uuid4()), packed(1)], [F2, str(TUTORIAL), packed(2)]]
    first, second = (post(world, {"tasks": tasks}, "/v2/submit", Idempotency_Key="once") for _ in range(2))
    assert len(world.service.batches) == 1
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"


def test_a_batch_of_the_guides_time_of_which_nothing_is_accepted(world: World) -> None:
    document = {"tasks": [[F1, str(uuid.uuid4()), packed(1)], [F1, str(uuid.uuid4()), packed(2)]]}
    assert post(world, document, "/v2/submit").status == 404
    assert post(world, {"tasks": []}, "/v2/submit").status == 400
    assert world.service.batches == []


def test_the_guides_time_knew_json_only(world: World) -> None:
    answer = ask(
        world.app, "POST", "/v2/submit", body=b"\x90", headers={"content-type": "application/msgpack"}
    )
    assert (answer.status, answer.json()["http_status_code"]) == (415, 415)
