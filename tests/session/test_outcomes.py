"""One outcome into one future, whatever it is, and however broken."""

from __future__ import annotations

import sys
import traceback
import uuid
from concurrent.futures import BrokenExecutor, CancelledError
from typing import Any

import msgspec
import pytest

from compute_executor.errors import (
    NotAuthorized,
    NotFound,
    PoolBroken,
    ResultDecodeError,
    TaskCancelled,
    TaskExecutionFailed,
    TaskTimeout,
    WorkerLost,
)
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import (
    BROKEN,
    CANCELLED,
    EXCEPTION,
    LOST,
    REFUSED,
    TIMEOUT,
    VALUE,
    Blob,
    Body,
    Reason,
    Result,
)
from compute_executor.serialization import carrier, exceptions, native, packing, python_versions
from compute_executor.session.outcomes import settle
from tests.session.owner import future as new_future


@pytest.fixture
def future() -> ComputeFuture[Any]:
    one: ComputeFuture[Any] = new_future()
    one.assign(b"p" * 12, 3)
    return one


def fetch(blob: Blob) -> bytes:
    if blob.name != "0" * 32:
        raise NotFound("no such blob")
    return native.dumps("large")


def end(future: ComputeFuture[Any], status: int, body: Body) -> None:
    settle(future, Result(1, b"p" * 12, 3, status, body, 1.5, 2.5), fetch)


def reason(**fields: Any) -> bytes:
    return msgspec.msgpack.encode(Reason(**fields))


def test_a_value(future: ComputeFuture[Any]) -> None:
    end(future, VALUE, native.dumps([1]))

    assert future.result(0) == [1]
    assert future.timings[1:] == (1.5, 2.5)


def test_a_large_value(future: ComputeFuture[Any]) -> None:
    end(future, VALUE, Blob("0" * 32, 9))

    assert future.result(0) == "large"


def test_a_blob_that_is_gone(future: ComputeFuture[Any]) -> None:
    end(future, VALUE, Blob("1" * 32, 9))

    with pytest.raises(NotFound) as caught:
        future.result(0)
    assert caught.value.task_id == future.task_id


def test_the_original_exception(future: ComputeFuture[Any]) -> None:
    end(future, EXCEPTION, exceptions.encode(KeyError("k")))

    with pytest.raises(KeyError) as caught:
        future.result(0)
    assert caught.value.args == ("k",)
    assert isinstance(caught.value.__cause__, exceptions.RemoteTraceback)


@pytest.mark.parametrize(("status", "kind"), [(LOST, WorkerLost), (BROKEN, PoolBroken)])
def test_a_lost_worker(future: ComputeFuture[Any], status: int, kind: type[WorkerLost]) -> None:
    end(future, status, reason(message="died", exit_code=-9, began=True, attempts=2))

    error = future.exception(0)
    assert type(error) is kind
    assert isinstance(error, BrokenExecutor)
    assert (str(error), error.exit_code, error.began, error.attempts) == ("died", -9, True, 2)
    assert error.task_id == future.task_id


def test_a_task_that_took_too_long(future: ComputeFuture[Any]) -> None:
    end(future, TIMEOUT, reason(message="after 3 s"))

    with pytest.raises(TimeoutError, match="after 3 s") as caught:
        future.result(0)
    assert isinstance(caught.value, TaskTimeout)


def test_a_task_whose_caller_lost_the_right_to_it(future: ComputeFuture[Any]) -> None:
    end(future, REFUSED, reason(message="function f is no longer shared"))

    with pytest.raises(NotAuthorized, match="function f is no longer shared") as caught:
        future.result(0)
    assert caught.value.task_id == future.task_id


def test_a_cancelled_task(future: ComputeFuture[Any]) -> None:
    end(future, CANCELLED, reason(message="withdrawn"))

    assert future.cancelled()
    with pytest.raises(CancelledError):
        future.result(0)


def test_a_task_that_was_cancelled_after_it_had_begun_once(future: ComputeFuture[Any]) -> None:
    future.begin(1.0)
    end(future, CANCELLED, reason(message="before its second attempt"))

    assert isinstance(future.exception(0), TaskCancelled)


def test_a_function_that_raises_the_error_of_a_cancelled_task(future: ComputeFuture[Any]) -> None:
    end(future, EXCEPTION, exceptions.encode(TaskCancelled("of another task that it waited for")))

    assert not future.cancelled()
    with pytest.raises(TaskCancelled, match="of another task"):
        future.result(0)


def test_a_second_cancellation(future: ComputeFuture[Any]) -> None:
    future.withdrawn()
    end(future, CANCELLED, reason(message="withdrawn"))

    assert future.cancelled()


class Leaves:
    def __reduce__(self) -> Any:
        return sys.exit, ("while being read",)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (VALUE, b"no pickle"),
        (VALUE, b""),
        (EXCEPTION, b"\x80no pickle"),
        (EXCEPTION, native.dumps("no exception")),
        (LOST, b"\xc1"),
        (77, b""),
        (VALUE, native.dumps(Leaves())),
    ],
)
def test_what_cannot_be_read(future: ComputeFuture[Any], status: int, body: bytes) -> None:
    end(future, status, body)

    with pytest.raises(ResultDecodeError) as caught:
        future.result(0)
    assert caught.value.task_id == future.task_id


def test_a_blob_that_cannot_be_read(future: ComputeFuture[Any]) -> None:
    settle(future, Result(1, b"p" * 12, 3, LOST, Blob("0" * 32, 123)), fetch)

    with pytest.raises(ResultDecodeError, match="20 bytes, status 2"):
        future.result(0)


def test_a_stock_worker_answers_with_text(future: ComputeFuture[Any]) -> None:
    end(future, VALUE, packing.result_from_text("11\n[1, 2]"))

    assert future.result(0) == [1, 2]


def test_the_text_of_a_traceback_carries_its_exception(future: ComputeFuture[Any]) -> None:
    def fails() -> None:
        raise KeyError("gone")

    try:
        carrier.carrying(fails)()
    except Exception:
        end(future, EXCEPTION, traceback.format_exc().encode())

    with pytest.raises(KeyError, match="gone"):
        future.result(0)


def test_a_text_that_carries_nothing_is_told(future: ComputeFuture[Any]) -> None:
    end(future, EXCEPTION, b"Traceback ...\nOSError: no disk")

    with pytest.raises(TaskExecutionFailed, match="OSError: no disk") as caught:
        future.result(0)
    assert caught.value.task_id == future.task_id


@pytest.mark.parametrize("body", [b"\x80\x04cno_such_module\nthing\n.", b"neither"])
def test_what_cannot_be_read_says_which_versions_met(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an endpoint whose workers have said theirs; of others nothing is known."""
    endpoint = uuid.uuid4()
    there = {"python_version": "3.1.4", "dill_version": "0.0.1"}
    monkeypatch.setitem(python_versions._told, str(endpoint), there)
    for one, said in ((endpoint, True), (uuid.uuid4(), False)):
        future: ComputeFuture[Any] = new_future(one.bytes)
        future.assign(b"p" * 12, 3)
        settle(future, Result(1, b"p" * 12, 3, VALUE, body), fetch)
        error = future.exception()
        assert isinstance(error, ResultDecodeError)
        assert ("Python 3.1.4 with dill 0.0.1, here are Python" in str(error)) is said
