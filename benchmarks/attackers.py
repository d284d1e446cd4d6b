"""The attacks of `benchmarks.attacks`: what strangers (who have no token) and users send to stop others.

    python -m benchmarks.attackers NAME URL TOKEN SECONDS PREPARED

does one of them, and prints in its last line how it went.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import struct
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

MB = 1_000_000
PIECE = 1 << 16


@dataclass(frozen=True)
class Attack:
    """One attack. ``prepare``: is called first, with URL and token; what it returns is passed on to ``run``."""

    name: str
    run: Callable[[Target], str]
    prepare: Callable[[str, str], str] | None = None
    tls: bool = False


@dataclass(frozen=True)
class Target:
    """The service that is attacked, and for how many seconds at least."""

    url: str
    token: str
    seconds: float
    prepared: str = ""

    def connect(self) -> socket.socket:
        """A new connection, plain."""
        where = urlsplit(self.url)
        return socket.create_connection((where.hostname, where.port), timeout=30)

    def head(self, line: str, *more: str, token: bool = True) -> bytes:
        """The head of a request."""
        lines = [f"{line} HTTP/1.1", f"Host: {urlsplit(self.url).netloc}", *more]
        if token:
            lines.append(f"Authorization: Bearer {self.token}")
        return "\r\n".join([*lines, "", ""]).encode()

    def request(self, line: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        """A whole request."""
        return self.head(line, f"Content-Type: {kind}", f"Content-Length: {len(body)}") + body

    def stream(self) -> socket.socket:
        """A WebSocket that has been greeted."""
        connection = self.connect()
        upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        connection.sendall(
            self.head("GET /v3/stream", *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        )
        connection.recv(PIECE)
        connection.sendall(ws_frame(b'{"compute_executor": 1, "version": "1", "python": "3.11"}', opcode=1))
        connection.recv(PIECE)
        return connection


def ws_frame(payload: bytes, opcode: int = 2, fin: bool = True) -> bytes:
    """A masked WebSocket frame (RFC 6455 section 5.2); the mask is zero, so that the payload stays as it is."""
    first = (0x80 if fin else 0) | opcode
    size = len(payload)
    if size < 126:
        length = struct.pack("!BB", first, 0x80 | size)
    elif size < 1 << 16:
        length = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        length = struct.pack("!BBQ", first, 0x80 | 127, size)
    return length + b"\0\0\0\0" + payload


def flood(connection: socket.socket, parts: Iterable[bytes], seconds: float) -> str:
    """Send the parts until they are sent, the time is over or the other side ends it; how it went."""
    sent, begin = 0, time.monotonic()
    connection.settimeout(seconds)
    how = "all"
    try:
        for part in parts:
            connection.sendall(part)
            sent += len(part)
            if time.monotonic() - begin > seconds:
                how = "until the end"
                break
    except TimeoutError:
        how = "until it was not read any more"
    except OSError as error:
        how = f"until {type(error).__name__}"
    return f"{sent / MB:.1f} MB sent, {how}, {time.monotonic() - begin:.1f} s"


def answer(connection: socket.socket, most: int = 1 << 40, patience: float = 60.0) -> str:
    """Read until the other side closes, or ``most`` bytes; the first line and how much it was."""
    connection.settimeout(patience)
    got, first = 0, b""
    with contextlib.suppress(OSError):
        while got < most and (part := connection.recv(1 << 20)):
            first = first or part.partition(b"\r\n")[0]
            got += len(part)
    return f"{first.decode('latin-1')[:60]!r}, {got / MB:.1f} MB"


def repeated(part: bytes, total: int) -> Iterator[bytes]:
    """The part again and again, some 64 KiB at a time."""
    piece = part * max(1, PIECE // len(part))
    for _ in range(total // len(piece) + 1):
        yield piece


# -- strangers ----------------------------------------------------------------------------------------------


def short_headers(target: Target) -> str:
    """100 MB of short headers in one request."""
    with target.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        said = flood(connection, repeated(b"a: b\r\n", 100 * MB), target.seconds)
        return f"{said}; {answer(connection, patience=2)}"


def long_header(target: Target) -> str:
    """One header of 50 MB, again and again."""
    ends = time.monotonic() + target.seconds
    said = ""
    while time.monotonic() < ends:
        with target.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
            said = flood(connection, repeated(b"x", 50 * MB), target.seconds)
            said += f"; {answer(connection, patience=2)}"
    return said


def trailers(target: Target) -> str:
    """Trailers without end after the answer 401."""
    with target.connect() as connection:
        head = target.head("POST /v3/functions", "Transfer-Encoding: chunked", token=False)
        connection.sendall(head + b"0\r\n")
        return flood(connection, repeated(b"a: b\r\n", 100 * MB), target.seconds)


def refused_body(target: Target) -> str:
    """A body without end after the answer 401."""
    with target.connect() as connection:
        connection.sendall(target.head("POST /v3/functions", "Transfer-Encoding: chunked", token=False))
        return flood(connection, repeated(b"1000\r\n" + b"x" * 4096 + b"\r\n", 2000 * MB), target.seconds)


def pipeline(target: Target) -> str:
    """49 MB of requests, of whose answers none is read."""
    with target.connect() as connection:
        one = target.head("GET /health", token=False)
        return flood(connection, repeated(one, 49 * MB), target.seconds)


def pipeline_read(target: Target) -> str:
    """49 MB of requests, whose answers are read."""
    with target.connect() as connection:
        threading.Thread(target=answer, args=[connection], daemon=True).start()
        return flood(connection, repeated(target.head("GET /health", token=False), 49 * MB), target.seconds)


def idle(target: Target) -> str:
    """600 connections that say nothing; each that is closed is opened again."""
    return _many(target, 600, b"")


def idle_halves(target: Target) -> str:
    """600 connections that say half a request."""
    return _many(target, 600, b"GET / HTTP/1.1\r\nHost: x\r\n")


def half_handshakes(target: Target) -> str:
    """600 TLS handshakes that do not go on."""
    return _many(target, 600, b"")


def half_hellos(target: Target) -> str:
    """600 TLS handshakes that have begun."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        half.do_handshake()
    return _many(target, 600, outgoing.read())


def _many(target: Target, number: int, said: bytes) -> str:
    open_ones: list[socket.socket] = []
    made = refused = 0
    ends = time.monotonic() + target.seconds
    while time.monotonic() < ends:
        open_ones = [one for one in open_ones if not _is_over(one)]
        for _ in range(number - len(open_ones)):
            try:
                one = target.connect()
                one.sendall(said)
                open_ones.append(one)
                made += 1
            except OSError:
                refused += 1
        time.sleep(0.05)
    return f"{made} made, {len(open_ones)} open at the end, {refused} not made"


def _is_over(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


# -- users --------------------------------------------------------------------------------------------------


def _large(size: int) -> bytes:
    return b"x" * size


def make_large_result(url: str, token: str) -> str:
    """A task whose result has 400 MB; its id."""
    from compute_executor import Client, Executor

    with Executor(client=Client(base_url=url, token=token), max_workers=1) as executor:
        future = executor.options(keep="1h").submit(_large, 400 * MB)
        future.result(60)
        return str(future.task_id)


def large_result(target: Target) -> str:
    """The document of a task whose result has 400 MB."""
    with target.connect() as connection:
        connection.sendall(target.head(f"GET /v2/tasks/{target.prepared}", "Connection: close"))
        return answer(connection)


def large_results(target: Target) -> str:
    """The same in an answer to batch_status."""
    body = msgspec.json.encode({"task_ids": [target.prepared]})
    with target.connect() as connection:
        connection.sendall(target.head("POST /v2/batch_status", "Content-Type: application/json",
                                       f"Content-Length: {len(body)}", "Connection: close") + body)  # fmt: skip
        return answer(connection)


def blobs(target: Target) -> str:
    """400 MB up and down."""
    path = f"/v3/blobs/{uuid.uuid4().hex}"
    with target.connect() as connection:
        connection.sendall(target.head(f"PUT {path}", f"Content-Length: {400 * MB}", "Connection: close"))
        up = flood(connection, [b"x" * MB] * 400, 60)
        answer(connection)
    with target.connect() as connection:
        connection.sendall(target.head(f"GET {path}", "Connection: close"))
        return f"{up}; {answer(connection)}"


JSON_BODIES: dict[str, bytes] = {
    "numbers": b"[" + b"1," * (6 * MB) + b"1]",
    "texts": b"[" + b'"",' * (4 * MB) + b'""]',
    "objects": b"[" + b'{"a":1},' * (3 * MB // 2) + b"{}]",
    "nested": b"[" + b"[[]]," * (12 * MB // 5) + b"[]]",
}


def json_bodies(target: Target) -> str:
    """JSON of 12 MB to routes that take some, each in four ways."""
    said: list[str] = []
    for path, around in [
        ("POST /v2/batch_status", b'{"task_ids": %s}'),
        ("POST /v3/functions", b'{"function_code": "x", "function_name": "f", "meta": {"a": %s}}'),
        ("POST /v3/endpoints/" + BUILT_IN + "/submit", b'{"tasks": {"a": %s}}'),
        ("POST /v3/endpoints", b'{"endpoint_name": "e", "metadata": {"a": %s}}'),
    ]:
        for kind, body in JSON_BODIES.items():
            with target.connect() as connection:
                whole = around % body
                flood(connection, [target.request(path, whole)], 30)
                said.append(f"{kind} {answer(connection, most=1)[10:14]}")
    return ", ".join(said)


BUILT_IN = "00000000-0000-0000-0000-000000000001"


def stock_submit(target: Target) -> str:
    """A batch of 100,000 tasks as a stock SDK would send it."""
    from compute_executor import Client
    from compute_executor.service.endpoints.ids import BUILT_IN as built_in

    client = Client(base_url=target.url, token=target.token)
    function = client.register_function(abs)
    payload = "28\n00\ngASVBgAAAAAAAABLAYWULg==\n12\n00\ngAR9lC4=\n"
    body = msgspec.json.encode({"tasks": {str(function): [payload] * 100_000}})
    with target.connect() as connection:
        path = f"POST /v3/endpoints/{built_in}/submit"
        flood(connection, [target.request(path, body)], 30)
        return answer(connection, most=1, patience=60)


def cancel(target: Target) -> str:
    """A Cancel of 500,000 batches, then one of 15 million positions."""
    prefix = bytes.fromhex("0123456789ab8def8123beef")
    many = msgspec.msgpack.encode([7, 1, [(prefix, [0])] * 500_000])
    deep = msgspec.msgpack.encode([7, 1, [(prefix, [0] * 15_000_000)]])
    return _frames(target, [many, deep])


def _frames(target: Target, payloads: Iterable[bytes]) -> str:
    said = []
    for payload in payloads:
        with target.stream() as connection:
            flood(connection, [ws_frame(payload)], 20)
            connection.settimeout(20)
            try:
                said.append(repr(connection.recv(200)[:60]))
            except OSError as error:
                said.append(type(error).__name__)
    return ", ".join(said)


def submit_one(target: Target) -> str:
    """A Submit of 16 MB that says it has one task, in several ways."""
    prefix, group = bytes.fromhex("0123456789ab8def8123beef"), uuid.uuid4().bytes
    code = b"code"
    digest = hashlib.sha256(code).digest()
    _frames(target, [msgspec.msgpack.encode([3, digest, "f", code])])
    tasks = [
        msgspec.Raw(msgspec.msgpack.encode([[0, b""]] * 3_500_000)),
        msgspec.Raw(msgspec.msgpack.encode([0] * 15_000_000)),
        msgspec.Raw(msgspec.msgpack.encode([[]] * 15_000_000)),
        msgspec.Raw(msgspec.msgpack.encode([[0, b"x" * 15_000_000]])),
    ]
    frames = [msgspec.msgpack.encode([5, prefix, group, b"", None, [digest], task, 1]) for task in tasks]
    options = [0, None, None, {"a": [0] * 15_000_000}]
    frames.append(msgspec.msgpack.encode([5, prefix, group, b"", None, [digest], [[0, b""]], 1, options]))
    frames.append(msgspec.msgpack.encode([5, prefix, group, b"", None, [digest] * 450_000, [[0, b""]], 1]))
    return _frames(target, frames)


def large_frames(target: Target) -> str:
    """Register and OpenPool with 15 MB in their free fields."""
    digest, pool = b"d" * 32, uuid.uuid4().bytes
    register = [3, digest, "f", b"code", "", {"a": [0] * 15_000_000}]
    spec = [1, "python", [""] * 15_000_000, "/", {}]
    environ = [1, "python", [], "/", {f"{n:07x}": "" for n in range(1_500_000)}]
    frames = [register, [1, pool, spec], [1, pool, environ], [3, digest, "f" * 15_000_000, b""]]
    return _frames(target, map(msgspec.msgpack.encode, frames))


def pings(target: Target) -> str:
    """300 MB of pings, of whose pongs none is read."""
    with target.stream() as connection:
        return flood(connection, repeated(ws_frame(b"", opcode=9), 300 * MB), target.seconds)


def pings_read(target: Target) -> str:
    """300 MB of pings, whose pongs are read."""
    with target.stream() as connection:
        threading.Thread(target=answer, args=[connection], daemon=True).start()
        return flood(connection, repeated(ws_frame(b"", opcode=9), 300 * MB), target.seconds)


def fragments(target: Target) -> str:
    """A message in fragments of no bytes, and one of one byte each."""
    said = []
    for part in (b"", b"x"):
        with target.stream() as connection:
            connection.sendall(ws_frame(part, fin=False))
            parts = repeated(ws_frame(part, opcode=0, fin=False), 300 * MB)
            said.append(flood(connection, parts, target.seconds / 2))
    return "; ".join(said)


def acks(target: Target) -> str:
    """Small frames without end: subscriptions to ever new groups, registrations that are refused."""
    with target.stream() as connection:

        def frames() -> Iterator[bytes]:
            while True:
                yield b"".join(
                    ws_frame(msgspec.msgpack.encode([4, uuid.uuid4().bytes, 0])) for _ in range(500)
                )

        return flood(connection, frames(), target.seconds)


def make_results(url: str, token: str) -> str:
    """A group with 20,000 results of 10 kB; its id."""
    from compute_executor import Client, Executor

    with Executor(client=Client(base_url=url, token=token), max_workers=2) as executor:
        kept = executor.options(keep="1h")
        for future in [kept.submit(_large, 10_000) for _ in range(20_000)]:
            future.result(120)
        return str(executor.task_group_id)


def readers(target: Target) -> str:
    """30 streams that want all the results of a large group and read none of them; then they are closed and come
    again."""
    group = uuid.UUID(target.prepared).bytes
    ends = time.monotonic() + target.seconds
    rounds = 0
    while time.monotonic() < ends:
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(target.stream()) for _ in range(30)]
            for stream in streams:
                stream.sendall(ws_frame(msgspec.msgpack.encode([4, group, 0])))
            time.sleep(2)
            rounds += 1
    return f"{rounds} times 30 streams"


def full_readers(target: Target) -> str:
    """The same, but they read all."""
    group = uuid.UUID(target.prepared).bytes
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(target.stream()) for _ in range(30)]
        for stream in streams:
            stream.sendall(ws_frame(msgspec.msgpack.encode([4, group, 0])))
        threads = [threading.Thread(target=answer, args=[stream, 1 << 40, 2.0]) for stream in streams]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return "30 streams"


def busy_results(target: Target) -> str:
    """30 streams that read nothing of a group which gets 2,000 results a second or as many as it can."""
    from compute_executor import Client, Executor

    with Executor(client=Client(base_url=target.url, token=target.token), max_workers=1) as executor:
        group = uuid.UUID(str(executor.task_group_id)).bytes
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(target.stream()) for _ in range(30)]
            for stream in streams:
                stream.sendall(ws_frame(msgspec.msgpack.encode([4, group, 0])))
            ends, done = time.monotonic() + target.seconds, 0
            while time.monotonic() < ends:
                done += len(list(executor.map(_large, [10_000] * 100)))
        return f"{done} results"


ATTACKS: dict[str, Attack] = {
    attack.name: attack
    for attack in [
        Attack("nothing", lambda target: str(time.sleep(target.seconds))),
        Attack("short_headers", short_headers),
        Attack("long_header", long_header),
        Attack("trailers", trailers),
        Attack("refused_body", refused_body),
        Attack("pipeline", pipeline),
        Attack("pipeline_read", pipeline_read),
        Attack("idle", idle),
        Attack("idle_halves", idle_halves),
        Attack("half_handshakes", half_handshakes, tls=True),
        Attack("half_hellos", half_hellos, tls=True),
        Attack("large_result", large_result, make_large_result),
        Attack("large_results", large_results, make_large_result),
        Attack("blobs", blobs),
        Attack("json_bodies", json_bodies),
        Attack("stock_submit", stock_submit),
        Attack("cancel", cancel),
        Attack("submit_one", submit_one),
        Attack("large_frames", large_frames),
        Attack("pings", pings),
        Attack("pings_read", pings_read),
        Attack("fragments", fragments),
        Attack("acks", acks),
        Attack("readers", readers, make_results),
        Attack("full_readers", full_readers, make_results),
        Attack("busy_results", busy_results),
    ]
}


def main(arguments: list[Any]) -> None:
    """Do one attack."""
    name, url, token, seconds, prepared = arguments
    print(ATTACKS[name].run(Target(url, token, float(seconds), prepared)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
