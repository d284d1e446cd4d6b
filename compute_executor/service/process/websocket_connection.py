"""A WebSocket as uvicorn has it, with a bound for the fragments of one message, and an answer to a handshake that is
none."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request

from compute_executor.service.process.frame_lengths import FrameLengths
from compute_executor.service.process.http_connection import last_answer

FRAGMENTS = 4_096
"""Of one message. Clients send a message in one, browsers in few; each takes memory, also an empty one."""

MESSAGES, MESSAGE_BYTES = 16, 64 * 1024
"""Messages, and their bytes, that wait for the application before no more is given on (a piece is given on whole).
What a client sends in a burst is so stored in few transactions; the turn in which it is handled is still short."""


class WebSocketConnection(WebSocketsSansIOProtocol):
    """One WebSocket. Belongs to the loop's thread."""

    frames: list[bytes]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_request = False
        self._lengths: FrameLengths | None = None  # from the handshake on
        self._queued = 0  # bytes of the messages since the application had none

    @property
    def expected(self) -> int:
        """Bytes that are still to come of a frame that has begun, and are only put aside."""
        return 0 if self._lengths is None else self._lengths.expected

    @property
    def has_room(self) -> bool:
        """Whether the application may find one more message beside those that it has not taken yet."""
        return self.queue.empty() or (self.queue.qsize() < MESSAGES and self._queued < MESSAGE_BYTES)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol. The first is the head of the handshake, which the HTTP parser has read before: what
        this one refuses (a body, a line of over 8 KiB, over 128 headers) would else have no answer, ever. The second
        comes after the answer (RFC 6455 section 4.1): uvicorn would fail at a frame that came before it."""
        if self._lengths is None:
            self._lengths = FrameLengths()
        elif not self.handshake_complete:
            self._refuse("this was sent before the answer to the handshake of a WebSocket")
            return
        else:
            self._lengths.read(data)
        super().data_received(data)
        if not self._is_request and not self.transport.is_closing():
            refused = self.conn.handshake_exc
            why = refused and (refused.__cause__ or refused)
            self._refuse(f"this is no handshake of a WebSocket: {why}")

    def _refuse(self, why: str) -> None:
        """End the connection with an answer of HTTP."""
        self.transport.write(last_answer(HTTPStatus.BAD_REQUEST, why))
        self.transport.close()

    def handle_connect(self, event: Request) -> None:
        """Take a handshake, which is accepted or refused from now on."""
        self._is_request = True
        super().handle_connect(event)

    def send_receive_event_to_app(self) -> None:
        """Note that a message is complete. uvicorn wants no other before it is taken; see ``has_room``. Text that is
        none ends the stream without a traceback in the log: anybody who may open one can send it, as often as they
        like."""
        size = sum(map(len, self.frames))
        self._queued = size if self.queue.empty() else self._queued + size
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            self._fail(CloseCode.INVALID_DATA, "a text message is UTF-8")
        else:
            super().send_receive_event_to_app()

    def handle_cont(self, event: Frame) -> None:
        """Take a further fragment of a message."""
        if len(self.frames) < FRAGMENTS:
            super().handle_cont(event)
            return
        self._fail(CloseCode.MESSAGE_TOO_BIG, f"a message has {FRAGMENTS} fragments at most")

    def _fail(self, code: CloseCode, reason: str) -> None:
        """End the stream with this code."""
        self.frames = []
        self.conn.fail(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()


def _is_text(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True
