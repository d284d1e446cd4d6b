"""What is to be sent on one connection: frames in order, and parts of files when no frame waits.

Owner: the loop's thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from compute_executor.endpoint.leases.frames import PART, BodyPart, encode

Write = Callable[[bytes], Awaitable[object]]

FRAME_BYTES = 128
"""What a frame takes in memory besides its bytes; and what a body takes that waits to be sent."""
ROOM = 8 * 1024 * 1024
"""Bytes that may wait before more is put that nobody asked for."""


class FileSource:
    """A body that is being sent. Reads a part at a time, so that nothing large is in memory."""

    def __init__(self, name: str, path: Path, offset: int) -> None:
        self._name = name
        self._path = path
        self._offset = offset

    def next_part(self) -> tuple[bytes, bool]:
        """Return the next frame, and whether more follow."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(PART)
        except OSError as error:
            return encode(BodyPart(self._name, self._offset, b"", str(error.strerror))), False
        frame = encode(BodyPart(self._name, self._offset, data))
        self._offset += len(data)
        return frame, len(data) == PART


class SendList:
    """Frames that wait to be written. Nothing is dropped: whoever fills it looks at ``size``, about how many bytes
    wait. ``drained``: called when there is `ROOM` again."""

    def __init__(self) -> None:
        self.size: int = 0
        self.drained: Callable[[], object] = _nothing
        self._frames: deque[bytes] = deque()
        self._files: deque[FileSource] = deque()
        self._work = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def put(self, frame: Any) -> None:
        """Send this frame."""
        data = encode(frame)
        self._frames.append(data)
        self.size += len(data) + FRAME_BYTES
        self._empty.clear()
        self._work.set()

    def put_file(self, source: FileSource) -> None:
        """Send this body when there is nothing else to send."""
        self._files.append(source)
        self.size += FRAME_BYTES
        self._empty.clear()
        self._work.set()

    async def write_to(self, write: Write) -> None:
        """Write what there is, and what comes, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._frames or self._files:
                await write(self._next_frame() if self._frames else self._next_part())
            self._empty.set()

    async def written(self) -> None:
        """Return when everything put so far was written."""
        await self._empty.wait()

    def _next_frame(self) -> bytes:
        frame = self._frames.popleft()
        self._shrink(len(frame) + FRAME_BYTES)
        return frame

    def _next_part(self) -> bytes:
        source = self._files.popleft()
        frame, more = source.next_part()
        if more:
            self._files.append(source)  # each body in turn
        else:
            self._shrink(FRAME_BYTES)
        return frame

    def _shrink(self, count: int) -> None:
        before, self.size = self.size, self.size - count
        if before > ROOM >= self.size:
            self.drained()


def _nothing() -> None:
    """Do nothing: nobody waits for room."""
