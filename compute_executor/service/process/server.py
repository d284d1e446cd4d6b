"""The HTTP server of a service: uvicorn, on a socket that is already bound, told when to stop by us alone."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from compute_executor.errors import ServiceUnavailable
from compute_executor.protocol.frames import MAX_FRAME
from compute_executor.service.process.admission import Admission
from compute_executor.service.process.descriptors import MOST
from compute_executor.service.process.peer_connection import Entrance, PeerConnection
from compute_executor.service.process.websocket_connection import WebSocketConnection

BACKLOG = 1024
KEEP_ALIVE = 15
"""Seconds that an idle HTTP connection is kept: our client polls every few seconds while it has no stream."""
PING_INTERVAL = 20.0
"""Seconds between two pings of a stream, and until one counts as unanswered (the websockets library's default)."""
GRACE = 3
"""Seconds that open requests and streams have to end when the service stops."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 takes a free one. Raises ServiceUnavailable if the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServiceUnavailable(
            f"cannot listen on {host} port {port}: {error.strerror}. If another program has the port, choose one "
            "that is free (0 takes any)"
        ) from error
    return listener


class Server(uvicorn.Server):
    """uvicorn's server with hooks: ``started`` when it accepts connections, ``stopping`` before it closes any.
    ``tls``: files of certificate and key. ``admission``: who may keep a connection."""

    def __init__(
        self,
        app: ASGIApp,
        started: Callable[[], None],
        stopping: Callable[[], Awaitable[None]],
        *,
        tls: tuple[Path, Path] | None = None,
        admission: Admission | None = None,
    ) -> None:
        self._entrance = Entrance(admission or Admission(MOST), _tls_context(tls) if tls else None)
        super().__init__(_config(app, self._entrance))
        self._on_started = started
        self._on_stopping = stopping

    @property
    def requests(self) -> int:
        """How many requests were answered so far."""
        return self.server_state.total_requests

    @property
    def busy(self) -> bool:
        """Whether a request is being answered, its body received, or a stream open."""
        return bool(self.server_state.tasks)

    def stop(self) -> None:
        """End soon: `uvicorn.Server.main_loop` looks every 0.1 s."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, then say so."""
        await super().startup(sockets)
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so, then close: no new connections, then the open ones."""
        await self._on_stopping()
        self._entrance.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop the server and nothing else: uvicorn would raise them again afterwards, and the
        process would be gone before the store is closed."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)


def _tls_context(files: tuple[Path, Path]) -> ssl.SSLContext:
    """TLS is spoken by `PeerConnection`, which counts connections before their handshake."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    return context


def _config(app: ASGIApp, entrance: Entrance) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=partial(PeerConnection, entrance),  # type: ignore[arg-type] # uvicorn calls it, and nothing else
        ws=WebSocketConnection,
        ws_max_size=MAX_FRAME,
        ws_ping_interval=PING_INTERVAL,
        ws_ping_timeout=PING_INTERVAL,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
