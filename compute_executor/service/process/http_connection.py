"""HTTP of one connection: uvicorn's protocol over httptools, and bounds for what comes beside bodies.

Headers of a request are kept up to `HEAD` bytes; trailers, extensions of chunks and empty lines are not kept, and
may be as many.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from compute_executor.errors import InvalidRequest
from compute_executor.service.api.error_responses import document
from compute_executor.service.limits import MAX_BODY

log: logging.Logger = logging.getLogger(__name__)

HEAD = 16 * 1024
"""Bytes of a request without its body: request line and headers together (h11 and nginx have as much)."""
HEADERS = 10.0
"""Seconds from the beginning of a connection until its first request has all its headers, and for those of a later
request from its first byte on."""
FLOOR = 1_000
"""Bytes of a body that come in as much time, at least."""


class HttpConnection(HttpToolsProtocol):
    """One connection, until it becomes a stream. ``expected``: bytes of the body that are still to come, if its
    length is known. Belongs to the loop's thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected: int = 0
        self._received = 0
        self._without_progress = 0  # bytes since the last of a body, or the end of a head or a message
        self._in_head = True
        self._too_long = False
        self._unwanted = 0  # bytes of a body that is answered already
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """See asyncio.Protocol. The peer has begun to speak."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._received += len(data)
        self._without_progress += len(data)
        super().data_received(data)
        if self._without_progress > HEAD and not self.transport.is_closing():
            self._too_long = True
            self.send_400_response("")

    # -- what the parser finds ----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        super().on_message_begin()
        self._in_head = True
        self._unwanted = 0
        if self._timer is None:
            self._expect()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer: those are for nobody."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Note that what is wanted is known; the body may come."""
        self._in_head = False
        self._without_progress = 0
        self._too_long = (
            len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD
        )
        if self._too_long:
            raise ValueError(
                "the head of the request is too long"
            )  # ends the parser: `send_400_response` is next
        self._expect()
        self.expected = _length(self.headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body. If it is answered already, so much is let pass: many clients read the answer after
        it."""
        self._without_progress = 0
        self.expected -= len(body)
        if self.cycle.response_complete:
            self._unwanted += len(body)
            if self._unwanted > MAX_BODY:
                self.transport.abort()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the whole request is here."""
        self._without_progress = self.expected = 0
        self._expect_nothing()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note that an answer is written: the next request that came meanwhile is begun, and more may come."""
        super().on_response_complete()
        self.transport.resume_reading()

    def handle_websocket_upgrade(self) -> None:
        """Note that it becomes a stream, which has limits of its own (`api.stream`)."""
        self._expect_nothing()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - ours says more
        """Answer what is no HTTP, or too long, and close."""
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if self._too_long else HTTPStatus.BAD_REQUEST
        reason = (
            f"the head of a request has {HEAD} bytes at most" if self._too_long else "this is no HTTP request"
        )
        self.transport.write(last_answer(status, reason))
        self.transport.close()

    # -- what has to come in time -------------------------------------------------------------------------

    def _expect(self) -> None:
        self._expect_nothing()
        self._timer = self.loop.call_later(HEADERS, self._look, self._received)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, received_before: int) -> None:
        came = self._received - received_before
        if self._in_head or (came < FLOOR and not self.flow.read_paused):
            log.info("a connection is closed: %d bytes came in %g s, and no whole request", came, HEADERS)
            self._timer = None
            self.transport.abort()
        else:
            self._expect()


def last_answer(status: HTTPStatus, reason: str) -> bytes:
    """Return the answer to what is no request that the application could answer; the connection ends with it."""
    body = msgspec.json.encode(document(InvalidRequest(reason), status))
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-type: application/json\r\n"
    )
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _length(headers: list[tuple[bytes, bytes]]) -> int:
    """Return the Content-Length, which the parser has checked; 0 if there is none."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)
