"""One WebSocket to a service, without threads: bytes in, frames out, and the other way round.

The protocol is that of `websockets`, used sans-I/O; this adds a plain non-blocking socket. Its own connection
classes would cost a thread and two hops between threads for every frame.

Owner: the session's I/O thread.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from compute_executor._version import __version__
from compute_executor.errors import ComputeError, NotAuthorized, ServiceUnavailable
from compute_executor.protocol.frames import MAX_FRAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from websockets.client import ClientProtocol
    from websockets.protocol import Event

CONNECT_PATIENCE = 10.0
"""Seconds for connection and handshake."""

PATH = "/v3/stream"
_CHUNK = 64 * 1024  # from 128 KiB on, each read would map memory and unmap it
_HIGH_WATER = 4 * 1024 * 1024


class StreamLost(ConnectionError):
    """The connection is gone; the message says how."""


class WebSocketStream:
    """An open connection. ``fileno`` is for a selector."""

    def __init__(self, sock: socket.socket, protocol: ClientProtocol, early: Iterable[Event] = ()) -> None:
        """``early``: what came in one read with the service's answer to the handshake."""
        self._socket = sock
        self._protocol = protocol
        self._early = list(early)
        self._out = bytearray()
        self._parts: list[bytes] = []  # of a message in fragments
        self.last_received: float = time.monotonic()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    # -- out -------------------------------------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Append a binary frame to what :meth:`flush` writes. Raises StreamLost."""
        self._append(self._protocol.send_binary, frame)

    def send_text(self, text: str) -> None:
        """Append a text frame to what :meth:`flush` writes. Raises StreamLost."""
        self._append(self._protocol.send_text, text.encode())

    def ping(self) -> None:
        """Append a ping: a live peer answers. Raises StreamLost."""
        self._append(self._protocol.send_ping, b"")

    def _append(self, send: Callable[[bytes], None], data: bytes) -> None:
        """Note that the service may have closed the stream in one piece with what was read before, its handshake
        included."""
        try:
            send(data)
        except Exception as error:
            from websockets.exceptions import InvalidState

            if isinstance(error, InvalidState):
                raise StreamLost(f"the service closed the stream: {error}") from error
            raise
        self._collect()

    def flush(self) -> bool:
        """Write what the socket takes. True if all of it is written. Raises StreamLost."""
        while self._out:
            try:
                sent = self._socket.send(self._out)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
            except OSError as error:
                raise StreamLost(f"writing failed: {error}") from error
            del self._out[:sent]
        return True

    @property
    def congested(self) -> bool:
        """Whether so much waits to be written that more should wait outside."""
        return len(self._out) > _HIGH_WATER

    def _collect(self) -> None:
        for data in self._protocol.data_to_send():
            self._out += data

    # -- in --------------------------------------------------------------------------------------------------

    def receive(self) -> list[bytes]:
        """Return the frames that have arrived, without waiting. Raises StreamLost at the end of the connection.

        The first call belongs before the first wait: what came with the handshake makes no socket readable.
        """
        frames = self._frames(b"" if self._early else self._read())
        self._collect()  # pongs, and the answer to a close
        return frames

    def _read(self) -> bytes:
        try:
            data = self._socket.recv(_CHUNK)
            if isinstance(self._socket, ssl.SSLSocket):
                while self._socket.pending():
                    data += self._socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as error:
            raise StreamLost(f"reading failed: {error}") from error
        if not data:
            raise StreamLost("the service closed the connection")
        self.last_received = time.monotonic()
        return data

    def _frames(self, data: bytes) -> list[bytes]:
        from websockets.frames import Frame, Opcode

        if data:
            self._protocol.receive_data(data)
        early, self._early = self._early, []
        frames: list[bytes] = []
        for event in [*early, *self._protocol.events_received()]:
            if not isinstance(event, Frame):
                continue
            if event.opcode is Opcode.CLOSE:
                raise StreamLost(f"the service closed the stream: {self._protocol.close_rcvd}")
            if event.opcode in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
                self._parts.append(bytes(event.data))
                if event.fin:
                    frames.append(b"".join(self._parts))
                    self._parts.clear()
        if self._protocol.parser_exc is not None:
            raise StreamLost(f"the stream broke the protocol: {self._protocol.parser_exc}")
        return frames

    # -- the end ---------------------------------------------------------------------------------------------

    def say_goodbye(self) -> None:
        """Append a close frame; the service answers with one and ends the connection. One that has ended the stream
        itself is not answered twice."""
        from websockets.protocol import OPEN

        if self._protocol.state is OPEN:
            self._protocol.send_close(1000)
            self._collect()

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def connect(
    url: str, authorization: str, patience: float = CONNECT_PATIENCE, *, path: str = PATH
) -> WebSocketStream:
    """Return a stream to the service at ``url`` (http or https), past the handshake.

    Raises NotAuthorized if the service does not take the credentials, ServiceUnavailable for everything else.
    """
    try:
        sock = _socket(url, patience)
    except ssl.SSLCertVerificationError as error:
        from compute_executor.sdk.http.direct import untrusted

        raise untrusted(url, error) from error
    except OSError as error:
        raise ServiceUnavailable(f"cannot connect to {url}: {error}") from error
    try:
        return _shake_hands(sock, url, path, authorization)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError) and not isinstance(error, ComputeError):
            raise ServiceUnavailable(f"{url} does not open a stream: {error}") from error
        raise


def _socket(url: str, patience: float) -> socket.socket:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or "localhost"
    sock = socket.create_connection((host, parts.port or (443 if secure else 80)), timeout=patience)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not secure:
        return sock
    try:
        from compute_executor.sdk.http.trust import context

        return context(url).wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise


def _shake_hands(sock: socket.socket, url: str, path: str, authorization: str) -> WebSocketStream:
    from websockets.client import ClientProtocol
    from websockets.uri import parse_uri

    protocol = ClientProtocol(
        parse_uri("ws" + url.removeprefix("http").rstrip("/") + path), max_size=MAX_FRAME
    )
    protocol.debug = False  # else a program that logs everything logs the token that opens the service
    request = protocol.connect()
    request.headers["Authorization"] = authorization
    request.headers["User-Agent"] = f"compute-executor/{__version__}"
    protocol.send_request(request)
    sock.sendall(b"".join(protocol.data_to_send()))
    while not (events := protocol.events_received()) and protocol.handshake_exc is None:
        data = sock.recv(_CHUNK)
        if not data:
            raise StreamLost("the connection was closed during the handshake")
        protocol.receive_data(data)
    _check_answer(url, events[0] if events else None, protocol.handshake_exc)
    sock.setblocking(False)
    return WebSocketStream(sock, protocol, events[1:])


def _check_answer(url: str, response: object, trouble: Exception | None) -> None:
    status = getattr(response, "status_code", None)
    if status in (401, 403):
        raise NotAuthorized(f"{url} does not accept the credentials (HTTP {status}). Log in again?")
    if trouble is not None:
        raise ServiceUnavailable(f"{url} does not open a stream: {trouble}")
