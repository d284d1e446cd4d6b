"""A wire with faults: a TCP proxy between clients and a service that understands where WebSocket frames begin.

It forwards both ways. On demand it cuts all connections, in the middle of a frame if asked; swallows what comes (a
half-open connection, or only the answers); is slow; sends frames twice, in another order, or nonsense in between.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

CHUNK = 64 * 1024
HOLD = 0.02
"""Seconds that a frame is held back for the next one, which then goes first."""


class Wire:
    """A proxy on a port of its own. ``target``: host and port, asked for each connection; None: nobody is there."""

    def __init__(self, target: Callable[[], tuple[str, int] | None]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()  # guards _open and _threads
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self.flow = threading.Event()  # bytes pass
        self.answers = threading.Event()  # what the service says passes
        self.flow.set()
        self.answers.set()
        self.delay = 0.0  # seconds before each piece, which then is a small one
        self.twice = 0.0  # share of frames that are sent twice
        self.swapped = 0.0  # share of answers that are overtaken by the next one
        self.nonsense = 0.0  # share of frames after which one comes that nobody can read
        self.partial = False  # the next cut comes in the middle of a frame
        self._closed = False
        self._start(self._accept)

    def cut(self) -> int:
        """End every connection; how many there were. New ones are answered again."""
        self.flow.set()
        self.answers.set()
        with self._lock:
            ended, self._open = self._open, set()
        for connection in ended:
            _end(connection)
        return len(ended)

    def has_connections(self) -> bool:
        """Whether any is open."""
        with self._lock:
            return bool(self._open)

    def mend(self) -> None:
        """Be a good wire again."""
        self.delay = self.twice = self.swapped = self.nonsense = 0.0
        self.partial = False
        self.flow.set()
        self.answers.set()

    def close(self) -> None:
        """End it all; its threads are gone when this returns."""
        self._closed = True
        _end(self._listener)
        self._listener.close()
        self.mend()
        while True:
            self.cut()
            with self._lock:
                threads = list(self._threads)
            if not threads:
                return
            threads[0].join(0.1)

    def _start(self, run: Callable[[], None]) -> None:
        def whole() -> None:
            try:
                run()
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=whole, daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed
                return
            target = self._target()
            try:
                if target is None:
                    raise ConnectionRefusedError
                far = socket.create_connection(target, timeout=5)
            except OSError:  # nobody there: the client sees its connection end
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            Connection(self, near, far, target[1]).run(self._start)

    def forget(self, *connections: socket.socket) -> None:
        """These have ended."""
        with self._lock:
            self._open -= set(connections)


class Connection:
    """One connection through the wire, with a thread for each direction."""

    def __init__(self, wire: Wire, near: socket.socket, far: socket.socket, port: int) -> None:
        self._wire = wire
        self._near = near
        self._far = far
        self._names = f"127.0.0.1:{wire.port}".encode(), f"127.0.0.1:{port}".encode()
        self._holding = False  # an answer, to be overtaken by the next
        self._left = 2
        self._random = random.Random(near.getpeername()[1])

    def run(self, start: Callable[[Callable[[], None]], None]) -> None:
        """Forward until either end closes."""
        start(lambda: self._direction(self._near, self._far, True))
        start(lambda: self._direction(self._far, self._near, False))

    def _direction(self, source: socket.socket, sink: socket.socket, asking: bool) -> None:
        with contextlib.suppress(OSError):
            for piece in self._pieces(source, asking):
                self._wire.flow.wait()
                if not asking:
                    self._wire.answers.wait()
                self._send(sink, piece)
        _end(sink)
        self._left -= 1
        if self._left == 0:
            self._near.close()
            self._far.close()
            self._wire.forget(self._near, self._far)

    def _send(self, sink: socket.socket, piece: bytes) -> None:
        if self._wire.partial and len(piece) > 2:
            sink.sendall(piece[: len(piece) // 2])
            self._wire.cut()
            raise ConnectionResetError
        delay = self._wire.delay
        if not delay:
            sink.sendall(piece)
            return
        for at in range(0, len(piece), 500):
            time.sleep(min(delay, 0.5) if at < 5000 else 0)
            sink.sendall(piece[at : at + 500])

    def _pieces(self, source: socket.socket, asking: bool) -> Iterator[bytes]:
        """What comes, as it is to go on: bytes until the upgrade, then frame by frame."""
        head = b""
        while b"\r\n\r\n" not in head:
            data = source.recv(CHUNK)
            if not data:
                if head:
                    yield head
                return
            head += data
        first, blank, rest = head.partition(b"\r\n\r\n")
        upgrade = b"101 " in first[:20] if not asking else b"upgrade: websocket" in first.lower()
        yield (first.replace(*self._names) if asking else first) + blank + (b"" if upgrade else rest)
        if upgrade:
            yield from self._faulty(self._frames(source, rest), asking)
            return
        while data := source.recv(CHUNK):
            yield data.replace(*self._names) if asking else data

    def _frames(self, source: socket.socket, data: bytes) -> Iterator[bytes]:
        """WebSocket frames (RFC 6455 section 5.2), whole. An empty one: nothing has come for a while."""
        poller = select.poll()
        poller.register(source, select.POLLIN)
        while True:
            while (size := _frame_size(data)) and len(data) >= size:
                yield data[:size]
                data = data[size:]
            if self._holding and not poller.poll(HOLD * 1000):
                yield b""
                continue
            more = source.recv(CHUNK)
            if not more:
                return
            data += more

    def _faulty(self, frames: Iterator[bytes], asking: bool) -> Iterator[bytes]:
        held = b""
        for frame in frames:
            wire, chance = self._wire, self._random.random()
            if not frame or frame[0] & 0x0F != 2:  # nothing came, or none of ours: a ping
                ready = [held, frame]
                held = b""
            elif held:
                ready, held = [frame, held], b""
            elif not asking and chance < wire.swapped:
                ready, held = [], frame
            elif chance < wire.twice:
                ready = [frame, frame]
            elif chance < wire.nonsense:
                ready = [frame, _nonsense(asking, self._random)]
            else:
                ready = [frame]
            if not asking:
                self._holding = bool(held)
            yield from filter(None, ready)


def _frame_size(data: bytes) -> int:
    """Bytes of the frame that begins here, header included; 0 if that cannot be told yet."""
    if len(data) < 2:
        return 0
    length, extended = data[1] & 0x7F, {126: 2, 127: 8}.get(data[1] & 0x7F, 0)
    if len(data) < 2 + extended:
        return 0
    size = int.from_bytes(data[2 : 2 + extended], "big") if extended else length
    return 2 + extended + (4 if data[1] & 0x80 else 0) + size


def _nonsense(asking: bool, chance: random.Random) -> bytes:
    """A whole frame of bytes that are no message: 0xC1 is never used in msgpack."""
    body = b"\xc1" + chance.randbytes(chance.randrange(100))
    return bytes([0x82, len(body) | 0x80 if asking else len(body)]) + (bytes(4) if asking else b"") + body


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
