"""Wishes to cancel: asked, asked again, answered, given up."""

from __future__ import annotations

from compute_executor.protocol.frames import Cancel
from compute_executor.session.withdrawal import Withdrawal, Withdrawals

TASKS = [(b"p" * 12, [1, 2])]


def test_asked_and_answered() -> None:
    withdrawals, wish = Withdrawals(), Withdrawal([])

    assert withdrawals.ask(wish, TASKS) == Cancel(1, TASKS)
    assert list(withdrawals.again()) == [Cancel(1, TASKS)]
    assert not wish.answered.is_set()
    withdrawals.answered(1)
    withdrawals.answered(1)
    assert wish.answered.is_set()
    assert list(withdrawals.again()) == []


def test_where_nothing_is_open_there_is_nothing_to_ask() -> None:
    wish = Withdrawal(None)

    assert Withdrawals().ask(wish, []) is None
    assert wish.answered.is_set()


def test_given_up() -> None:
    withdrawals, wishes = Withdrawals(), [Withdrawal([]), Withdrawal([])]
    for wish in wishes:
        withdrawals.ask(wish, TASKS)
    withdrawals.give_up()

    assert all(wish.answered.is_set() for wish in wishes)
