"""One accepted connection, below HTTP and WebSocket: lets it in, does TLS, and gives on what comes in small pieces.

    socket -> [TLS] -> PeerConnection -> HttpConnection, later WebSocketConnection

What comes is given on piece by piece for a millisecond, then everybody else has a turn, of a millisecond too if
somebody else has said something just now; a peer that sends what costs much (tiny frames, requests in a pipeline) so
costs others little, and nothing is waited for where it is the only one. While an answer waits, or megabytes of
answers are not read by the peer, nothing is given on and nothing is read: what has come is bounded by one read of the
socket.
Only the interfaces of asyncio's Protocol and Transport are used. Owner of all state: the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from compute_executor.service.process.admission import Admission, Peer
from compute_executor.service.process.http_connection import HttpConnection
from compute_executor.service.scheduling.speakers import RECENT, Speakers

log: logging.Logger = logging.getLogger(__name__)

PIECE = 1024
"""Bytes that are given on at once: 170 pings or 50 requests, some 2 ms of work."""
LARGE_PIECE = 256 * 1024
"""The same of a body or a frame whose length is known: it is only put aside."""
TURN = 0.001
"""Seconds (of CPU time, and then of the clock) for which one connection is given pieces, and then none."""
UNREAD = 8 * 1024 * 1024
"""Bytes of answers that a peer may leave unread while more is read from it: twice the largest frame of results."""
SILENCE = 10.0
"""Seconds until a peer has said something and, where TLS is spoken, until its handshake is done."""

UNREAD_PATIENCE = 60.0
"""Seconds within which a peer reads some of what waits for it. A WebSocket that says nothing is given up as soon."""
CLOSING = 10.0
"""Seconds that the last answer may take to be read before the connection is cut: what is closed waits for that."""


@dataclass
class Entrance:
    """What the connections of one server share: who may be there, who is, who speaks, and TLS, if it is spoken."""

    admission: Admission
    tls: ssl.SSLContext | None = None
    open: dict[Peer, PeerConnection] = field(default_factory=dict)
    speakers: Speakers = field(default_factory=Speakers)
    ended_early: int = 0

    def let_in(self, connection: PeerConnection, peer: Peer) -> None:
        """Note a new connection, and end the one that has to leave for it."""
        self.open[peer] = connection
        leaving = self.admission.enter(peer)
        if leaving is not None:
            self.open.pop(leaving).abort()
            self._tell()

    def leave(self, connection: PeerConnection, peer: Peer) -> None:
        """Note that a connection has ended, if that was not noted before."""
        if self.open.get(peer) is connection:
            del self.open[peer]
            self.admission.leave(peer)

    def close(self) -> None:
        """End the connections over which nobody speaks HTTP yet. The others are the server's to end."""
        for connection in [one for one in self.open.values() if not one.is_open]:
            connection.abort()

    def _tell(self) -> None:
        self.ended_early += 1
        if self.ended_early.bit_count() == 1:  # the 1st, 2nd, 4th ...: whoever does this does it often
            log.warning(
                "%d connections without a token ended for newer ones: %d may be open, of one address %d",
                self.ended_early,
                self.admission.strangers,
                self.admission.per_network,
            )


class PeerConnection(asyncio.Protocol):
    """See the module. Made by uvicorn for each connection, with the arguments of its own protocols."""

    def __init__(
        self, entrance: Entrance, _loop: asyncio.AbstractEventLoop | None = None, **of_uvicorn: Any
    ) -> None:
        self._entrance = entrance
        self._loop = _loop or asyncio.get_event_loop()
        self._make_above: Callable[[], asyncio.Protocol] = lambda: HttpConnection(
            **of_uvicorn, _loop=self._loop
        )
        self._peer: Peer = ("", 0)
        self._raw: asyncio.Transport | None = None
        self._transport: asyncio.Transport | None = None  # None: nobody speaks HTTP yet
        self._above: asyncio.Protocol | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._waiting = bytearray()
        self._paused = False  # by the protocol above
        self._reading = True
        self._turn: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None  # while the peer does not read
        self._closing: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether HTTP or WebSocket is spoken."""
        return self._above is not None

    # -- coming and going ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol. Nothing is made for a peer that says nothing."""
        self._raw = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        if not address:  # it is gone already
            self._raw.abort()
            return
        self._peer = (str(address[0]), int(address[1]))
        self._silence = self._loop.call_later(SILENCE, self._end_silence)
        self._entrance.let_in(self, self._peer)

    def _end_silence(self) -> None:
        if self._above is None:
            self.abort()

    def _begin(self, raw: asyncio.Transport) -> None:
        """Note that the peer has said something."""
        if self._entrance.tls is None:
            self._open(raw)
        elif self._handshake is None:
            self._handshake = self._loop.create_task(self._speak_tls(raw, self._entrance.tls))

    async def _speak_tls(self, raw: asyncio.Transport, tls: ssl.SSLContext) -> None:
        opening = self._loop.start_tls(raw, self, tls, server_side=True, ssl_handshake_timeout=SILENCE)
        shaking_hands = self._loop.create_task(opening)
        await asyncio.sleep(0)
        self._loop.call_soon(self._pass_early_bytes, raw)
        try:
            transport = await shaking_hands
        except (OSError, RuntimeError) as error:
            # An SSLError is an OSError. uvloop raises RuntimeError if the connection is closed already.
            log.info("a TLS handshake failed: %s", error)
            transport = None
        if transport is None or transport.is_closing():  # the peer may have gone since the handshake was done
            self.abort()
        else:
            self._open(transport)

    def _pass_early_bytes(self, raw: asyncio.Transport) -> None:
        """Give what came before TLS was there to it."""
        protocol = raw.get_protocol()
        if isinstance(protocol, asyncio.Protocol):  # asyncio's own, before Python 3.11
            early, self._waiting = bytes(self._waiting), bytearray()
            protocol.data_received(early)
            return
        protocol = cast(asyncio.BufferedProtocol, protocol)
        while self._waiting and not raw.is_closing():
            buffer = memoryview(protocol.get_buffer(len(self._waiting)))
            size = min(len(buffer), len(self._waiting))
            buffer[:size] = self._waiting[:size]
            del self._waiting[:size]
            protocol.buffer_updated(size)

    def _open(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._above = self._make_above()
        self._above.connection_made(UpperTransport(self, transport))
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._entrance.leave(self, self._peer)
        for timer in (self._silence, self._turn, self._unread, self._closing):
            if timer is not None:
                timer.cancel()
        self._waiting.clear()
        if self._above is not None:
            self._above.connection_lost(exc)

    def abort(self) -> None:
        """End at once, and leave: during a handshake ``connection_lost`` is TLS's to hear, not this object's."""
        self._entrance.leave(self, self._peer)
        if self._raw is not None:
            self._raw.abort()

    # -- receiving ----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._entrance.speakers.spoke(self, self._loop.time())
        if self._above is not None and len(data) <= PIECE and not self._waiting and self._may_go_on():
            self._above.data_received(data)  # nearly always: a small frame, a small request
            return
        self._waiting += data
        if self._above is None and self._raw is not None:
            self._begin(self._raw)
        elif self._turn is None:
            self._go_on()

    def eof_received(self) -> bool | None:
        """See asyncio.Protocol."""
        return self._above.eof_received() if self._above is not None else None

    def _may_go_on(self) -> bool:
        """Return whether what has come may be given on: no answer waits, and the peer reads those that were
        written."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if self._paused and not self._has_room():
            return False
        return not getattr(self._above, "pipeline", None) and transport.get_write_buffer_size() <= UNREAD

    def _has_room(self) -> bool:
        """Return whether the protocol above may find several messages at once: not while others wait for their
        turns."""
        return getattr(self._above, "has_room", False) and not self._others_speak()

    def _go_on(self) -> None:
        """Give on pieces of what waits for a turn; after half of one, others have as much before there is more, if
        there are others. Between two turns the loop looks in any case what else has come."""
        self._turn = None
        begin = now = time.thread_time()
        while self._waiting and self._may_go_on() and now < begin + TURN:
            size = min(LARGE_PIECE, max(PIECE, getattr(self._above, "expected", 0)))
            piece = bytes(self._waiting[:size])
            del self._waiting[:size]
            cast(asyncio.Protocol, self._above).data_received(piece)
            now = time.thread_time()
        if now > begin + TURN / 2 and self._others_speak():
            self._turn = self._loop.call_later(TURN, self._go_on)
        elif self._waiting and self._may_go_on():
            self._go_on_soon()
        self._read_if_wanted()

    def _go_on_soon(self) -> None:
        self._turn = cast(asyncio.TimerHandle, self._loop.call_soon(self._go_on))

    def _others_speak(self) -> bool:
        return self._entrance.speakers.another_since(self, self._loop.time() - RECENT)

    def _read_if_wanted(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        wanted = not self._waiting and self._turn is None and self._may_go_on()
        if wanted and not self._reading:
            transport.resume_reading()
        elif self._reading and not wanted:
            transport.pause_reading()
        self._reading = wanted

    def pause(self) -> None:
        """Note that the protocol above wants no more for now."""
        self._paused = True
        self._read_if_wanted()

    def resume(self) -> None:
        """Note that it wants more again, or looks whether there is some."""
        self._paused = False
        if not self._waiting:
            self._read_if_wanted()
        elif self._turn is None:
            self._go_on_soon()

    def now_above(self, protocol: asyncio.Protocol) -> None:
        """HTTP has become WebSocket."""
        self._above = protocol

    # -- sending ------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        if self._above is not None:
            self._above.pause_writing()
            self._read_if_wanted()
            self._expect_reading()

    def _expect_reading(self) -> None:
        assert self._transport is not None
        waits = self._transport.get_write_buffer_size()
        self._unread = self._loop.call_later(UNREAD_PATIENCE, partial(self._look_whether_read, waits))

    def _look_whether_read(self, before: int) -> None:
        """End a connection whose peer has read nothing of what waited: whoever writes would wait for ever."""
        assert self._transport is not None
        if self._transport.get_write_buffer_size() < before:
            self._expect_reading()
            return
        log.info("a connection is closed: its peer read nothing of %d bytes in %g s", before, UNREAD_PATIENCE)
        self.abort()

    def close(self) -> None:
        """End when everything is written; also if the peer does not read it."""
        assert self._transport is not None
        if not self._transport.is_closing():
            self._closing = self._loop.call_later(CLOSING, self.abort)
        self._transport.close()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        if self._unread is not None:
            self._unread.cancel()
        if self._above is not None:
            self._above.resume_writing()
            if self._turn is None:
                self._go_on()


class UpperTransport(asyncio.Transport):
    """The transport as the protocol above a PeerConnection sees it: reading and the protocol are that one's."""

    def __init__(self, connection: PeerConnection, below: asyncio.Transport) -> None:
        super().__init__()
        self._connection = connection
        self._below = below
        vars(self).update(write=below.write, is_closing=below.is_closing)  # each result passes here

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See asyncio.BaseTransport."""
        return self._below.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See asyncio.BaseTransport."""
        self._connection.now_above(cast(asyncio.Protocol, protocol))

    def pause_reading(self) -> None:
        """See asyncio.ReadTransport."""
        self._connection.pause()

    def resume_reading(self) -> None:
        """See asyncio.ReadTransport."""
        self._connection.resume()

    def get_write_buffer_size(self) -> int:
        """See asyncio.WriteTransport."""
        return self._below.get_write_buffer_size()

    def close(self) -> None:
        """See asyncio.BaseTransport."""
        self._connection.close()

    def abort(self) -> None:
        """See asyncio.WriteTransport."""
        self._below.abort()
