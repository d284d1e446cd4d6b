"""What is still to be acknowledged: per group, the highest result number read and the highest one acknowledged.

Owner: the session's I/O thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compute_executor.protocol.frames import Ack


class Acknowledgements:
    """``read``: highest number read per group, kept by the router."""

    def __init__(self, read: Mapping[bytes, int]) -> None:
        self._read = read
        self._said: dict[bytes, int] = {}

    @property
    def owed(self) -> bool:
        """Whether there is something to say."""
        said = self._said
        return any(said.get(group, 0) < seq for group, seq in self._read.items())

    def due(self) -> Iterator[Ack]:
        """What to say, once."""
        for group, seq in self._read.items():
            if self._said.get(group, 0) < seq:
                self._said[group] = seq
                yield Ack(group, seq)
