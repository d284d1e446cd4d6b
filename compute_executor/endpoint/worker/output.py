"""What tasks write to stdout and stderr, from inside a worker: descriptors 1 and 2 are one file of this worker.

After each task the buffers of sys.stdout and sys.stderr are flushed; if the file has grown, its content belongs
to that task and the file is emptied. What a task leaves running behind it may so be counted to a later task.

Limit: while a task runs, what it writes takes room on the disk of the state folder; a pipe would have to be read
by somebody all the time, and a task that writes faster than that would be held up by its own output.
"""

from __future__ import annotations

import os
import sys

from compute_executor import system

LIMIT = 64 * 1024
"""Bytes of output reported per task: the last ones."""


class TaskOutput:
    """Watches the output file. Made before any task runs, when 1 and 2 are surely ours."""

    def __init__(self) -> None:
        self._file = system.out_of_the_way(1)
        self._identity = os.fstat(self._file)[1:3]  # inode and device

    def taken(self) -> bytes:
        """What was written since the last call; empty if nothing was."""
        flush()
        size = os.lseek(self._file, 0, os.SEEK_END)
        if not size:
            return b""
        text = tail(self._file, size)
        os.ftruncate(self._file, 0)
        return text

    def restore(self) -> None:
        """Make 1 and 2 ours again if a task has closed or replaced them, lest prints go into somebody's file;
        and 0 something, lest the next file that is opened becomes stdin."""
        try:
            os.fstat(0)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # the lowest free number is 0
        for number in (1, 2):
            try:
                if os.fstat(number)[1:3] == self._identity:
                    continue
            except OSError:  # closed
                pass
            os.dup2(self._file, number)


def flush() -> None:
    """Flush Python's own buffers, whatever a task has made of them."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:  # closed, None, or an object of the user's
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None or getattr(stream, "closed", True):
                setattr(sys, name, open(1, "w", closefd=False))  # noqa: SIM115 - it is the new sys.stdout


def tail(file: int, size: int) -> bytes:
    """The last LIMIT bytes of an open file of ``size`` bytes, after a line that says what is missing."""
    if size <= LIMIT:
        return os.pread(file, size, 0)
    return b"[%d bytes dropped]\n" % (size - LIMIT) + os.pread(file, LIMIT, size - LIMIT)
