"""A WebSocket as uvicorn has it, with a bound for the fragments of one message."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

FRAGMENTS = 4_096
"""Of one message. Clients send a message in one, browsers in few; each takes memory, also an empty one."""


class WebSocketConnection(WebSocketsSansIOProtocol):
    """One WebSocket. Belongs to the loop's thread."""

    def handle_cont(self, event: Frame) -> None:
        """A further fragment of a message."""
        if len(self.frames) < FRAGMENTS:
            super().handle_cont(event)
            return
        self.frames = []
        self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"a message has {FRAGMENTS} fragments at most")
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()
