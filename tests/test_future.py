"""ComputeFuture by itself: states, waiters, what it knows of its task."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, Future, TimeoutError, as_completed, wait
from typing import Any

import pytest

from compute_executor.future import ComputeFuture, forked


class Owner:
    """A session that says yes to whatever it is asked."""

    def __init__(self, willing: bool = True) -> None:
        self.willing = willing
        self.identified = 0

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> set[int]:
        return {id(future) for future in futures if self.willing and future.withdrawn()}

    def assign_ids(self) -> None:
        self.identified += 1

    def run_callbacks(self, future: ComputeFuture[Any]) -> None:
        future.run_callbacks(BaseException)


@pytest.fixture
def future() -> ComputeFuture[Any]:
    return ComputeFuture(owner=Owner())


def in_thread(function: Any) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def test_it_is_a_future_of_the_standard_library(future: ComputeFuture[Any]) -> None:
    assert isinstance(future, Future)
    assert not future.done()
    assert not future.running()
    assert not future.cancelled()
    with pytest.raises(TimeoutError):
        future.result(0)


def test_it_ends_with_a_value(future: ComputeFuture[Any]) -> None:
    future.finish(7, 1.0, 2.0)

    assert future.result(0) == 7
    assert future.exception(0) is None
    assert future.timings[1:] == (1.0, 2.0)


class Empty(Exception):
    """False, as it has a length of 0."""

    def __len__(self) -> int:
        return 0


def test_an_error_that_is_false_is_raised(future: ComputeFuture[Any]) -> None:
    future.fail(Empty("of length 0"))

    with pytest.raises(Empty):
        future.result(0)


def test_an_error_that_is_false_is_raised_in_a_thread_that_waits(future: ComputeFuture[Any]) -> None:
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            future.result(10)
        except Empty as error:
            raised.append(error)

    thread = in_thread(wait)
    error = Empty("of length 0")
    future.fail(error)
    thread.join(10)
    assert raised == [error]


def test_it_ends_with_an_error_once(future: ComputeFuture[Any]) -> None:
    future.begin(1.0)
    future.fail(KeyError("first"), 0.0, 2.0)
    future.fail(KeyError("second"))

    assert str(future.exception(0)) == "'first'"
    assert future.timings[1:] == (1.0, 2.0)


def test_it_ends_cancelled(future: ComputeFuture[Any]) -> None:
    assert future.cancel()
    assert future.cancel()
    future.fail(KeyError("too late"))

    with pytest.raises(CancelledError):
        future.result(0)


def test_what_has_begun_cannot_be_cancelled(future: ComputeFuture[Any]) -> None:
    future.begin(1.0)

    assert future.running()
    assert not future.cancel()
    assert not future.withdrawn()


def test_what_has_ended_cannot_be_cancelled(future: ComputeFuture[Any]) -> None:
    future.finish(1)
    future.begin(5.0)

    assert not future.cancel()
    assert future.result(0) == 1


def test_an_unwilling_session() -> None:
    assert not ComputeFuture[int](owner=Owner(willing=False)).cancel()


@pytest.mark.parametrize("end", ["finish", "fail", "withdrawn"])
def test_all_who_wait_are_woken(end: str) -> None:
    futures: list[ComputeFuture[Any]] = [ComputeFuture(owner=Owner()) for _ in range(2)]
    seen: list[Any] = []
    waiters = [
        in_thread(lambda: seen.append(wait(futures, 10).not_done)),
        in_thread(lambda: seen.append(set(futures) - set(as_completed(futures, 10)))),
    ]
    arguments = {"finish": (1,), "fail": (KeyError(),), "withdrawn": ()}[end]
    for future in futures:
        getattr(future, end)(*arguments)
    for waiter in waiters:
        waiter.join()

    assert seen == [set(), set()]


def test_who_waits_for_the_value_gets_it(future: ComputeFuture[Any]) -> None:
    seen: list[Any] = []
    waiter = in_thread(lambda: seen.append(future.result(10)))
    future.finish("value")
    waiter.join()

    assert seen == ["value"]


def test_many_threads_may_begin_to_wait_at_once(future: ComputeFuture[Any]) -> None:
    start = threading.Barrier(9)
    seen: list[Any] = []

    def look() -> None:
        start.wait()
        seen.append(future.result(10))

    waiters = [in_thread(look) for _ in range(8)]
    start.wait()
    future.finish("value")
    for waiter in waiters:
        waiter.join()

    assert seen == ["value"] * 8


def test_callbacks_run_in_order_whatever_they_raise(
    future: ComputeFuture[Any], caplog: pytest.LogCaptureFixture
) -> None:
    called: list[str] = []

    def leave(_: Any) -> None:
        called.append("first")
        raise SystemExit

    future.add_done_callback(leave)
    future.add_done_callback(lambda _: called.append("second"))
    future.finish(1)
    future.add_done_callback(lambda _: called.append("late"))

    assert called == ["first", "second", "late"]
    assert "exception calling callback" in caplog.text


def test_in_asyncio(future: ComputeFuture[Any]) -> None:
    async def main() -> Any:
        waiting = asyncio.wrap_future(future)
        in_thread(lambda: future.finish("value")).join()
        return await waiting

    assert asyncio.run(main()) == "value"


def test_its_id_is_made_when_somebody_asks() -> None:
    owner = Owner()
    future: ComputeFuture[Any] = ComputeFuture(owner=owner, endpoint=b"\0" * 15 + b"\1")
    assert future.task_id is None
    assert future.place is None
    future.call = object()
    assert future.task_id is None
    assert owner.identified == 1

    future.assign(bytes(range(12)), 258)
    assert future.task_id == "00010203-0405-0607-0809-0a0b00000102"
    assert future.place == (bytes(range(12)), 258)
    assert future.endpoint_id == "00000000-0000-0000-0000-000000000001"
    assert ComputeFuture[int](owner=owner).endpoint_id is None


def test_an_orphan_says_where_its_result_is(future: ComputeFuture[Any]) -> None:
    called: list[Any] = []
    future.add_done_callback(called.append)
    future.orphan()
    future.orphan()

    assert "belongs to the parent" in str(future.exception(0))
    assert called == []


def test_after_a_fork_futures_work() -> None:
    forked()
    future: ComputeFuture[int] = ComputeFuture(owner=Owner())
    future.finish(1)

    assert future.result(0) == 1


TASK = "00010203-0405-0607-0809-0a0b00000102"


def test_one_that_was_made_by_itself_is_a_future_of_a_task() -> None:
    future = ComputeFuture[int](TASK)
    ended: list[Any] = []
    future.add_done_callback(ended.append)
    future.set_result(3)
    assert (future.task_id, future.result(0), ended) == (TASK, 3, [future])
    other = ComputeFuture[int]()
    assert other.task_id is None
    other.task_id = TASK
    assert other.task_id == TASK
    other.add_done_callback(ended.append)
    assert other.cancel()
    assert ended == [future, other]
    with pytest.raises(ValueError, match="badly formed"):
        ComputeFuture("no id")
