"""What a connection may do before somebody is known to be at its other end. No socket, no clock."""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import Mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from compute_executor.service.process import connections
from compute_executor.service.process.connections import HttpConnection

POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n"


class Timer:
    """What ``call_later`` returns."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Of an event loop: timers, which go off when the test says so, and tasks, which never run."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def call_later(self, _delay: float, call: Callable[..., object], *args: Any) -> Timer:
        self.timers.append(Timer(lambda: call(*args)))
        return self.timers[-1]

    def create_task(self, coroutine: Coroutine[Any, Any, None], **_options: Any) -> Mock:
        coroutine.close()
        return Mock()

    def time_passes(self) -> None:
        """All timers that are set go off."""
        due, self.timers = [timer for timer in self.timers if not timer.cancelled], []
        for timer in due:
            timer.call()


class Transport:
    """Of a connection: whether it was cut."""

    def __init__(self) -> None:
        self.cut = False

    def get_extra_info(self, _name: str) -> None:
        return None

    def abort(self) -> None:
        self.cut = True

    def close(self) -> None:
        self.cut = True

    def pause_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.cut


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    """The application, which is never reached."""


class Peer:
    """A connection and its transport."""

    def __init__(self, state: ServerState, loop: Loop, most: int = 9) -> None:
        class Few(HttpConnection):
            pass

        Few.most = most
        config = uvicorn.Config(app=nobody, lifespan="off")
        config.load()
        self.transport = Transport()
        self.connection = Few(config=config, server_state=state, app_state={}, _loop=loop)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    def say(self, data: bytes) -> None:
        self.connection.data_received(data)

    def leave(self) -> None:
        self.connection.connection_lost(None)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def peer(loop: Loop) -> Peer:
    return Peer(ServerState(), loop)


def test_one_that_says_nothing_is_cut(loop: Loop, peer: Peer) -> None:
    loop.time_passes()
    assert peer.transport.cut


def test_one_whose_headers_do_not_end_is_cut_however_much_it_says(loop: Loop, peer: Peer) -> None:
    peer.say(b"GET / HTTP/1.1\r\n" + b"X-More: of it\r\n" * 1000)
    loop.time_passes()
    assert peer.transport.cut


def test_a_body_may_come_slowly_but_must_come(loop: Loop, peer: Peer) -> None:
    peer.say(POST)
    for _ in range(3):
        peer.say(b"x" * connections.FLOOR)
        loop.time_passes()
        assert not peer.transport.cut
    peer.say(b"x")
    loop.time_passes()
    assert peer.transport.cut


def test_a_body_that_we_do_not_read_may_wait(loop: Loop, peer: Peer) -> None:
    peer.say(POST)
    peer.connection.flow.pause_reading()
    loop.time_passes()
    assert not peer.transport.cut


def test_a_whole_request_may_take_any_time_to_answer(loop: Loop, peer: Peer) -> None:
    peer.say(POST + b"x" * 5000)
    loop.time_passes()
    assert not peer.transport.cut


def test_the_next_request_is_expected_as_the_first(loop: Loop, peer: Peer) -> None:
    peer.say(POST + b"x" * 5000)
    peer.say(b"GET / HTTP/1.1\r\n")
    loop.time_passes()
    assert peer.transport.cut


def test_one_that_has_left_leaves_no_timer(loop: Loop, peer: Peer) -> None:
    peer.leave()
    assert all(timer.cancelled for timer in loop.timers)


def test_one_too_many_is_cut_until_another_leaves(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    state = ServerState()
    first, second, third = (Peer(state, loop, most=2) for _ in range(3))
    assert [peer.transport.cut for peer in (first, second, third)] == [False, False, True]
    assert "2 are open" in caplog.text
    third.leave()
    first.leave()
    assert not Peer(state, loop, most=2).transport.cut


def test_many_refusals_are_few_lines(loop: Loop, peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(1000):
        peer.connection._refuse()
    assert len(caplog.records) == 10  # 1, 2, 4 ... 512


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        (256, 4096, 4096),
        (1024, 1 << 30, connections.DESCRIPTORS),
        (256, resource.RLIM_INFINITY, connections.DESCRIPTORS),
    ],
)
def test_the_limit_is_raised(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: told.append(limits))
    assert connections.raise_limit() == wanted
    assert told == [(wanted, hard)]


@pytest.mark.parametrize(("soft", "hard"), [(100_000, 200_000), (512, 512)])
def test_a_limit_that_is_high_or_fixed_stays(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", None)
    assert connections.raise_limit() == soft


def test_a_limit_that_cannot_be_raised_is_what_there_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert connections.raise_limit() == 256
    assert "256 files" in caplog.text
