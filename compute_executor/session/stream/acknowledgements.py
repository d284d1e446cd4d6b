"""Acknowledgements that are due: per group, the highest result number read and the highest one acknowledged.

Owner: the session's I/O thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compute_executor.protocol.frames import Ack


class Acknowledgements:
    """Table of what was acknowledged. ``read``: highest number read per group, kept by the router."""

    def __init__(self, read: Mapping[bytes, int]) -> None:
        self._read = read
        self._acknowledged: dict[bytes, int] = {}

    @property
    def owed(self) -> bool:
        """Whether an acknowledgement is due."""
        acknowledged = self._acknowledged
        return any(acknowledged.get(group, 0) < seq for group, seq in self._read.items())

    def due(self) -> Iterator[Ack]:
        """Yield what to send, once."""
        for group, seq in self._read.items():
            if self._acknowledged.get(group, 0) < seq:
                self._acknowledged[group] = seq
                yield Ack(group, seq)
