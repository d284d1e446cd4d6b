"""How a task ended: every status has its exception, and nonsense has one too."""

from __future__ import annotations

import msgspec
import pytest

from compute_executor.errors import (
    ComputeError,
    NotAuthorized,
    PoolBroken,
    ResultDecodeError,
    TaskCancelled,
    TaskTimeout,
    WorkerLost,
)
from compute_executor.protocol import frames
from compute_executor.sdk.ending import exception_of, value_of
from compute_executor.serialization import exceptions, native, packing, strategies

REASON = msgspec.msgpack.encode(frames.Reason("why", -9, True, 2))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (frames.LOST, WorkerLost),
        (frames.BROKEN, PoolBroken),
        (frames.CANCELLED, TaskCancelled),
        (frames.TIMEOUT, TaskTimeout),
        (frames.REFUSED, NotAuthorized),
    ],
)
def test_a_status_has_its_exception(status: int, kind: type[ComputeError]) -> None:
    error = exception_of(status, REASON, "id")
    assert (type(error), str(error), error.__dict__["task_id"]) == (kind, "why", "id")


def test_a_lost_worker_says_how_it_died() -> None:
    error = exception_of(frames.LOST, REASON, None)
    assert isinstance(error, WorkerLost)
    assert (error.exit_code, error.began, error.attempts) == (-9, True, 2)


def test_an_exception_is_itself() -> None:
    error = exception_of(frames.EXCEPTION, exceptions.encode(KeyError("k")), None)
    assert (type(error), error.args) == (KeyError, ("k",))


def test_values_of_both_forms() -> None:
    assert value_of(native.dumps([1])) == [1]
    assert value_of(packing.result_from_text(strategies.dumps([1], "11"))) == [1]


@pytest.mark.parametrize("status", [-1, 7, 255])
def test_an_unknown_status_is_told(status: int) -> None:
    with pytest.raises(ResultDecodeError, match="unknown here"):
        exception_of(status, REASON, None)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91\xa1\xff", b"text", b"\x91" * 5000])
@pytest.mark.parametrize("status", [frames.LOST, frames.CANCELLED])
def test_a_reason_that_is_none_is_told_with_its_size(body: bytes, status: int) -> None:
    with pytest.raises(ResultDecodeError, match=f"{len(body)} bytes, status {status}"):
        exception_of(status, body, None)


@pytest.mark.parametrize("body", [b"", b"\xff\xff", b"nothing of the kind"])
def test_a_value_that_is_none_is_told(body: bytes) -> None:
    with pytest.raises(ResultDecodeError):
        value_of(body)
