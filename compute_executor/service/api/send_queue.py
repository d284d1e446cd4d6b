"""What waits to be sent to one client: frames in order, results gathered, and how many bytes it is about.

Results that come while others of the same group wait at the end of the queue join their frame: frames grow only by
what accumulates. Results of a batch say that it was accepted, so no Accepted is sent beside them. No I/O, no
waiting; the sender of `streams` takes everything there is.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from compute_executor.protocol.frames import (
    MAX_FRAME,
    Accepted,
    Began,
    Output,
    Result,
    Results,
    ToClient,
    Written,
)

FRAME_BYTES = 64
"""What a short frame is counted as."""
MAX_RESULTS = MAX_FRAME // 4
"""Bytes of results in one frame: far below what the client accepts, because the size is an estimate."""

_encode = msgspec.msgpack.Encoder().encode


class SendQueue:
    """Frames to one client. ``size``: about how many bytes."""

    def __init__(self) -> None:
        self.size: int = 0
        self._frames: list[ToClient] = []
        self._gathering = 0  # bytes of results in the last frame
        self._accepted: dict[bytes, None] = {}  # in order; sent before all else

    def __bool__(self) -> bool:
        return bool(self._frames or self._accepted)

    def accepted(self, prefix: bytes) -> None:
        """Queue that a batch is stored; not sent if results of it are queued before the queue is taken."""
        self._accepted[prefix] = None
        self.size += FRAME_BYTES

    def add(self, frame: ToClient) -> None:
        """Queue a short frame."""
        self._frames.append(frame)
        self.size += FRAME_BYTES

    def add_results(self, group: bytes, results: list[Result], size: int) -> None:
        """Queue results of about ``size`` bytes; with others of the group, if those are last in the queue."""
        if self._accepted:
            for prefix in {result.prefix for result in results}:
                self._accepted.pop(prefix, None)
        last = self._frames[-1] if self._frames else None
        if isinstance(last, Results) and last.group == group and self._gathering + size <= MAX_RESULTS:
            last.results.extend(results)
            self._gathering += size
        else:
            self._frames.append(Results(group, list(results)))
            self._gathering = size
        self.size += size

    def add_began(self, tasks: list[tuple[bytes, int, float]]) -> None:
        """Queue that tasks have begun."""
        last = self._frames[-1] if self._frames else None
        if isinstance(last, Began):
            last.tasks.extend(tasks)
        else:
            self._frames.append(Began(list(tasks)))
        self.size += FRAME_BYTES + 32 * len(tasks)

    def add_output(self, task: tuple[bytes, int, Written], size: int) -> None:
        """Queue what a task has written."""
        last = self._frames[-1] if self._frames else None
        if isinstance(last, Output) and self._gathering + size <= MAX_RESULTS:
            last.tasks.append(task)
            self._gathering += size
        else:
            self._frames.append(Output([task]))
            self._gathering = size
        self.size += size

    def take(self) -> Iterator[bytes]:
        """Empty the queue: each frame, encoded when it is its turn."""
        frames: list[ToClient] = [*map(Accepted, self._accepted), *self._frames]
        self._frames, self._accepted, self.size = [], {}, 0
        return map(_encode, frames)
