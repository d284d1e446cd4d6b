"""The connection's state: when to try again, when to give up."""

from __future__ import annotations

import itertools

import pytest

from compute_executor.session.reconnect import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    POLL_PAUSE,
    ReconnectPolicy,
)
from compute_executor.settings import FIRST_GRACE, GRACE


def policy(chance: float = 0.5, grace: float = GRACE) -> ReconnectPolicy:
    return ReconnectPolicy(lambda: chance, grace)


def test_the_first_try_is_made_at_once() -> None:
    assert policy().next_try <= 0.0


def test_after_a_loss_the_first_new_try_is_made_at_once() -> None:
    one = policy()
    one.opened()
    one.lost(100.0)

    assert one.next_try == 100.0
    assert not one.connected


def test_pauses_grow_up_to_a_limit() -> None:
    one = policy(chance=1.0)
    pauses = []
    for _ in range(14):
        one.failed(0.0)
        pauses.append(one.next_try)

    assert all(later >= earlier for earlier, later in itertools.pairwise(pauses))
    assert pauses[0] == FIRST_PAUSE
    assert pauses[-1] == LONGEST_PAUSE


def test_chance_spreads_the_pauses_but_never_to_nothing() -> None:
    one = policy(chance=0.0)
    for _ in range(14):
        one.failed(0.0)

    assert one.next_try == LONGEST_PAUSE / 2


def test_success_makes_pauses_short_again() -> None:
    one = policy(chance=1.0)
    for _ in range(8):
        one.failed(0.0)
    one.opened()
    one.lost(50.0)
    one.failed(50.0)

    assert one.next_try == 50.0 + FIRST_PAUSE


def test_a_service_that_was_there_is_given_up_after_the_grace() -> None:
    one = policy(grace=60.0)
    one.opened()
    one.lost(100.0)
    one.failed(101.0)

    assert not one.given_up(159.9)
    assert one.given_up(160.0)


def test_one_that_never_was_there_is_given_up_sooner() -> None:
    one = policy()
    one.failed(100.0)

    assert not one.given_up(100.0)
    assert one.given_up(100.0 + FIRST_GRACE)


def test_an_answer_by_http_shows_that_it_is_there() -> None:
    one = policy(grace=60.0)
    one.opened()
    one.lost(100.0)
    one.answered(159.0)

    assert not one.given_up(1000.0)
    assert one.next_try == 159.0 + POLL_PAUSE
    one.failed(200.0)
    assert not one.given_up(259.0)
    assert one.given_up(260.0)


def test_after_giving_up_patience_begins_anew() -> None:
    one = policy(grace=1.0)
    one.failed(0.0)
    one.restart_grace()
    one.failed(100.0)

    assert not one.given_up(100.5)


def test_its_state_in_words() -> None:
    one = policy()
    states = [one.state]
    one.failed(0.0)
    states.append(one.state)
    one.opened()
    states.append(one.state)
    one.lost(1.0)
    states.append(one.state)

    assert states == ["not connected", "connecting", "connected", "not connected"]


@pytest.mark.parametrize("heard", ["answered", "alive"])
def test_an_answer_without_a_stream_begins_the_grace_anew(heard: str) -> None:
    one = policy(grace=10.0)
    one.failed(0.0)
    one.answered(9.0) if heard == "answered" else one.alive()
    one.failed(11.0)

    assert one.ever_connected
    assert not one.given_up(20.0)
    assert one.given_up(21.0)
