"""What tasks write, from inside a worker: stdout, stderr and log records, each a file that the engine reads.

Files and not pipes: a write never waits for a reader, and after each task it is known exactly what that task wrote.
After each task the buffers of sys.stdout and sys.stderr are flushed, and if a file has grown the engine is told its
size, together with the results. What a task leaves running behind it may be counted to a later task. The engine looks
at the files by itself while a task runs for long.
"""

from __future__ import annotations

import os
import sys
from collections import deque

from compute_executor import system
from compute_executor.endpoint.worker import messages
from compute_executor.endpoint.worker.messages import Key

_END = os.SEEK_END


class TaskOutput:
    """Watcher of the three files. Made before any task runs, when 1 and 2 are surely ours. ``records``: the file of
    log records."""

    def __init__(self, records: int) -> None:
        self._files = (system.out_of_the_way(1), system.out_of_the_way(2), records)
        self._identities = [os.fstat(file)[1:3] for file in self._files]  # inode and device
        self._ends = (0, 0, 0)
        self._notes: deque[bytes] = deque()  # the main thread appends; the chunk watcher takes from it, too
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # files, so TextIOWrappers

    def task_ended(self, key: Key) -> None:
        """Note what this task has written, if it has written anything."""
        flush()
        one, two, three = self._files
        ends = os.lseek(one, 0, _END), os.lseek(two, 0, _END), os.lseek(three, 0, _END)
        if ends != self._ends:
            self._ends = ends
            self._notes.append(messages.WRITTEN.pack(*key, *ends))

    def notes(self) -> bytes:
        """Return the payload of OUTPUT: all that was noted since the last call."""
        taken = []
        while self._notes:
            try:
                taken.append(self._notes.popleft())
            except IndexError:  # the other thread was faster
                break
        return b"".join(taken)

    def restore(self) -> None:
        """Make 1 and 2 ours again if a task has closed or replaced them, lest prints go into another file; and 0
        something, lest the next file that is opened becomes stdin."""
        try:
            os.fstat(0)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # the lowest free number is 0
        for number in (1, 2):
            try:
                if os.fstat(number)[1:3] == self._identities[number - 1]:
                    continue
            except OSError:  # closed
                pass
            os.dup2(self._files[number - 1], number)


def flush() -> None:
    """Flush Python's own buffers, whatever a task has made of them."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:  # closed, None, or an object of the user's
        for number, name in ((1, "stdout"), (2, "stderr")):
            stream = getattr(sys, name)
            if stream is None or getattr(stream, "closed", True):
                setattr(sys, name, open(number, "w", buffering=1, closefd=False))  # noqa: SIM115 - the new stream
