"""How much of a WebSocket frame is still to come. No I/O."""

from __future__ import annotations

_LONGEST_HEAD = 14
_SHORT, _LONG = 126, 127
"""Instead of a length: it follows in two bytes, or in eight."""


class FrameLengths:
    """Reader of the heads of frames as their bytes come (RFC 6455, 5.2). ``expected``: bytes of the payload of the
    frame that has begun, that have not come yet; 0 between two frames and within a head."""

    def __init__(self) -> None:
        self.expected: int = 0
        self._head = b""

    def read(self, data: bytes) -> None:
        """Take further bytes of the connection."""
        size = len(data)
        at = min(self.expected, size)
        self.expected -= at
        while at < size:
            head = self._head + data[at : at + _LONGEST_HEAD]
            end, payload = _head_of(head)
            if end > len(head):
                self._head = head
                return
            at += end - len(self._head)
            self._head = b""
            here = min(payload, size - at)
            at += here
            self.expected = payload - here


def _head_of(head: bytes) -> tuple[int, int]:
    """Return the bytes of a frame's head, and of its payload. If the first is more than there is, the second is not
    known."""
    if len(head) < 2:
        return 2, 0
    length, mask = head[1] & 0x7F, 4 if head[1] & 0x80 else 0
    more = 2 if length == _SHORT else 8 if length == _LONG else 0
    if len(head) >= 2 + more and more:
        length = int.from_bytes(head[2 : 2 + more], "big")
    return 2 + more + mask, length
