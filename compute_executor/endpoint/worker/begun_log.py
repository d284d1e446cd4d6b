"""Begun logs: which tasks a worker has begun, known even after kill -9 of worker and service.

Each worker has a file, mapped into the memory of both sides: a counter (u64), then CAPACITY entries of 16 bytes,
``batch u64, position u32, attempt u32``. The worker writes the entry, then the counter, just before user code
runs. The page cache outlives every process, so this costs no system call and no commit. It does not outlive a loss
of power: then what has no stored outcome runs, again if it had begun.

Logs of a service that died are read by the next one (:func:`begun`) and removed when it has drawn its
conclusions (:func:`clear`). While a service lives its logs are never removed, only given to the next worker:
an outcome that is reported may not be stored yet.

Limit: a log remembers the last CAPACITY tasks of a worker. That is enough: of these only the last can be without a
result in its result ring, which keeps it until it is stored (result_ring.py).
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

from compute_executor import system
from compute_executor.endpoint.worker.messages import Key

CAPACITY = 1 << 16
SIZE = 8 + 16 * CAPACITY
SUFFIX = ".ring"
_COUNTER, _ENTRY = struct.Struct("=Q"), struct.Struct("=QQ")
_POSITION = (1 << 32) - 1


class BegunLog:
    """One begun log, open. One process marks, any process reads. Raises OSError if the file cannot be made."""

    def __init__(self, path: str) -> None:
        self.path = path
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(file).st_size != SIZE:
                system.allocate(file, SIZE)
            self._words = memoryview(mmap.mmap(file, SIZE)).cast("Q")
        finally:
            os.close(file)
        self._count = self._words[0]

    def mark(self, batch: int, position: int, attempt: int) -> None:
        """Note that this task begins now. The entry is complete before the counter says so."""
        words = self._words
        count = self._count
        slot = 1 + 2 * (count % CAPACITY)
        words[slot] = batch
        words[slot + 1] = attempt << 32 | position
        words[0] = self._count = count + 1

    def count(self) -> int:
        """Return how many tasks were ever marked here."""
        return self._words[0]

    def recent(self, most: int) -> Iterator[Key]:
        """Yield the tasks marked last, the newest first."""
        count = self._words[0]
        for index in range(count - 1, max(count - min(most, CAPACITY), 0) - 1, -1):
            slot = 1 + 2 * (index % CAPACITY)
            yield _key(self._words[slot], self._words[slot + 1])


def _key(batch: int, packed: int) -> Key:
    return batch, packed & _POSITION, packed >> 32


def begun(folder: str | os.PathLike[str]) -> set[Key]:
    """Return all tasks that the logs of ``folder`` still know, as (batch, position, attempt). Ignores damaged
    files."""
    found: set[Key] = set()
    for path in _paths(folder):
        with open(path, "rb") as file:
            found.update(_read(file.read()))
    return found


def _paths(folder: str | os.PathLike[str]) -> list[str]:
    return [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(SUFFIX)]


def _read(data: bytes) -> Iterator[Key]:
    if len(data) != SIZE:  # killed between making the file and giving it its size: nothing was marked
        return
    words = _ENTRY.iter_unpack(data[8:])
    count = min(_COUNTER.unpack_from(data)[0], CAPACITY)
    for _, (batch, packed) in zip(range(count), words, strict=False):
        yield _key(batch, packed)


def clear(folder: str | os.PathLike[str]) -> None:
    """Remove the logs of a service that is gone, once what they say is stored elsewhere."""
    for path in _paths(folder):
        os.unlink(path)
