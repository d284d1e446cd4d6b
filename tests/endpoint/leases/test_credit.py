"""How many tasks a holder asks for."""

from __future__ import annotations

from compute_executor.endpoint.leases import credit
from compute_executor.endpoint.leases.credit import FIRST, PREFETCH, HolderCredit


def test_long_tasks_are_not_hoarded() -> None:
    assert credit.wanted(8, 60.0) == 9
    assert credit.wanted(0, 0.01) == 0
    assert credit.wanted(2, 0.0) == credit.MOST
    assert not credit.worth_sending(limit=10, sent=10, target=4)
    assert credit.worth_sending(limit=11, sent=10, target=4)
    assert not credit.worth_sending(limit=20, sent=10, target=100)


def test_nothing_is_known_until_a_task_ends_or_runs_for_long() -> None:
    one = HolderCredit(now=100.0)
    assert one.mean(running=0, now=500.0) is None
    assert one.target(workers=3, running=2, now=100.0 + PREFETCH) == 3 * FIRST
    assert one.mean(running=2, now=100.0 + 2 * PREFETCH) is not None
    assert one.target(workers=3, running=2, now=160.0) == 4
    one.progressed(160.0)
    assert one.mean(running=2, now=160.0) is None


def test_a_task_that_runs_longer_than_any_before_says_how_long_tasks_take() -> None:
    one = HolderCredit(now=0.0)
    one.learn([0.01, 0.01])
    one.learn([])
    assert one.target(workers=2, running=0, now=0.0) == 22
    assert one.mean(running=1, now=60.0) == 60.0
    assert one.mean(running=0, now=60.0) == 0.01


def test_a_pause() -> None:
    one = HolderCredit(now=0.0)
    one.pause(until=5.0)
    assert one.target(workers=2, running=0, now=4.9) == 0
    assert one.target(workers=2, running=0, now=5.0) == 2 * FIRST


def test_limits_count_what_came_on_this_connection() -> None:
    one = HolderCredit(now=0.0)
    assert one.next_limit(target=8, held=0) == 8
    one.received(8)
    assert one.next_limit(target=8, held=8) is None, "it is the one that was sent"
    assert one.next_limit(target=8, held=7) is None, "one more is not worth a frame"
    assert one.next_limit(target=8, held=7, at_once=True) == 9
    assert one.next_limit(target=8, held=2) == 14
    assert one.next_limit(target=0, held=2) is None, "a limit that was sent is not taken back"
    one.new_connection()
    assert one.next_limit(target=8, held=8, at_once=True) == 0
