"""Messages as stock peers write and read them."""

from __future__ import annotations

import json
import uuid

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix, task_uuid
from compute_executor.serialization import exceptions, packing
from compute_executor.service.globus_compute import messages

PREFIX = new_prefix()
TASK = task_uuid(PREFIX, 3)


def result(**data: object) -> bytes:
    return b"\x01" + json.dumps({"message_type": "result", "data": {"task_id": TASK, **data}}).encode()


def test_a_task_is_one_byte_and_json() -> None:
    body = messages.task(TASK, "buffer")
    assert body[:1] == b"\x01"
    assert json.loads(body[1:]) == {
        "message_type": "task",
        "data": {"task_id": TASK, "container_id": None, "task_buffer": "buffer", "container": None},
    }


def test_headers_are_what_the_endpoint_routes_on() -> None:
    function = uuid.uuid4()
    headers = messages.task_headers(TASK, function.bytes, None, None)
    assert headers == {
        "task_uuid": TASK,
        "function_uuid": str(function),
        "resource_specification": "null",
        "result_serializers": [],
    }


def test_a_value_comes_back_native_with_its_times() -> None:
    statuses = [
        {"timestamp": 5_000_000_000, "state": "execution-start", "actor": "worker"},
        {"timestamp": 7_500_000_000, "state": "execution-end", "actor": "worker"},
    ]
    read = messages.read_result(result(data="00\ngAROLg==\n", task_statuses=statuses, details={"os": "x"}))
    outcome = messages.outcome(read, 99.0)
    assert outcome == (PREFIX, 3, frames.VALUE, b"\x80\x04N.", 5.0, 7.5, {"os": "x"})


def test_without_times_the_end_is_now() -> None:
    outcome = messages.outcome(messages.read_result(result(data="00\ngAROLg==\n")), 99.0)
    assert (outcome.began, outcome.ended) == (0.0, 99.0)


def test_a_traceback_becomes_an_exception_that_shows_it() -> None:
    text = "Traceback ...\nKeyError: 'k'"
    failure = {"code": "RemoteExecutionError", "user_message": "it failed"}
    outcome = messages.outcome(messages.read_result(result(data=text, error_details=failure)), 1.0)
    assert outcome.status == frames.EXCEPTION
    assert packing.exception_to_text(outcome.body) == text
    error = exceptions.decode(outcome.body)
    assert str(error).startswith("KeyError: 'k'")


def test_an_exception_has_its_own_name_and_message_without_its_module() -> None:
    text = "\n Traceback (most recent call last):\n   File ...\n lib.errors.Odd: a\n b: c\n"
    failure = {"code": "RemoteExecutionError", "user_message": "it failed"}
    outcome = messages.outcome(messages.read_result(result(data=text, error_details=failure)), 1.0)
    assert packing.exception_texts(outcome.body) == ("Odd", "a\nb: c", text)


def test_an_error_without_a_traceback_has_the_words_of_the_endpoint() -> None:
    failure = {"code": "MaxResultSizeExceeded", "user_message": "too large"}
    outcome = messages.outcome(messages.read_result(result(data="11 > 10", error_details=failure)), 1.0)
    assert str(exceptions.decode(outcome.body)).startswith("MaxResultSizeExceeded: too large")


def test_a_malformed_buffer_is_an_outcome_too() -> None:
    outcome = messages.outcome(messages.read_result(result(data="00\n%%%")), 1.0)
    assert outcome.status == frames.EXCEPTION
    assert "malformed" in packing.exception_to_text(outcome.body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x02{}",
        b"\x01{",
        b"\x01[]",
        b'\x01{"message_type": "task", "data": {}}',
        b'\x01{"message_type": "result", "data": {"task_id": "no", "data": ""}}',
        b'\x01{"message_type": "result", "data": {}}',
    ],
)
def test_what_is_no_result_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        messages.read_result(body)


def test_a_heartbeat_has_two_spellings() -> None:
    endpoint = uuid.uuid4()
    for name in ("global_state", "ep_status_report"):
        data = {"endpoint_id": str(endpoint), name: {"heartbeat_period": 30}}
        body = b"\x01" + json.dumps({"message_type": "ep_status_report", "data": data}).encode()
        report = messages.read_report(body)
        assert (report.endpoint_id, report.state) == (endpoint, {"heartbeat_period": 30})
    with pytest.raises(InvalidRequest):
        messages.read_report(b"\x01{}")


def test_a_result_for_an_sdk_can_be_read_again() -> None:
    value = frames.Result(1, PREFIX, 3, frames.VALUE, b"", 5.0, 7.5)
    read = messages.read_result(messages.result(TASK, value, "00\ngAROLg==\n", {"os": "x"}))
    assert messages.outcome(read, 0.0) == (PREFIX, 3, frames.VALUE, b"\x80\x04N.", 5.0, 7.5, {"os": "x"})


def test_so_can_one_that_failed() -> None:
    lost = frames.Result(1, PREFIX, 3, frames.LOST, b"", 0.0, 7.5)
    read = messages.read_result(messages.result(TASK, lost, "its worker died\n", None))
    assert read.error_details is not None
    assert (read.error_details.code, read.error_details.user_message) == ("WorkerLost", "its worker died")
    assert read.task_statuses == []


def test_a_traceback_that_is_no_utf8_still_ends_its_task() -> None:
    details = {"code": "RemoteExecutionError", "user_message": "\udcff"}
    read = messages.read_result(result(data="no file \udcff", error_details=details))
    assert messages.outcome(read, 1.0).status == frames.EXCEPTION
    assert read.data == "no file ?"


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(InvalidRequest, match="nested"):
        messages.read_result(result(data="", details="@").replace(b'"@"', b'{"a":' + deep + b"}"))
