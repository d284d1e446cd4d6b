"""How a task stands, in the guide's words, from every form in which services say it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from compute_executor.errors import (
    ComputeError,
    NotFound,
    PoolBroken,
    ResultDecodeError,
    TaskCancelled,
    TaskExecutionFailed,
    TaskPending,
    TaskTimeout,
    WorkerLost,
)
from compute_executor.protocol import frames
from compute_executor.sdk import outcome as outcomes
from compute_executor.sdk.outcome import Outcome
from compute_executor.serialization import exceptions, native, strategies

TASK = "01234567-89ab-8def-8123-beef00000102"


def reason(message: str = "why", **fields: Any) -> bytes:
    return msgspec.msgpack.encode(frames.Reason(message, **fields))


def test_a_pending_task_says_how_it_stands() -> None:
    outcome = outcomes.pending(TASK, "waiting-for-ep")
    assert outcome.document() == {"pending": True, "status": "waiting-for-ep"}
    with pytest.raises(TaskPending) as caught:
        outcome.value()
    assert (caught.value.status, caught.value.task_id) == ("waiting-for-ep", TASK)


def test_a_result_of_our_service() -> None:
    result = frames.Result(1, b"", 0, frames.VALUE, b"", 1.0, 1632876695.6450012)
    outcome = outcomes.of_result(TASK, result, native.dumps([1, 2]))
    assert outcome.value() == [1, 2]
    assert outcome.value() is not outcome.value()
    document = outcome.document()
    assert document == {
        "pending": False,
        "status": "success",
        "result": [1, 2],
        "completion_t": document["completion_t"],
    }
    assert float(document["completion_t"]) == pytest.approx(1632876695.645)


def test_an_exception_of_our_service_is_itself() -> None:
    result = frames.Result(1, b"", 0, frames.EXCEPTION, b"", 1.0, 2.0)
    outcome = outcomes.of_result(TASK, result, exceptions.encode(KeyError("k")))
    with pytest.raises(KeyError, match="k"):
        outcome.value()
    document = outcome.document()
    assert (document["status"], document["pending"], type(document["exception"])) == (
        "failed",
        False,
        KeyError,
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (frames.LOST, WorkerLost),
        (frames.BROKEN, PoolBroken),
        (frames.CANCELLED, TaskCancelled),
        (frames.TIMEOUT, TaskTimeout),
    ],
)
def test_an_end_without_an_outcome_of_its_own(status: int, kind: type[ComputeError]) -> None:
    outcome = Outcome(TASK, "failed", status, reason(exit_code=-9, attempts=2))
    with pytest.raises(kind, match="why") as caught:
        outcome.value()
    assert caught.value.task_id == TASK
    if isinstance(caught.value, WorkerLost):
        assert (caught.value.exit_code, caught.value.attempts) == (-9, 2)


@pytest.mark.parametrize("buffer", [strategies.dumps({"a": 1}), strategies.dumps({"a": 1}, "11")])
def test_a_result_as_text(buffer: str) -> None:
    details = {"python_version": "3.11"}
    document = {
        "task_id": TASK,
        "status": "SUCCESS",
        "result": buffer,
        "completion_t": "1.5",
        "details": details,
    }
    assert outcomes.of_document(TASK, document).document() == {
        "pending": False,
        "status": "success",
        "result": {"a": 1},
        "completion_t": "1.5",
        "details": details,
    }


@pytest.mark.parametrize("key", ["exception", "reason"])
def test_a_failure_as_text(key: str) -> None:
    text = "Traceback (most recent call last):\n  ...\nKeyError: 'k'"
    outcome = outcomes.of_document(TASK, {"task_id": TASK, "status": "failed", key: text})
    with pytest.raises(TaskExecutionFailed, match="KeyError: 'k'") as caught:
        outcome.value()
    assert caught.value.remote_traceback == text


def test_a_failure_without_any_text() -> None:
    with pytest.raises(TaskExecutionFailed, match="no reason"):
        outcomes.of_document(TASK, {"status": "failed"}).value()


@pytest.mark.parametrize("status", ["received", "waiting-for-nodes", "running", "unknown"])
def test_other_words_are_pending(status: str) -> None:
    assert outcomes.of_document(TASK, {"status": status}).status == status


def test_an_answer_about_another_task_is_an_error() -> None:
    with pytest.raises(ComputeError, match="answered about"):
        outcomes.of_document(TASK, {"task_id": "other", "status": "success", "result": "x"})


def test_a_result_that_cannot_be_read_fails_that_entry_only() -> None:
    outcome = Outcome(TASK, "success", frames.VALUE, b"\x80\x05garbage", "1")
    document = outcome.document()
    assert document["status"] == "failed"
    assert isinstance(document["exception"], ResultDecodeError)
    with pytest.raises(ResultDecodeError):
        outcome.value()


def test_a_refusal_is_raised_again() -> None:
    with pytest.raises(NotFound, match="no function"):
        outcomes.failed(TASK, NotFound("no function"), "1").value()
