from __future__ import annotations

import pickle
import uuid

import msgspec
import pytest

from compute_executor.errors import NotFound
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix, task_uuid
from compute_executor.serialization import exceptions, native, packing
from compute_executor.service.api import documents
from compute_executor.service.endpoints.ids import BUILT_IN
from compute_executor.service.endpoints.rows import EndpointRow

PREFIX = new_prefix()


def same(body: frames.Body) -> bytes:
    assert isinstance(body, bytes)
    return body


def ended(status: int, body: bytes) -> dict[str, object]:
    return documents.ended_task("t", frames.Result(1, PREFIX, 0, status, body, 1.0, 2.5), same)


def test_a_value_is_a_buffer_that_the_stock_sdk_reads() -> None:
    document = ended(frames.VALUE, native.dumps({"a": 1}))
    assert (document["status"], document["completion_t"]) == ("success", "2.5")
    stream = packing.result_from_text(str(document["result"]))
    assert pickle.loads(stream) == {"a": 1}
    assert "exception" not in document


@pytest.mark.parametrize("status", [frames.LOST, frames.CANCELLED, frames.TIMEOUT, frames.BROKEN])
def test_what_ended_without_an_outcome_of_its_own_says_why(status: int) -> None:
    document = ended(status, msgspec.msgpack.encode(frames.Reason("because of that")))
    assert (document["status"], document["exception"], document["reason"]) == (
        "failed",
        "because of that",
        "because of that",
    )
    assert "result" not in document


def test_an_exception_is_its_traceback() -> None:
    document = ended(frames.EXCEPTION, exceptions.encode(KeyError("missing")))
    assert document["status"] == "failed"
    assert "KeyError: 'missing'" in str(document["exception"])


def test_text_that_is_no_json_is_escaped() -> None:
    document = ended(frames.EXCEPTION, exceptions.encode(ValueError("\ud800")))
    assert r"\ud800" in msgspec.json.decode(msgspec.json.encode(document))["exception"]


@pytest.mark.parametrize("status", [frames.EXCEPTION, frames.LOST])
def test_an_outcome_that_cannot_be_read_fails_that_task_only(status: int) -> None:
    document = ended(status, b"\x00\x01 nonsense")
    assert document["status"] == "failed"
    assert "cannot be told as text" in str(document["exception"])


def test_a_result_whose_file_is_gone_fails_that_task_only() -> None:
    def gone(_body: frames.Body) -> bytes:
        raise NotFound("blob x of 5 bytes is gone")

    outcome = frames.Result(1, PREFIX, 0, frames.VALUE, frames.Blob("x", 5), 1.0, 2.5)
    document = documents.ended_task("t", outcome, gone)
    assert document["status"] == "failed"
    assert "blob x of 5 bytes is gone" in str(document["exception"])


def test_ids_go_on_from_function_to_function() -> None:
    ids = [task_uuid(PREFIX, position) for position in range(3)]
    document = documents.submitted(uuid.UUID(int=1), BUILT_IN, bytes(16), ids, {"a": 2, "b": 0, "c": 1})
    assert {name: [task_id[-8:] for task_id in ids] for name, ids in document["tasks"].items()} == {
        "a": ["00000000", "00000001"],
        "b": [],
        "c": ["00000002"],
    }


def test_the_version_document_has_what_the_stock_sdk_requires() -> None:
    assert documents.version("i").keys() >= {"api", "min_sdk_version", "min_ep_version"}


def test_only_who_may_change_an_endpoint_reads_its_configuration() -> None:
    metadata = {"hostname": "h", "endpoint_config": "token: secret", "user_config_template": "t"}
    row = EndpointRow(
        uuid.uuid4(), "kind", "ann", "lab", "Lab", True, True, None, None, metadata, {}, 0.0, 0.0, 0.0
    )
    shown, whole = (documents.whole_endpoint(row, managed=managed) for managed in (False, True))
    assert "secret" not in str(shown) + str(documents.registered_endpoint(row))
    assert shown["hostname"] == whole["hostname"] == "h"
    assert whole["endpoint_config"] == "token: secret"
