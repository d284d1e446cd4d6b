"""Hands descriptors to a process that cannot inherit them, because a container's runtime is in between.

The engine listens at a socket in a folder of its own, which the container sees at the same place; whoever connects
first is the worker and gets the descriptors (SCM_RIGHTS). A descriptor is the same thing on both sides: task channel,
stream, life line, shared memory and output work in a container as they do outside. Docker's daemon cannot pass any
(podman could, ``--preserve-fds``), so this one way serves all runtimes. The kernel must be the same one: a daemon on
another machine is none that we can use.

All runs on the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Sequence

NAME = "door"


class FdServer:
    """``folder`` holds the socket. The descriptors are copied, so the caller may close its own."""

    def __init__(self, files: Sequence[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._open = contextlib.ExitStack()
        self.folder: str = tempfile.mkdtemp(
            prefix="compute-executor-"
        )  # short: a socket's path has 107 bytes at most
        self._open.callback(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self._files = [os.dup(file) for file in files]
            for file in self._files:
                self._open.callback(os.close, file)
            self._listener = self._open.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            self._listener.setblocking(False)
            self._listener.bind(os.path.join(self.folder, NAME))
            self._listener.listen(1)
            self._loop.add_reader(self._listener, self._admit)
            self._open.callback(self._loop.remove_reader, self._listener)
        except BaseException:
            self._open.close()
            raise

    def _admit(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        with connection, contextlib.suppress(OSError):  # it is gone already: its death is about to be noticed
            socket.send_fds(connection, [b"\0"], self._files)
        self.close()

    def close(self) -> None:
        """Admit nobody any more. Again: nothing happens."""
        self._open.close()
