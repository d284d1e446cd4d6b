"""Messages of a result queue: what they mean, and that no bytes do harm."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import ResultDecodeError
from compute_executor.protocol import frames
from compute_executor.session.hosted.messages import read, task_id_of

TASK = "11111111-1111-4111-8111-111111111111"


def message(kind: str = "result", **data: Any) -> bytes:
    document = {"message_type": kind, "data": {"task_id": TASK, "data": "00\ngAROLg==\n", **data}}
    return b"\x01" + json.dumps(document).encode()


def test_a_value() -> None:
    outcome = read(message(details={"python_version": "3.11"}, task_statuses=[], unknown=1))
    assert (outcome.task_id, outcome.status, outcome.kind) == (TASK, "success", frames.VALUE)
    assert outcome.value() is None
    assert outcome.details == {"python_version": "3.11"}


def test_an_error_is_one_whatever_its_details_say() -> None:
    for details in ({}, {"code": "X", "user_message": "y"}):
        outcome = read(message(data="Traceback \ud800", error_details=details))
        assert (outcome.status, outcome.kind) == ("failed", frames.EXCEPTION)
        assert outcome.body == b"Traceback ?"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "begins with b''"),
        (b"\x02{}", "begins with"),
        (b"\x01", "is no result"),
        (b"\x01[]", "is no result"),
        (message()[:-1], "is no result"),
        (message(task_id="x"), "is no result"),
        (message("task"), "type task"),
        (message(data=""), "is no buffer"),
    ],
)
def test_what_is_no_result_is_told(body: bytes, words: str) -> None:
    with pytest.raises(ResultDecodeError, match=words):
        read(body)


@given(st.binary(max_size=200) | st.integers(0, len(message()) - 1).map(lambda end: message()[:end]))
def test_other_bytes_are_no_result_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(ResultDecodeError):
        read(body)
    task_id = task_id_of(body)
    assert task_id is None or task_id == str(uuid.UUID(task_id))


def test_whose_result_cannot_be_read() -> None:
    assert task_id_of(message(data=5)) == TASK
    assert task_id_of(b'\x02{"task_id": "%s", rubbish' % TASK.encode()) == TASK
    for other in (b"", b'"task_id"', b'"task_id": 5', b'"task_id": "no id"', b'"task_id": "\xff"'):
        assert task_id_of(other) is None
