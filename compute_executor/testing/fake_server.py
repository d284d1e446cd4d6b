"""FakeServer: the WebSocket of a fake service on loopback, which only holders of its token may use."""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from compute_executor._version import __version__
from compute_executor.protocol import frames

if TYPE_CHECKING:
    from websockets.http11 import Request, Response
    from websockets.sync.server import Server, ServerConnection

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(frames.ToService).decode

_quiet = logging.getLogger(__name__)
_quiet.setLevel(logging.CRITICAL)  # cut connections are what it is for


class ClientConnection:
    """Connection to one client. Any thread may send."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def send(self, frame: Any) -> None:
        """Send a frame; nothing happens if the connection is gone, since the client asks again on the next one."""
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed, OSError):
            self._connection.send(_encode(frame))

    def cut(self) -> None:
        """End the connection without a goodbye."""
        with contextlib.suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)


class FakeServer:
    """WebSocket server with a thread per connection. ``hear``: called with each frame, in its connection's thread."""

    def __init__(
        self, token: str, blobs: str, hear: Callable[[ClientConnection, frames.ToService], None]
    ) -> None:
        from websockets.sync.server import serve  # 30 ms, and only who tests needs it

        self.instance: str = secrets.token_hex(8)
        self._expected = f"Bearer {token}"
        self._blobs = blobs
        self._hear = hear
        self._changed = threading.Condition()  # guards _open
        self._open: set[ClientConnection] = set()
        self._server = serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._check,
            max_size=frames.MAX_FRAME,
            compression=None,
            logger=_quiet,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, name="fake-service")
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def cut(self) -> None:
        """End all connections without a goodbye."""
        with self._changed:
            for connection in self._open:
                connection.cut()

    def close(self) -> None:
        """Listen no more, and end all connections."""
        self.cut()  # first: websockets says goodbye to those that are open when its server ends
        self._server.shutdown()
        self._thread.join()
        self.cut()
        close_pipe(self._server)
        with self._changed:
            self._changed.wait_for(lambda: not self._open)

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse who does not have the token, because a call is code; answer a question that is no WebSocket."""
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), self._expected.encode()):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "the service of another program's test\n")
        if "Upgrade" in request.headers:
            return None
        return connection.respond(HTTPStatus.OK, json.dumps({"api": __version__, "instance": self.instance}))

    def _serve(self, connection: ServerConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        client = ClientConnection(connection)
        with self._changed:
            self._open.add(client)
        try:
            connection.recv()  # Hello
            welcome = frames.Welcome(frames.PROTOCOL, __version__, "", self._blobs, {})
            connection.send(msgspec.json.encode(welcome).decode())
            while True:
                self._hear(client, _decode(connection.recv()))  # type: ignore[arg-type]
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self._changed:
                self._open.discard(client)
                self._changed.notify_all()


def close_pipe(server: Server) -> None:
    """Before its version 17, websockets leaves the pipe open by which it ends its own server."""
    for end in (getattr(server, "shutdown_watcher", None), getattr(server, "shutdown_notifier", None)):
        if isinstance(end, int):
            os.close(end)
