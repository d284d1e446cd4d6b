"""What HTTP may hold beside bodies, and what has to come in time. No socket, no clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import Mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from compute_executor.service.limits import MAX_BODY
from compute_executor.service.process.http_connection import FLOOR, HttpConnection
from compute_executor.service.process.http_connection import HEAD as HEAD_LIMIT
from compute_executor.service.process.peer_connection import PIECE

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
    """Of a connection: what was said, and whether it was cut."""

    def __init__(self) -> None:
        self.cut = False
        self.said = b""

    def write(self, data: bytes) -> None:
        self.said += data

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

    def __init__(self, state: ServerState, loop: Loop) -> None:
        config = uvicorn.Config(app=nobody, lifespan="off")
        config.load()
        self.transport = Transport()
        self.connection = HttpConnection(config=config, server_state=state, app_state={}, _loop=loop)
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
        peer.say(b"x" * FLOOR)
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


HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


def in_pieces(peer: Peer, data: bytes) -> None:
    """As a PeerConnection gives it on."""
    for start in range(0, len(data), PIECE):
        if not peer.transport.cut:
            peer.say(data[start : start + PIECE])


def padded(size: int, header: bytes) -> bytes:
    """A request of so many bytes."""
    begin = HEAD + header
    return begin + b"x" * (size - len(begin) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("size", [HEAD_LIMIT - 100, HEAD_LIMIT + 100, 10 * HEAD_LIMIT])
def test_a_head_has_16_kib_at_most(peer: Peer, size: int) -> None:
    in_pieces(peer, padded(size, b"X: "))
    assert peer.transport.cut == (size > HEAD_LIMIT)
    assert peer.transport.said.startswith(b"HTTP/1.1 431 ") == (size > HEAD_LIMIT)


@pytest.mark.parametrize("line", [b"a: b\r\n", b"a:\r\n", b"X-Longer: and longer\r\n"])
def test_many_short_headers_are_no_way_round_it(peer: Peer, line: bytes) -> None:
    in_pieces(peer, HEAD + line * 20_000)
    assert peer.transport.said.startswith(b"HTTP/1.1 431 ")
    assert len(peer.connection.headers) < HEAD_LIMIT


def test_a_long_path_is_none_either(peer: Peer) -> None:
    in_pieces(peer, b"GET /" + b"x" * 100_000)
    assert peer.transport.said.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "more",
    [
        b"0\r\n" + b"a: b\r\n" * 20_000,
        b"0\r\nX: " + b"x" * 100_000,
        b"1;" + b"x" * 100_000,
        b"0" * 100_000,
    ],
    ids=["trailers", "a long trailer", "an extension of a chunk", "a length of a chunk"],
)
def test_what_comes_beside_a_body_is_bounded_as_well(peer: Peer, more: bytes) -> None:
    in_pieces(peer, CHUNKED + more)
    assert peer.transport.cut


def test_empty_lines_between_requests_are_bounded(peer: Peer) -> None:
    in_pieces(peer, b"\r\n" * 100_000)
    assert peer.transport.cut


def test_trailers_are_not_headers(peer: Peer) -> None:
    peer.say(CHUNKED + b"0\r\nContent-Encoding: gzip\r\n\r\n")
    assert [name for name, _ in peer.connection.headers] == [b"host", b"transfer-encoding"]


def test_a_body_is_as_long_as_it_likes(peer: Peer) -> None:
    in_pieces(peer, CHUNKED + b"1\r\nx\r\n" * 100_000)
    assert not peer.transport.cut


def test_what_is_still_expected_of_a_body(peer: Peer) -> None:
    peer.say(POST + b"x" * 1000)
    assert peer.connection.expected == 4000
    peer.say(b"x" * 4000)
    assert peer.connection.expected == 0


def test_what_is_no_http_is_told_so(peer: Peer) -> None:
    peer.say(b"SSH-2.0-OpenSSH_9\r\n")
    head, _, body = peer.transport.said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["name"] == "InvalidRequest"


def test_a_body_that_is_answered_already_does_not_go_on_for_ever(peer: Peer) -> None:
    peer.say(CHUNKED)
    peer.connection.cycle.response_complete = True
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    for _ in range(MAX_BODY // 0x10000):
        peer.say(chunk)
    assert not peer.transport.cut
    peer.say(chunk)
    assert peer.transport.cut
