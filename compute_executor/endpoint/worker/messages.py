"""What an engine and a worker process say to each other, as bytes. Standard library only: both sides import it.

Each worker has three channels:

* the *task channel* (SOCK_SEQPACKET): a datagram is one or more task records. A datagram is received whole or
  not at all, so what the worker has not received can be taken back by the engine, exactly;
* the *stream* (SOCK_STREAM, both ways): frames of ``kind u8, length u32, payload``;
* the *result ring* (shared memory, see result_ring.py): results; the stream only says how far it is filled.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Key = tuple[int, int, int]
"""A task at one attempt: batch number, position in the batch, attempt."""

TASK = struct.Struct("<QIIIBI")
"""A task record: batch, position, attempt, function number, flags, length of the body that follows."""

KEY = struct.Struct("<QII")
WRITTEN = struct.Struct("<QIIQQQ")
"""A key and the positions of stdout, stderr and log records at which its task ended. OUTPUT is a sequence of them."""
BEGUN = struct.Struct("<QIId")
"""A key and the unix time at which the task began."""
FRAME = struct.Struct("<BI")
NUMBER = struct.Struct("<I")
TAIL = struct.Struct("<Q")

LONGEST = 1 << 30
"""Bytes of a frame's payload, and more: an initializer with its arguments is the largest."""

PICKLING_LIBRARIES = frozenset({"cloudpickle", "dill"})
"""Packages that workers need, and find where the engine has them if their own path has none."""

EXIT = b"\0"
"""The datagram that ends a worker."""

BLOB, TELL, RANKS = 1, 2, 4
"""Flags of a task. BLOB: the body is the name of a file in the blob folder. TELL: say when it begins.
RANKS: before the body stands how many MPI ranks it may start (NUMBER)."""

# Kinds of frames, worker to engine.
READY, RESULTS, FUNCTION, RETURNED, BEGAN, ROOM, OUTPUT, FAILED = range(1, 9)
# Kinds of frames, engine to worker; ROOM is answered with ROOM.
SETUP, CODE = range(16, 18)

VALUE, EXCEPTION = 0, 1
"""How a task ended, as in protocol.frames, which a worker cannot import: it needs msgspec."""

TaskRecord = tuple[int, int, int, int, int, bytes]
"""Batch, position, attempt, function number, flags, body."""


def frame(kind: int, payload: bytes = b"") -> bytes:
    """Return one frame of the stream."""
    return FRAME.pack(kind, len(payload)) + payload


class FrameReader:
    """Cuts a byte stream into frames.

    >>> reader = FrameReader()
    >>> list(reader.feed(frame(READY) + frame(OUTPUT, b"hello")[:7]))
    [(1, b'')]
    >>> list(reader.feed(b"llo"))
    [(7, b'hello')]
    """

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield each frame that ``data`` completes, as (kind, payload)."""
        data = self._pending + data
        start = 0
        while len(data) - start >= FRAME.size:
            kind, length = FRAME.unpack_from(data, start)
            if length > LONGEST:
                raise ValueError(f"a frame of {length} bytes")
            end = start + FRAME.size + length
            if end > len(data):
                break
            self._pending = data[end:]  # kept current: the caller may stop in the middle
            yield kind, data[start + FRAME.size : end]
            start = end
        self._pending = data[start:]


def pack_task(task: TaskRecord) -> bytes:
    """Return one task record; a datagram is any number of them joined."""
    return TASK.pack(*task[:5], len(task[5])) + task[5]


def unpack_tasks(datagram: bytes) -> list[TaskRecord]:
    """Return the task records of a datagram."""
    tasks = []
    start, size = 0, TASK.size
    while start < len(datagram):
        batch, position, attempt, function, flags, length = TASK.unpack_from(datagram, start)
        end = start + size + length
        tasks.append((batch, position, attempt, function, flags, datagram[start + size : end]))
        start = end
    return tasks


def pack_keys(keys: list[Key]) -> bytes:
    """Return the payload of RETURNED."""
    return b"".join(KEY.pack(*key) for key in keys)


def unpack_keys(payload: bytes) -> list[Key]:
    """Return the keys in a payload of RETURNED."""
    return list(KEY.iter_unpack(payload))


def pack_parts(parts: list[bytes]) -> bytes:
    """Byte strings one after another, each behind its length: the payload of SETUP.

    >>> unpack_parts(pack_parts([b"a", b"", b"bc"]))
    [b'a', b'', b'bc']
    """
    return b"".join(NUMBER.pack(len(part)) + part for part in parts)


def unpack_parts(payload: bytes) -> list[bytes]:
    """Return the byte strings of :func:`pack_parts`."""
    parts = []
    start = 0
    while start < len(payload):
        (length,) = NUMBER.unpack_from(payload, start)
        start += NUMBER.size + length
        parts.append(payload[start - length : start])
    return parts
