"""Results on their way from a worker to the engine: a ring of records in shared memory, one writer, one reader.

Why not through the socket: a worker gathers the results of short tasks for a fraction of a millisecond, and what
it has gathered must outlive it when the next task kills it. After its death the engine reads what was finished.
The memory is that of a file (`endpoint.pool.result_files`), so it outlives the engine as well: a record
keeps its place until its outcome is stored, and the next service reads what this one had no time to store
(:func:`intact`).

Layout: words of 64 bits - FORMAT; tail, bytes ever written; kept, the position below which every outcome is stored;
process id of the worker and when it started - then CAPACITY bytes of records. A record never wraps; the rest of a
lap that is too short for the next one is skipped. The tail is written last: what it covers is complete, however the
worker ends. While the worker lives the engine reads only as far as a RESULTS frame told it, so that the system call
orders the memory accesses of both.

Each record has a checksum, which starts from its position. After the death of processes it always holds. After a
loss of power some pages of the file are those of an earlier lap: there the record is not taken for a result.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from zlib import crc32

from compute_executor.endpoint.worker import messages

RECORD = struct.Struct("<QIIBBHIdd")
"""Batch, position, attempt, status, flags, unused, length of the body that follows, began, ended."""
_SUM = struct.Struct("<I")
HEAD = RECORD.size + _SUM.size
"""Bytes of a record besides its body: RECORD, then the checksum over it and the body."""

CAPACITY = 1 << 23
"""Bytes of results that a worker may have put down before the first of them is stored: over 100,000 of short tasks,
some 130 of the largest kind. A flood of results of 10 KB is as fast as if nothing had to be kept; with 1 MiB it took
half as long again, because workers waited for commits."""
_BASE = 64
SIZE = _BASE + CAPACITY
FORMAT = 0x1_78_6F_62_74_75_6F  # "outbox", version 1
_FORMAT, _TAIL, _KEPT, _PID, _STARTED = range(5)
_SKIP = 255  # the status of a record that fills the rest of a lap
_LOW = (1 << 32) - 1


Outcome = tuple[int, int, int, int, int, float, float, bytes]
"""A finished task: batch, position, attempt, status, whether the body is ``<name> <size>`` of a file in the blob
folder, unix times of begin and end, body."""


class ResultRing:
    """The worker's side. ``file`` is a descriptor of SIZE bytes of shared memory."""

    def __init__(self, file: int) -> None:
        self._bytes = memoryview(mmap.mmap(file, SIZE))
        self._words = self._bytes[:_BASE].cast("Q")
        self.tail: int = self._words[_TAIL]
        """Bytes ever written. Another thread of the worker may read it, never write."""

    def put(self, outcome: Outcome) -> bool:
        """Append a result; False if there is no room before others are stored. The record is complete before the
        tail says so."""
        batch, position, attempt, status, blob, began, ended, body = outcome
        size = HEAD + len(body)
        tail = self.tail
        offset = tail % CAPACITY
        skip = CAPACITY - offset if CAPACITY - offset < size else 0
        if tail + skip + size - self._words[_KEPT] > CAPACITY:
            return False
        if skip:
            self._skip(offset, skip)
            tail += skip
            offset = 0
        start = _BASE + offset
        record = RECORD.pack(batch, position, attempt, status, blob, 0, len(body), began, ended)
        total = crc32(body, crc32(record, tail & _LOW))
        self._bytes[start : start + HEAD] = record + _SUM.pack(total)
        self._bytes[start + HEAD : start + size] = body
        self._words[_TAIL] = self.tail = tail + size
        return True

    def _skip(self, offset: int, room: int) -> None:
        if room >= HEAD:
            RECORD.pack_into(self._bytes, _BASE + offset, 0, 0, 0, _SKIP, 0, 0, 0, 0.0, 0.0)


class ResultRingReader:
    """The engine's side of the same memory, which is all zero when it is new."""

    def __init__(self, file: int) -> None:
        self._memory = mmap.mmap(file, SIZE)
        self._bytes = memoryview(self._memory)
        self._words = self._bytes[:_BASE].cast("Q")
        self._words[_FORMAT] = FORMAT
        self.position: int = self._words[_TAIL]
        """Bytes ever read."""
        self._released: int = self._words[_KEPT]  # our own copy: the memory is a worker's, too

    def written(self) -> int:
        """Return how far the worker has filled it; to be believed only when the worker is dead."""
        return self._words[_TAIL]

    def read(self, tail: int) -> list[Outcome]:
        """Return the results up to ``tail`` that were not read yet. Their places are kept until `release`.

        Raises ValueError if a task has written over the memory: no more is read from here then.
        """
        outcomes: list[Outcome] = []
        head, view = self.position, self._bytes
        if not head <= tail <= self._released + CAPACITY:
            raise ValueError(f"a result ring cannot be filled up to {tail}, of which {head} are read")
        while head < tail:
            offset = head % CAPACITY
            if CAPACITY - offset < HEAD:
                head += CAPACITY - offset
                continue
            start = _BASE + offset
            batch, position, attempt, status, blob, _, length, began, ended = RECORD.unpack_from(view, start)
            if status == _SKIP:
                head += CAPACITY - offset
                continue
            if status not in (messages.VALUE, messages.EXCEPTION) or head + HEAD + length > tail:
                raise ValueError(f"no result at {head} of a result ring")
            body = bytes(view[start + HEAD : start + HEAD + length])
            outcomes.append((batch, position, attempt, status, blob, began, ended, body))
            head += HEAD + length
        self.position = head
        return outcomes

    def release(self, position: int) -> None:
        """Note that the outcomes of all records before it are stored: their room can be used again."""
        self._words[_KEPT] = self._released = position

    def room(self) -> int:
        """Return the bytes that can be written before more is released, if everything written was read."""
        return CAPACITY - (self.position - self._released)

    def used_by(self, pid: int, started: int) -> None:
        """Name the worker that writes here from now on."""
        self._words[_PID], self._words[_STARTED] = pid, started

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
        self._bytes.release()
        self._memory.close()


_WORDS = struct.Struct("=5Q")
_STATUS = struct.calcsize("<QII")  # where in a record its status is


def user(data: bytes) -> tuple[int, int]:
    """Process id of the worker that wrote these bytes, and when it started; (0, 0) if they do not tell."""
    if len(data) < _WORDS.size:
        return 0, 0
    words = _WORDS.unpack_from(data)
    return (words[_PID], words[_STARTED]) if words[_FORMAT] == FORMAT else (0, 0)


def intact(data: bytes) -> Iterator[Outcome]:
    """Yield the results in the bytes of a result ring whose service and worker are dead, from the first that may not
    be stored to the last that is whole. Of damaged bytes, or bytes that are none: what comes before the damage."""
    if len(data) != SIZE:
        return
    form, tail, kept, *_ = _WORDS.unpack_from(data)
    if form != FORMAT or not kept <= tail <= kept + CAPACITY:
        return
    at = kept
    while at < tail:
        offset = at % CAPACITY
        left = CAPACITY - offset
        if left < HEAD or data[_BASE + offset + _STATUS] == _SKIP:
            at += left
            continue
        found = _record(data, at, min(left, tail - at))
        if found is None:
            return
        yield found
        at += HEAD + len(found[-1])


def _record(data: bytes, at: int, most: int) -> Outcome | None:
    """Return the record at this position, of ``most`` bytes with its body, if it is whole."""
    start = _BASE + at % CAPACITY
    if most < HEAD:
        return None
    batch, position, attempt, status, blob, _, length, began, ended = RECORD.unpack_from(data, start)
    (told,) = _SUM.unpack_from(data, start + RECORD.size)
    body = data[start + HEAD : start + HEAD + length]
    if HEAD + length > most or status not in (messages.VALUE, messages.EXCEPTION):
        return None
    if crc32(body, crc32(data[start : start + RECORD.size], at & _LOW)) != told:
        return None
    return batch, position, attempt, status, blob, began, ended, body
