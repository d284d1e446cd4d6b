"""What a stream needs now and then, at which time."""

from __future__ import annotations

from typing import Any

import pytest

from compute_executor.errors import ServiceUnavailable
from compute_executor.session.stream.keepalive import ACK_PAUSE, PING_PAUSE, Keepalive
from compute_executor.session.stream.websocket import StreamLost
from compute_executor.settings import NO_ROOM_PAUSE


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
        self.last_received = 0.0
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1


@pytest.fixture
def protocol() -> Any:
    return Dialogue()


@pytest.fixture
def stream() -> Any:
    return Stream()


@pytest.fixture
def keepalive(protocol: Any) -> Keepalive:
    return Keepalive(protocol, grace=2.0)


def test_acknowledgements_are_not_made_too_often(keepalive: Keepalive, protocol: Any, stream: Any) -> None:
    stream.last_received = 100.0
    keepalive.work(stream, 100.0)
    assert (protocol.done, keepalive.pause()) == ([], PING_PAUSE)

    protocol.owes_acknowledgement = True
    assert keepalive.pause() == ACK_PAUSE
    keepalive.work(stream, 100.0)
    keepalive.work(stream, 100.0 + ACK_PAUSE / 2)
    assert protocol.done == ["acknowledge"]
    keepalive.work(stream, 100.0 + ACK_PAUSE)
    assert protocol.done == ["acknowledge"] * 2


def test_a_silent_peer_is_asked_once_and_then_given_up(keepalive: Keepalive, stream: Any) -> None:
    stream.last_received = 100.0
    keepalive.work(stream, 100.0 + PING_PAUSE - 1)
    assert stream.pings == 0
    keepalive.work(stream, 100.0 + PING_PAUSE)
    keepalive.work(stream, 100.0 + 2 * PING_PAUSE - 1)
    assert stream.pings == 1

    with pytest.raises(StreamLost, match="silent for 40 s"):
        keepalive.work(stream, 100.0 + 2 * PING_PAUSE)


def test_a_peer_that_answers_lives(keepalive: Keepalive, stream: Any) -> None:
    stream.last_received = 100.0
    keepalive.work(stream, 120.0)
    stream.last_received = 121.0
    keepalive.work(stream, 140.5)
    assert stream.pings == 1
    keepalive.work(stream, 141.0)
    assert stream.pings == 2


def test_what_found_no_room_is_offered_again(keepalive: Keepalive, protocol: Any, stream: Any) -> None:
    stream.last_received = 100.0
    protocol.postponed, protocol.refusal = ["batch"], ServiceUnavailable("full")
    assert keepalive.pause() == NO_ROOM_PAUSE
    for step in range(5):
        keepalive.work(stream, 100.0 + step * NO_ROOM_PAUSE / 2)

    assert protocol.done == ["retry"] * 3


def test_and_given_up_after_the_grace(keepalive: Keepalive, protocol: Any, stream: Any) -> None:
    stream.last_received = 100.0
    protocol.postponed, protocol.refusal = ["batch"], ServiceUnavailable("full")
    keepalive.work(stream, 100.0)
    keepalive.work(stream, 102.0)

    assert protocol.done == ["retry", "give up: full"]


def test_as_long_as_something_is_accepted_there_is_hope(
    keepalive: Keepalive, protocol: Any, stream: Any
) -> None:
    stream.last_received = 100.0
    protocol.postponed, protocol.refusal = ["batch"], ServiceUnavailable("full")
    keepalive.work(stream, 100.0)
    protocol.refusal = None
    keepalive.work(stream, 102.0)
    protocol.refusal = ServiceUnavailable("full again")
    keepalive.work(stream, 103.9)

    assert protocol.done == ["retry"] * 3
