"""A wire that can be cut: a TCP proxy between a client and its service, in this process.

It forwards both ways. `hold_answers()` goes on delivering what the client sends and keeps back what the service
says, which is how an answer gets lost after its request was obeyed; `cut()` ends every connection at once.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
import time
from collections.abc import Callable

_CHUNK = 64 * 1024


class Proxy:
    """Listens on a port of its own. ``target``: ``(host, port)`` asked anew for each connection; ``hidden``: what
    clients are not to read, such as a path. ``answered``: bytes that they were sent;
    ``slow``: seconds before each 64 KiB of them."""

    def __init__(self, target: Callable[[], tuple[str, int]], hidden: bytes = b"") -> None:
        self._target = target
        self._hidden = hidden
        self.answered = 0
        self.slow = 0.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()  # guards _open
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._answers = threading.Event()
        self._answers.set()
        self._start(self._accept)

    def hold_answers(self) -> None:
        """From now on clients hear nothing."""
        self._answers.clear()

    def cut(self) -> None:
        """End every connection; new ones are answered again."""
        self._answers.set()
        with self._lock:
            ended, self._open = self._open, []
        for connection in ended:
            _end(connection)
            connection.close()

    def close(self) -> None:
        """End it all; its threads are gone when this returns."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed
                return
            host, port = self._target()
            try:
                far = socket.create_connection((host, port))
            except OSError:  # nobody there: the client sees its connection end
                near.close()
                continue
            with self._lock:
                self._open += [near, far]
            named = f"127.0.0.1:{self.port}".encode(), f"{host}:{port}".encode()
            self._start(functools.partial(self._ask, near, far, *named))
            self._start(functools.partial(self._answer, far, near))

    def _ask(self, near: socket.socket, far: socket.socket, named: bytes, meant: bytes) -> None:
        """What the client says. The service answers to its own name only, so the Host header is set right."""
        with contextlib.suppress(OSError):
            while data := near.recv(_CHUNK):
                far.sendall(data.replace(named, meant))
        _end(far)

    def _answer(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(_CHUNK):
                self._answers.wait()
                self.answered += len(data)
                time.sleep(self.slow)
                near.sendall(data.replace(self._hidden, b"x" * len(self._hidden)) if self._hidden else data)
        _end(near)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
