from __future__ import annotations

import json
import uuid
from typing import Any

import msgspec
import pytest

from compute_executor.protocol import frames
from compute_executor.protocol.ids import TaskPositions, new_prefix, task_uuid
from compute_executor.serialization import exceptions, native
from compute_executor.service.api import turns
from compute_executor.service.api.routes import tasks as module
from tests.service.asgi import Answer, ask
from tests.service.conftest import World
from tests.service.fakes import View

PREFIX = new_prefix()
OPEN, DONE, BAD, UNKNOWN = (task_uuid(PREFIX, position) for position in (0, 1, 2, 99))
MSGPACK = "application/msgpack"


@pytest.fixture
def busy(world: World) -> World:
    """Task 0 runs, 1 has a value, 2 an exception, 3 was lost."""
    reason = msgspec.msgpack.encode(frames.Reason("its worker died"))
    world.service.views = {
        (PREFIX, 0): View("running", None),
        (PREFIX, 1): View("success", result(1, frames.VALUE, native.dumps([1, 2]))),
        (PREFIX, 2): View("failed", result(2, frames.EXCEPTION, exceptions.encode(ValueError("no")))),
        (PREFIX, 3): View("failed", result(3, frames.LOST, reason)),
    }
    return world


def result(position: int, status: int, body: bytes) -> frames.Result:
    return frames.Result(10 + position, PREFIX, position, status, body, 1.5, 2.5)


def post(world: World, url: str, document: Any, **headers: str) -> Answer:
    content = headers.pop("content", "application/json")
    body = (
        json.dumps(document).encode() if content == "application/json" else msgspec.msgpack.encode(document)
    )
    return ask(world.app, "POST", url, body=body, headers={"content-type": content, **headers})


def test_one_task(busy: World) -> None:
    assert ask(busy.app, "GET", f"/v2/tasks/{OPEN}").json() == {"task_id": OPEN, "status": "running"}
    done = ask(busy.app, "GET", f"/v2/tasks/{DONE.upper()}").json()
    assert (done["task_id"], done["status"], done["completion_t"]) == (DONE, "success", "2.5")
    assert done["result"].startswith("00\n")
    assert ask(busy.app, "GET", f"/v2/tasks/{UNKNOWN}").status == 404
    assert ask(busy.app, "GET", "/v2/tasks/x").status == 400


def test_many_tasks_and_an_unknown_one_is_told_as_failed(busy: World) -> None:
    answer = post(busy, "/v2/batch_status", {"task_ids": [DONE, UNKNOWN, OPEN, BAD, DONE]}).json()
    assert answer["response"] == "batch"
    statuses = {task_id: document["status"] for task_id, document in answer["results"].items()}
    assert statuses == {DONE: "success", UNKNOWN: "failed", OPEN: "running", BAD: "failed"}
    assert "ValueError: no" in answer["results"][BAD]["exception"]
    assert f"no task {UNKNOWN}" in answer["results"][UNKNOWN]["reason"]
    assert float(answer["results"][UNKNOWN]["completion_t"]) > 1e9


@pytest.mark.parametrize("content", ["application/json", MSGPACK])
def test_for_our_client_only_what_has_ended_as_it_is_stored(busy: World, content: str) -> None:
    ids = {"task_ids": [OPEN, DONE, BAD]} if content != MSGPACK else [(PREFIX, [0, 1, 2])]
    answer = post(busy, "/v2/batch_status", ids, content=content, accept=MSGPACK)
    results = msgspec.msgpack.decode(answer.body, type=list[frames.Result])
    assert results == [busy.service.views[PREFIX, position].outcome for position in (1, 2)]


def test_for_our_client_an_unknown_task_is_lost(busy: World) -> None:
    answer = post(busy, "/v2/batch_status", [(PREFIX, [99])], content=MSGPACK, accept=MSGPACK)
    (unknown,) = msgspec.msgpack.decode(answer.body, type=list[frames.Result])
    assert (unknown.prefix, unknown.position, unknown.status) == (PREFIX, 99, frames.LOST)
    assert isinstance(unknown.body, bytes)
    reason = msgspec.msgpack.decode(unknown.body, type=frames.Reason)
    assert not reason.began
    assert "knows no such task" in reason.message


def test_too_many_at_once(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STATUS_QUERY", 2)
    for document, content in (
        ({"task_ids": [OPEN] * 3}, "application/json"),
        ([(PREFIX, [0, 1, 2])], MSGPACK),
    ):
        answer = post(busy, "/v2/batch_status", document, content=content)
        assert answer.status == 400
        assert "3 tasks are asked about; the limit is 2" in answer.json()["reason"]


@pytest.mark.parametrize("document", [{}, {"task_ids": ["x"]}, {"task_ids": "x"}, {"task_ids": [1]}])
def test_what_is_no_list_of_tasks(busy: World, document: Any) -> None:
    assert post(busy, "/v2/batch_status", document).status == 400


def test_a_group_lists_its_tasks_under_the_id_that_was_asked(busy: World) -> None:
    group = uuid.uuid4()
    none = msgspec.Raw(msgspec.msgpack.encode([]))
    for count in (2, 1):
        batch = frames.Submit(new_prefix(), group.bytes, b"", None, [], none, count)
        busy.service.batches.append(batch)
    asked = str(group).upper()
    answer = ask(busy.app, "GET", f"/v2/taskgroup/{asked}").json()
    first, second = (batch.prefix for batch in busy.service.batches)
    ids = [task_uuid(first, 0), task_uuid(first, 1), task_uuid(second, 0)]
    tasks = [{"id": task_id, "created_at": "1970-01-01T00:00:01.500000"} for task_id in ids]
    assert answer == {"taskgroup_id": asked, "create_websockets_queue": True, "tasks": tasks}


def test_cancelling_tells_which_surely_do_not_run(busy: World) -> None:
    ids = [task_uuid(PREFIX, position) for position in (0, 1)]
    assert post(busy, "/v3/tasks/cancel", {"task_ids": ids}).json() == {"cancelled": ids[:1]}
    answer = post(busy, "/v3/tasks/cancel", [(PREFIX, [3, 1])], content=MSGPACK, accept=MSGPACK)
    assert msgspec.msgpack.decode(answer.body, type=TaskPositions) == [(PREFIX, [3])]
    assert busy.service.cancelled == [[(PREFIX, [0, 1])], [(PREFIX, [3, 1])]]


def test_one_answer_has_so_much_and_the_rest_comes_the_next_time(
    busy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER", 5)
    results = post(busy, "/v2/batch_status", {"task_ids": [DONE, BAD]}).json()["results"]
    assert [results[task_id]["status"] for task_id in (DONE, BAD)] == ["success", "running"]
    asked = [(PREFIX, [0, 1, 2, 3])]
    got = []
    while asked[0][1]:
        answer = post(busy, "/v2/batch_status", asked, content=MSGPACK, accept=MSGPACK)
        (one,) = msgspec.msgpack.decode(answer.body, type=list[frames.Result])
        got.append(one.position)
        asked = [(PREFIX, [position for position in asked[0][1] if position not in (0, *got)])]
    assert got == [1, 2, 3]


def test_others_have_their_turn_meanwhile(busy: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LOOK", 1)
    monkeypatch.setattr(turns, "TURN", 0)
    results = post(busy, "/v2/batch_status", {"task_ids": [OPEN, DONE, BAD]}).json()["results"]
    assert list(results) == [OPEN, DONE, BAD]
