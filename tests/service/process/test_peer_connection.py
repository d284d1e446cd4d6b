"""What lies between a socket and HTTP: who is let in, and what is given on when."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from compute_executor.service.process import peer_connection
from compute_executor.service.process.admission import Admission
from compute_executor.service.process.peer_connection import (
    CLOSING,
    LARGE_PIECE,
    PIECE,
    TURN,
    UNREAD,
    UNREAD_PATIENCE,
    Entrance,
    PeerConnection,
)
from compute_executor.service.process.server import Server, bind
from compute_executor.service.scheduling.speakers import RECENT
from tests.sdk.http.test_direct import self_signed

uvloop.new_event_loop().close()  # libuv opens one pipe for all signals of the process, and keeps it


class Loop:
    """Of an event loop: what is to be called later is called when the test says so."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.delays: list[float] = []
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Any:
        self.delays.append(delay)
        return self.call_soon(call)

    def call_soon(self, call: Callable[[], None]) -> Any:
        self.soon.append(call)
        return self

    def cancel(self) -> None:
        self.soon.clear()

    def turn(self) -> None:
        due, self.soon = self.soon, []
        for call in due:
            call()


class Transport:
    """Of a socket: whether it is read, and how much waits to be written."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reading = True
        self.cut = self.closed = False
        self.unread = 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", self.port) if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.cut

    def abort(self) -> None:
        self.cut = True

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def get_protocol(self) -> asyncio.BaseProtocol:
        return asyncio.Protocol()


class Above:
    """The protocol above: what it was given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.pipeline: list[object] = []
        self.expected = 0
        self.may_write = True
        self.transport: Any = None
        self.each: Callable[[], object] = lambda: None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self.each()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def pause_writing(self) -> None:
        self.may_write = False

    def resume_writing(self) -> None:
        self.may_write = True


class Connection:
    """One with its stand-ins."""

    def __init__(self, entrance: Entrance, port: int = 1) -> None:
        self.loop, self.above, self.socket = Loop(), Above(), Transport(port)
        self.lower = PeerConnection(entrance, _loop=self.loop)  # type: ignore[arg-type]
        self.lower._make_above = lambda: self.above  # type: ignore[assignment, return-value]
        self.lower.connection_made(self.socket)  # type: ignore[arg-type]
        self.loop.soon.clear()
        self.loop.delays.clear()

    def begin(self) -> Connection:
        """The peer has said something, which is given on."""
        self.lower.data_received(b"")
        self.above.pieces.clear()
        return self

    def leave(self) -> None:
        self.lower.connection_lost(None)


@pytest.fixture
def entrance() -> Entrance:
    return Entrance(Admission(16))  # four strangers, of one address two


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each look at the clock is a tenth of a turn later."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks) * peer_connection.TURN / 10)
    return iter(())


def test_the_oldest_stranger_is_cut_for_the_next(
    entrance: Entrance, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third = (Connection(entrance, port) for port in (1, 2, 3))
    assert [one.socket.cut for one in (first, second, third)] == [True, False, False]
    assert "of one address 2" in caplog.text
    first.leave()
    assert Connection(entrance, 4).socket.cut is False
    assert second.socket.cut


def test_many_cuts_are_few_lines(entrance: Entrance, caplog: pytest.LogCaptureFixture) -> None:
    for port in range(1000):
        Connection(entrance, port)
    assert len(caplog.records) == 10  # the 1st, 2nd, 4th ... 512th


def test_what_has_left_takes_no_place(entrance: Entrance) -> None:
    for port in range(100):
        Connection(entrance, port).leave()
    assert not entrance.open


@pytest.mark.usefixtures("clock")
def test_what_comes_is_given_on_in_pieces_and_turns(entrance: Entrance) -> None:
    one = Connection(entrance).begin()
    one.lower.data_received(b"x" * PIECE * 100)
    assert 1 < len(one.above.pieces) < 20
    assert not one.socket.reading
    while one.loop.soon:
        one.loop.turn()
    assert one.above.pieces == [b"x" * PIECE] * 100
    assert one.socket.reading


def test_nothing_is_read_while_nothing_is_wanted(entrance: Entrance) -> None:
    one = Connection(entrance).begin()
    one.above.each = lambda: one.above.transport.pause_reading()
    one.lower.data_received(b"x" * PIECE * 3)
    assert len(one.above.pieces) == 1
    for expected in (2, 3):
        assert not one.socket.reading
        one.above.transport.resume_reading()
        one.loop.turn()
        assert len(one.above.pieces) == expected
    one.above.transport.resume_reading()
    assert one.socket.reading


def test_nothing_is_given_on_while_a_request_waits_for_the_answer_to_another(entrance: Entrance) -> None:
    one = Connection(entrance).begin()
    one.above.pipeline.append("a request")
    one.lower.data_received(b"x" * PIECE * 3)
    one.above.transport.resume_reading()  # as uvicorn does at each answer
    one.loop.turn()
    assert one.above.pieces == []
    assert not one.socket.reading
    one.above.pipeline.clear()
    one.above.transport.resume_reading()
    one.loop.turn()
    assert len(one.above.pieces) == 3


def test_who_does_not_read_is_not_read(entrance: Entrance) -> None:
    one = Connection(entrance).begin()
    one.socket.unread = UNREAD + 1
    one.lower.data_received(b"ping")
    assert one.above.pieces == []
    assert not one.socket.reading
    one.socket.unread = 0
    one.lower.resume_writing()
    assert one.above.pieces == [b"ping"]
    assert one.socket.reading


def test_a_body_of_known_length_comes_in_large_pieces(entrance: Entrance) -> None:
    one = Connection(entrance).begin()
    one.above.expected = LARGE_PIECE + 5 * PIECE
    one.lower.data_received(b"x" * LARGE_PIECE * 2)
    assert len(one.above.pieces[0]) == LARGE_PIECE


def test_what_waits_at_the_end_is_forgotten(entrance: Entrance) -> None:
    one = Connection(entrance).begin()
    one.above.transport.pause_reading()
    one.lower.data_received(b"x" * PIECE * 3)
    one.leave()
    one.loop.turn()
    assert one.above.pieces == []


# -- over sockets -------------------------------------------------------------------------------------------


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An application: the length of the body, for each request."""
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = f"{size};".encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


class Serving:
    """A server in the test's own loop. ``known``: whoever asks for /known has shown a token."""

    def __init__(self, tls: tuple[Path, Path] | None = None, most: int = 16_384) -> None:
        self.listener = bind("127.0.0.1", 0)
        self.where = self.listener.getsockname()
        self.admission = Admission(most)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/known":
                self.admission.known(tuple(scope["client"]), "ann")
            await echo(scope, receive, send)

        async def stopping() -> None:
            pass

        self.server = Server(app, lambda: None, stopping, tls=tls, admission=self.admission)

    async def __aenter__(self) -> Serving:
        self._task = asyncio.ensure_future(self.server._serve([self.listener]))
        while not self.server.started:
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.stop()
        await self._task


@contextlib.contextmanager
def crowd(serving: Serving, number: int) -> Iterator[None]:
    """So many connections that say nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(socket.create_connection(serving.where[:2]))
        yield


def test_every_request_of_a_long_pipeline_is_answered() -> None:
    async def scenario() -> None:
        async with Serving() as serving:
            reader, writer = await asyncio.open_connection(*serving.where[:2])
            request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
            writer.write(request * 2000)
            got = b""
            while got.count(b"3;") < 2000:
                got += await asyncio.wait_for(reader.readuntil(b";"), 20)
            assert got.count(b"HTTP/1.1 200") == 2000
            writer.close()
            await writer.wait_closed()

    uvloop.run(scenario())


def test_few_requests_of_a_pipeline_are_in_memory_whoever_reads_the_answers() -> None:
    async def scenario() -> None:
        async with Serving() as serving:
            _, writer = await asyncio.open_connection(*serving.where[:2])
            most = 0
            for _ in range(200):
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
                await asyncio.sleep(0)
                most = max([most, *(len(one.pipeline) for one in serving.server.server_state.connections)])  # type: ignore[union-attr]
            assert 0 < most < 60
            writer.transport.abort()

    uvloop.run(scenario())


def test_a_large_body_arrives_whole() -> None:
    async def scenario() -> None:
        async with Serving() as serving:
            reader, writer = await asyncio.open_connection(*serving.where[:2])
            for size in (0, 1, PIECE, 3_000_001):
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
                assert (await asyncio.wait_for(reader.readuntil(b";"), 20)).endswith(b"\n%d;" % size)
            writer.close()
            await writer.wait_closed()

    uvloop.run(scenario())


def test_600_idle_connections_of_a_stranger_leave_users_served() -> None:
    async def scenario(stack: contextlib.ExitStack) -> None:
        async with Serving(most=704) as serving:  # of a process that may have 1,024 files
            stack.enter_context(crowd(serving, 600))
            reader, writer = await asyncio.open_connection(*serving.where[:2])
            for _ in range(2):
                writer.write(b"GET /known HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b" 200 " in await asyncio.wait_for(reader.readuntil(b";"), 20)
                stack.enter_context(crowd(serving, 200))
            assert len(serving.server._entrance.open) <= serving.admission.per_network + 1
            writer.close()
            await writer.wait_closed()

    with contextlib.ExitStack() as stack:
        uvloop.run(scenario(stack))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return self_signed(tmp_path)


def client_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_over_tls(certificate: tuple[Path, Path], run: Any) -> None:
    async def scenario() -> None:
        async with Serving(certificate) as serving:
            reader, writer = await asyncio.open_connection(
                *serving.where[:2], ssl=client_context(certificate), server_hostname="localhost"
            )
            for size in (3, 1_000_000):
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
                assert (await asyncio.wait_for(reader.readuntil(b";"), 20)).endswith(b"\n%d;" % size)
            writer.close()
            await writer.wait_closed()

    run(scenario())


@pytest.mark.parametrize(
    "said", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "half", "no TLS"]
)
def test_a_tls_handshake_that_does_not_end_is_ended(
    certificate: tuple[Path, Path], said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_connection, "SILENCE", 0.2)

    async def scenario() -> None:
        async with Serving(certificate) as serving:
            reader, writer = await asyncio.open_connection(*serving.where[:2])
            writer.write(said)
            await asyncio.wait_for(_end(reader), 5)
            writer.close()
            await writer.wait_closed()
            while serving.server._entrance.open:
                await asyncio.sleep(0.01)
            assert serving.admission.enter(("127.0.0.1", 1)) is None

    uvloop.run(scenario())


class ClosedTransport(Transport):
    """What uvloop's ``start_tls`` returns when the connection is lost during the handshake."""

    def is_closing(self) -> bool:
        return True


async def never(*_: object, **__: object) -> Transport:
    await asyncio.Event().wait()
    raise AssertionError


async def lost(*_: object, **__: object) -> Transport:
    return ClosedTransport(2)


async def none(*_: object, **__: object) -> Transport | None:
    return None


async def refused(*_: object, **__: object) -> Transport:
    raise ssl.SSLError("no such version")


async def closed(*_: object, **__: object) -> Transport:
    raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


@pytest.mark.parametrize("start_tls", [never, lost, none, refused, closed])
def test_a_handshake_takes_no_place_after_it_has_ended_however_it_did(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch, start_tls: Callable[..., Any]
) -> None:
    entrance.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "start_tls", start_tls)
        lower, below = PeerConnection(entrance, _loop=loop), Transport(1)
        lower.connection_made(below)  # type: ignore[arg-type]
        assert entrance.open
        lower.data_received(b"\x16\x03\x01")
        for _ in range(5):
            await asyncio.sleep(0)
        lower._end_silence()
        assert below.cut
        assert not entrance.open
        assert not lower.is_open
        assert entrance.admission.enter(("127.0.0.1", 2)) is None
        lower.connection_lost(None)  # of the transport below
        assert lower._handshake is not None
        lower._handshake.cancel()

    asyncio.run(scenario())


def test_tls_handshakes_that_have_not_ended_count_and_leave_users_served(
    certificate: tuple[Path, Path],
) -> None:
    async def scenario(stack: contextlib.ExitStack) -> None:
        async with Serving(certificate, most=64) as serving:
            stack.enter_context(crowd(serving, 100))
            reader, writer = await asyncio.open_connection(
                *serving.where[:2], ssl=client_context(certificate), server_hostname="localhost"
            )
            writer.write(b"GET /known HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in await asyncio.wait_for(reader.readuntil(b";"), 20)
            assert len(serving.server._entrance.open) <= serving.admission.per_network + 1
            writer.close()
            await writer.wait_closed()

    with contextlib.ExitStack() as stack:
        uvloop.run(scenario(stack))


def test_a_service_that_ends_waits_for_no_handshake(certificate: tuple[Path, Path]) -> None:
    async def scenario() -> None:
        async with Serving(certificate) as serving:
            reader, writer = await asyncio.open_connection(*serving.where[:2])
            while not serving.server._entrance.open:
                await asyncio.sleep(0.01)
            serving.server.stop()
            await asyncio.wait_for(_end(reader), 5)
            writer.close()
            await writer.wait_closed()

    uvloop.run(scenario())


async def _end(reader: asyncio.StreamReader) -> None:
    """Read until the other side closes, however it does that."""
    with contextlib.suppress(ConnectionError):
        await reader.read()


def test_one_that_says_nothing_is_cut(entrance: Entrance) -> None:
    one = Connection(entrance)
    one.lower._end_silence()
    assert one.socket.cut


def test_one_that_speaks_is_not(entrance: Entrance) -> None:
    one = Connection(entrance).begin()
    one.lower._end_silence()
    assert not one.socket.cut


@pytest.mark.usefixtures("clock")
def test_nothing_is_waited_for_where_nobody_else_speaks(entrance: Entrance) -> None:
    Connection(entrance, 2).begin()
    one = Connection(entrance).begin()
    one.loop.now = RECENT * 2
    one.lower.data_received(b"x" * PIECE * 100)
    while one.loop.soon:
        one.loop.turn()
    assert len(one.above.pieces) == 100
    assert one.socket.reading
    assert not one.loop.delays


def test_a_protocol_with_room_is_given_more(entrance: Entrance) -> None:
    one = Connection(entrance).begin()
    one.above.has_room = True  # type: ignore[attr-defined]
    one.above.each = lambda: one.above.transport.pause_reading()
    one.lower.data_received(b"x" * PIECE * 3)
    assert len(one.above.pieces) == 3
    assert one.socket.reading
    one.above.has_room = False  # type: ignore[attr-defined]
    one.lower.data_received(b"x")
    assert len(one.above.pieces) == 3
    assert not one.socket.reading


def test_a_protocol_with_room_is_given_no_more_while_others_speak(entrance: Entrance) -> None:
    Connection(entrance, 2).begin()
    one = Connection(entrance).begin()
    one.above.has_room = True  # type: ignore[attr-defined]
    one.above.each = lambda: one.above.transport.pause_reading()
    one.lower.data_received(b"x" * PIECE * 3)
    assert len(one.above.pieces) == 1


@pytest.mark.usefixtures("clock")
def test_after_work_others_have_a_turn_before_more_is_read(entrance: Entrance) -> None:
    Connection(entrance, 2).begin()
    one = Connection(entrance).begin()
    one.lower.data_received(b"x" * PIECE * 6)
    assert len(one.above.pieces) == 6
    assert not one.socket.reading
    assert one.loop.delays == [TURN]
    one.loop.turn()
    assert one.socket.reading


def test_who_reads_nothing_of_what_waits_for_it_is_given_up(entrance: Entrance) -> None:
    slow = Connection(entrance).begin()
    slow.socket.unread = 100_000
    slow.lower.pause_writing()
    assert slow.loop.delays == [UNREAD_PATIENCE]
    slow.socket.unread = 99_000  # it has read a little
    slow.loop.turn()
    assert not slow.socket.cut
    slow.loop.turn()
    assert slow.socket.cut
    assert not entrance.open, "its place is free, also before the loop says that it is gone"


def test_who_has_read_in_time_is_not(entrance: Entrance) -> None:
    quick = Connection(entrance).begin()
    quick.lower.pause_writing()
    quick.lower.resume_writing()
    quick.loop.turn()
    assert not quick.socket.cut
    assert quick.above.may_write


def test_what_is_closed_does_not_wait_for_ever_for_its_last_answer_to_be_read(entrance: Entrance) -> None:
    slow = Connection(entrance).begin()
    slow.above.transport.close()
    assert slow.socket.closed
    assert slow.loop.delays == [CLOSING]
    slow.loop.turn()
    assert slow.socket.cut
    slow.above.transport.close()
    assert slow.loop.delays == [CLOSING], "it is being closed already"


def test_nothing_is_looked_at_later_of_a_connection_that_is_gone(entrance: Entrance) -> None:
    gone = Connection(entrance).begin()
    gone.lower.pause_writing()
    gone.above.transport.close()
    gone.leave()
    assert gone.loop.soon == []


@pytest.mark.parametrize("tls", [False, True])
def test_a_download_that_is_not_read_takes_no_place_for_ever(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> None:
    monkeypatch.setattr(peer_connection, "UNREAD_PATIENCE", 0.05)

    async def much(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})

    async def scenario() -> None:
        listener = bind("127.0.0.1", 0)
        up = asyncio.Event()

        async def nothing() -> None:
            pass

        server = Server(much, up.set, nothing, tls=certificate if tls else None)
        serving = asyncio.ensure_future(server._serve([listener]))
        await up.wait()
        context = ssl.create_default_context(cafile=str(certificate[0])) if tls else None
        reader, writer = await asyncio.open_connection(
            *listener.getsockname(), ssl=context, server_hostname="localhost" if tls else None, limit=1024
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.read(10)
        while server._entrance.open or server.busy:
            await asyncio.sleep(0.01)
        writer.transport.abort()
        server.stop()
        await asyncio.wait_for(serving, 10)

    uvloop.run(asyncio.wait_for(scenario(), 20))
