"""Results on their way from a worker to the engine: a ring of records in shared memory, one writer, one reader.

Why not through the socket: a worker gathers the results of short tasks for a fraction of a millisecond, and what
it has gathered must outlive it when the next task kills it. After its death the engine reads what was finished.

Layout: tail u64 (bytes ever written), head u64 (bytes ever read), then CAPACITY bytes of records. A record never
wraps; the rest of a lap that is too short for the next one is skipped. While the worker lives the engine reads
only as far as a RESULTS frame told it, so that the system call orders the memory accesses of both.
"""

from __future__ import annotations

import mmap
import struct

RECORD = struct.Struct("<QIIBBHIdd")
"""Batch, position, attempt, status, flags, unused, length of the body that follows, began, ended."""

CAPACITY = 1 << 20
_BASE = 64
SIZE = _BASE + CAPACITY
_TAIL, _HEAD = 0, 1
_SKIP = 255  # the status of a record that fills the rest of a lap


Outcome = tuple[int, int, int, int, int, float, float, bytes]
"""A finished task: batch, position, attempt, status, whether the body is ``<name> <size>`` of a file in the blob
folder, unix times of begin and end, body."""


class Outbox:
    """The worker's side. ``file`` is a descriptor of SIZE bytes of shared memory."""

    def __init__(self, file: int) -> None:
        self._bytes = memoryview(mmap.mmap(file, SIZE))
        self._words = self._bytes[:_BASE].cast("Q")
        self.tail: int = self._words[_TAIL]
        """Bytes ever written. Another thread of the worker may read it, never write."""

    def put(self, outcome: Outcome) -> bool:
        """Append a result; False if the engine must read first. The record is complete before the tail says so."""
        batch, position, attempt, status, blob, began, ended, body = outcome
        size = RECORD.size + len(body)
        tail = self.tail
        offset = tail % CAPACITY
        skip = CAPACITY - offset if CAPACITY - offset < size else 0
        if tail + skip + size - self._words[_HEAD] > CAPACITY:
            return False
        if skip:
            self._skip(offset, skip)
            tail += skip
            offset = 0
        start = _BASE + offset
        RECORD.pack_into(
            self._bytes, start, batch, position, attempt, status, blob, 0, len(body), began, ended
        )
        self._bytes[start + RECORD.size : start + size] = body
        self._words[_TAIL] = self.tail = tail + size
        return True

    def _skip(self, offset: int, room: int) -> None:
        if room >= RECORD.size:
            RECORD.pack_into(self._bytes, _BASE + offset, 0, 0, 0, _SKIP, 0, 0, 0, 0.0, 0.0)


class Inbox:
    """The engine's side of the same memory."""

    def __init__(self, file: int) -> None:
        self._bytes = memoryview(mmap.mmap(file, SIZE))
        self._words = self._bytes[:_BASE].cast("Q")
        self._head = 0

    def written(self) -> int:
        """How far the worker has filled it; to be believed only when the worker is dead."""
        return self._words[_TAIL]

    def read(self, tail: int) -> list[Outcome]:
        """The results up to ``tail`` that were not read yet."""
        outcomes: list[Outcome] = []
        head, view, size = self._head, self._bytes, RECORD.size
        while head < tail:
            offset = head % CAPACITY
            if CAPACITY - offset < size:
                head += CAPACITY - offset
                continue
            start = _BASE + offset
            batch, position, attempt, status, blob, _, length, began, ended = RECORD.unpack_from(view, start)
            if status == _SKIP:
                head += CAPACITY - offset
                continue
            body = bytes(view[start + size : start + size + length])
            outcomes.append((batch, position, attempt, status, blob, began, ended, body))
            head += size + length
        self._head = self._words[_HEAD] = head
        return outcomes
