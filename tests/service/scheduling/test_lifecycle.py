"""The table is the truth: what it allows, and that it ends."""

from __future__ import annotations

import pytest

from compute_executor.service.scheduling.lifecycle import TRANSITIONS, Event, State, after, sources


def test_done_is_final() -> None:
    assert not [event for event in Event if after(State.DONE, event) is not None]


def test_every_state_can_be_reached_and_every_event_means_something() -> None:
    assert set(TRANSITIONS.values()) == set(State)
    assert {event for _, event in TRANSITIONS} == set(Event)


def test_what_has_begun_comes_back_only_by_retry() -> None:
    assert [event for event in Event if after(State.BEGAN, event) is State.QUEUED] == [Event.RETRY]


@pytest.mark.parametrize("state", [State.BEGAN, State.DONE])
def test_what_has_begun_cannot_be_cancelled(state: State) -> None:
    assert after(state, Event.CANCEL) is None


def test_sources_are_the_states_an_event_applies_to() -> None:
    assert sources(Event.END) == {State.LEASED, State.BEGAN}
