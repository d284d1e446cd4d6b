"""What a stream needs now and then, at which time."""

from __future__ import annotations

from typing import Any

import pytest

from compute_executor.errors import ServiceUnavailable
from compute_executor.session.stream.keepalive import ACK_PAUSE, NO_ROOM_PAUSE, PING_PAUSE, Keepalive
from compute_executor.session.stream.websocket import StreamLost


class Dialogue:
    def __init__(self) -> None:
        self.owes_acknowledgement = False
        self.postponed: list[Any] = []
        self.no_room: Any = None
        self.done: list[str] = []

    def acknowledge(self) -> None:
        self.done.append("acknowledge")

    def retry_postponed(self) -> None:
        self.done.append("retry")

    def give_up_postponed(self, error: Exception) -> None:
        self.done.append(f"give up: {error}")


class Stream:
    def __init__(self) -> None:
        self.heard = 0.0
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1


@pytest.fixture
def dialogue() -> Any:
    return Dialogue()


@pytest.fixture
def stream() -> Any:
    return Stream()


@pytest.fixture
def upkeep(dialogue: Any) -> Keepalive:
    return Keepalive(dialogue, grace=2.0)


def test_acknowledgements_are_not_made_too_often(upkeep: Keepalive, dialogue: Any, stream: Any) -> None:
    stream.heard = 100.0
    upkeep.work(stream, 100.0)
    assert (dialogue.done, upkeep.pause()) == ([], PING_PAUSE)

    dialogue.owes_acknowledgement = True
    assert upkeep.pause() == ACK_PAUSE
    upkeep.work(stream, 100.0)
    upkeep.work(stream, 100.0 + ACK_PAUSE / 2)
    assert dialogue.done == ["acknowledge"]
    upkeep.work(stream, 100.0 + ACK_PAUSE)
    assert dialogue.done == ["acknowledge"] * 2


def test_a_silent_peer_is_asked_once_and_then_given_up(upkeep: Keepalive, stream: Any) -> None:
    stream.heard = 100.0
    upkeep.work(stream, 100.0 + PING_PAUSE - 1)
    assert stream.pings == 0
    upkeep.work(stream, 100.0 + PING_PAUSE)
    upkeep.work(stream, 100.0 + 2 * PING_PAUSE - 1)
    assert stream.pings == 1

    with pytest.raises(StreamLost, match="silent for 40 s"):
        upkeep.work(stream, 100.0 + 2 * PING_PAUSE)


def test_a_peer_that_answers_lives(upkeep: Keepalive, stream: Any) -> None:
    stream.heard = 100.0
    upkeep.work(stream, 120.0)
    stream.heard = 121.0
    upkeep.work(stream, 140.5)
    assert stream.pings == 1
    upkeep.work(stream, 141.0)
    assert stream.pings == 2


def test_what_found_no_room_is_offered_again(upkeep: Keepalive, dialogue: Any, stream: Any) -> None:
    stream.heard = 100.0
    dialogue.postponed, dialogue.no_room = ["batch"], ServiceUnavailable("full")
    assert upkeep.pause() == NO_ROOM_PAUSE
    for step in range(5):
        upkeep.work(stream, 100.0 + step * NO_ROOM_PAUSE / 2)

    assert dialogue.done == ["retry"] * 3


def test_and_given_up_after_the_grace(upkeep: Keepalive, dialogue: Any, stream: Any) -> None:
    stream.heard = 100.0
    dialogue.postponed, dialogue.no_room = ["batch"], ServiceUnavailable("full")
    upkeep.work(stream, 100.0)
    upkeep.work(stream, 102.0)

    assert dialogue.done == ["retry", "give up: full"]


def test_as_long_as_something_is_accepted_there_is_hope(
    upkeep: Keepalive, dialogue: Any, stream: Any
) -> None:
    stream.heard = 100.0
    dialogue.postponed, dialogue.no_room = ["batch"], ServiceUnavailable("full")
    upkeep.work(stream, 100.0)
    dialogue.no_room = None
    upkeep.work(stream, 102.0)
    dialogue.no_room = ServiceUnavailable("full again")
    upkeep.work(stream, 103.9)

    assert dialogue.done == ["retry"] * 3
