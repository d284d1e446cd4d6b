"""How many connections a service holds, and how long one may take to say what it wants.

Whoever can reach the port can open connections, with or without a token, and each takes a descriptor. Workers,
the store and large bodies need descriptors, too: so a part of them is kept back, and a connection that comes when
the others are taken is closed at once. One that says nothing, or next to nothing, is closed after a while.
"""

from __future__ import annotations

import asyncio
import logging
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

DESCRIPTORS = 65_536
"""Of this process, at most. Whoever wants to close all there may be, as daemon code does, counts up to the limit."""
MOST = 16_384
"""Connections, at most: with some 40 KiB for a stream that idles, 640 MiB."""
HEADERS = 10.0
"""Seconds from the beginning of a connection until its first request has all its headers, and for those of a later
request from its first byte on."""
FLOOR = 1_000
"""Bytes of a body that come in as much time, at least."""


def raise_limit() -> int:
    """Let this process, and the workers that it starts, have as many open files as the system lets it have without
    asking: the usual 1,024, or 256 on macOS, are few. How many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError) as error:  # macOS has a lower bound than it says
            log.warning("no more than %d files can be open: %s", soft, error)
            return soft
    return max(soft, wanted)


def most(descriptors: int) -> int:
    """Connections that are held, of a process that may have so many descriptors: of few a half, of many nearly three
    of four.

    >>> most(128), most(1024), most(65_536)
    (64, 704, 16384)
    """
    return min(MOST, max(descriptors // 2, descriptors * 3 // 4 - 64))


class HttpConnection(HttpToolsProtocol):
    """uvicorn's, with these limits. Belongs to the loop's thread."""

    most = MOST
    refused = 0
    """Of all that were refused."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = 0
        self._waiting_for_headers = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """See asyncio.Protocol."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse()
            return
        self._expect()

    def _refuse(self) -> None:
        kind = type(self)
        kind.refused += 1
        if kind.refused.bit_count() == 1:  # the 1st, 2nd, 4th ...: whoever does this does it often
            log.warning("%d connections refused: %d are open, the most there may be", kind.refused, self.most)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._received += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        if self._timer is None:
            self._waiting_for_headers = True
            self._expect()

    def on_headers_complete(self) -> None:
        """What is wanted is known; the body may come."""
        self._waiting_for_headers = False
        self._expect()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The whole request is here."""
        self._expect_nothing()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """It becomes a stream, which has limits of its own (`streams`)."""
        self._expect_nothing()
        super().handle_websocket_upgrade()

    def _expect(self) -> None:
        self._expect_nothing()
        self._timer = self.loop.call_later(HEADERS, self._look, self._received)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, received_before: int) -> None:
        came = self._received - received_before
        if self._waiting_for_headers or (came < FLOOR and not self.flow.read_paused):
            log.info("a connection is closed: %d bytes came in %g s, and no whole request", came, HEADERS)
            self._timer = None
            self.transport.abort()
        else:
            self._expect()
