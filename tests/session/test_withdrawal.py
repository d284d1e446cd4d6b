"""Requests to cancel: sent, sent again, answered, given up; and who runs the callbacks."""

from __future__ import annotations

import threading

from compute_executor.protocol.frames import Cancel
from compute_executor.session.withdrawal import Withdrawal, Withdrawals
from tests.session.owner import future

PREFIX = b"p" * 12
TASKS = [(PREFIX, [1, 2])]


def test_asked_and_answered() -> None:
    withdrawals, request = Withdrawals(), Withdrawal([], wait=True)

    assert withdrawals.ask(request, TASKS) == Cancel(1, TASKS)
    assert list(withdrawals.again()) == [Cancel(1, TASKS)]
    assert not request.answered.is_set()
    withdrawals.answered(1)
    withdrawals.answered(1)
    assert request.answered.is_set()
    assert list(withdrawals.again()) == []


def test_an_open_request_is_found_by_number_and_by_task() -> None:
    withdrawals, request = Withdrawals(), Withdrawal([], wait=True)
    withdrawals.ask(request, TASKS)

    assert withdrawals.by_number(1) is withdrawals.by_task(PREFIX, 2) is request
    assert withdrawals.by_task(PREFIX, 3) is None
    assert withdrawals.by_task(b"q" * 12, 1) is None
    withdrawals.answered(1)
    assert withdrawals.by_number(1) is withdrawals.by_task(PREFIX, 2) is None


def test_where_nothing_is_open_there_is_nothing_to_ask() -> None:
    request = Withdrawal(None, wait=True)

    assert Withdrawals().ask(request, []) is None
    assert request.answered.is_set()


def test_given_up() -> None:
    withdrawals, requests = Withdrawals(), [Withdrawal([], wait=True), Withdrawal([], wait=True)]
    for request in requests:
        withdrawals.ask(request, TASKS)
    withdrawals.give_up()

    assert all(request.answered.is_set() for request in requests)


def test_callbacks_run_in_the_thread_that_waits() -> None:
    request, one = Withdrawal([], wait=True), future()
    threads: list[threading.Thread] = []
    one.add_done_callback(lambda _: threads.append(threading.current_thread()))
    io_thread = threading.Thread(target=lambda: one.withdrawn(request.take_callbacks))
    io_thread.start()
    io_thread.join()
    assert one.cancelled()
    assert threads == []

    request.answered.set()
    request.wait(10)
    assert threads == [threading.current_thread()]


def test_where_no_thread_waits_any_more_the_owner_of_the_future_has_them_run() -> None:
    late, never = Withdrawal([], wait=True), Withdrawal([], wait=False)
    late.wait(0.0)
    for request in (late, never):
        one = future()
        called: list[object] = []
        one.add_done_callback(called.append)
        one.withdrawn(request.take_callbacks)
        assert called == [one]
