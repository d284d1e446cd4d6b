"""The files of result rings: one for each worker, in the folder of the begun logs.

The page cache outlives every process, so what a worker has finished is not lost with the service; see
`endpoint.worker.result_ring` for what lies in it and leftovers.py for who reads it then. A file has its full size on
the disk from the start: a disk that is full is an error when a worker starts, not the end of one that runs (SIGBUS).

Every ring file is locked (flock), and the lock belongs to the open file that engine and worker share: it is free when
both are dead, and no sooner. All state belongs to the loop's thread.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque

from compute_executor import system
from compute_executor.endpoint.worker import result_ring

SUFFIX = ".outbox"


class ResultRingFile:
    """A result ring that the engine reads. Raises OSError if the file cannot be made, as on a full disk."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.file: int = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            system.allocate(self.file, result_ring.SIZE)
            self.inbox: result_ring.ResultRingReader = result_ring.ResultRingReader(self.file)
        except BaseException:
            os.close(self.file)
            os.unlink(path)
            raise
        self._unstored: deque[tuple[int, int]] = deque()  # outcomes reported so far, how far read by then

    def reported(self, count: int) -> None:
        """Note that all that was read is among the first ``count`` outcomes of which the engine ever told the
        service."""
        self._unstored.append((count, self.inbox.position))

    def stored(self, count: int) -> None:
        """So many of these outcomes are stored."""
        unstored, position = self._unstored, None
        while unstored and unstored[0][0] <= count:
            position = unstored.popleft()[1]
        if position is not None:
            self.inbox.release(position)

    def settled(self) -> bool:
        """Return whether everything is stored that was ever read."""
        return not self._unstored

    def has_room(self) -> bool:
        """Return whether half of it is free, so that a worker can go on that had to wait. No record is longer."""
        return self.inbox.room() >= result_ring.CAPACITY // 2

    def remove(self) -> None:
        """Note that nobody needs it any more."""
        self.inbox.close()
        os.close(self.file)
        os.unlink(self._path)


class ResultRingFiles:
    """The ring files of an engine."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._free: list[ResultRingFile] = []

    def take(self) -> ResultRingFile:
        """Return one that no living worker uses. Raises OSError."""
        if self._free:
            return self._free.pop()
        return ResultRingFile(os.path.join(self.folder, os.urandom(8).hex() + SUFFIX))

    def give_back(self, ring_file: ResultRingFile) -> None:
        """Note that its worker is dead. What it still holds stays until it is stored, or until the next service reads
        it."""
        if ring_file.settled():
            ring_file.remove()
        else:
            self._free.append(ring_file)
