"""The application behind a real uvicorn, spoken to byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from compute_executor.errors import ServiceUnavailable
from compute_executor.service.access import Identity
from compute_executor.service.api.app import AccessConfig, make_app
from compute_executor.service.api.context import AppContext
from compute_executor.service.auth.authenticators import LocalToken
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.process.server import Server, bind
from tests.service.asgi import TOKEN
from tests.service.fakes import FakeService

uvloop.new_event_loop().close()  # libuv opens one pipe for all signals of the process, and keeps it


class Served:
    """A server in a thread of the test: where it is, and what happened to it."""

    def __init__(self, folder: Path) -> None:
        self.listener = bind("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.events: list[str] = []
        self.up = threading.Event()
        shell = AppContext(FakeService(), BlobFolder(folder), "instance-1", stop=lambda: None)  # type: ignore[arg-type]
        doors = AccessConfig(
            LocalToken(TOKEN, Identity("ann", "Ann", admin=True)), [f"127.0.0.1:{self.port}"]
        )
        self.server = Server(make_app(shell, doors), self._started, self._stopping)

    def _started(self) -> None:
        self.events.append("started")
        self.up.set()

    async def _stopping(self) -> None:
        self.events.append("stopping")

    def run(self) -> None:
        with contextlib.closing(uvloop.new_event_loop()) as loop:
            # Signals are the main thread's; here only the serving itself is of interest.
            loop.run_until_complete(self.server._serve([self.listener]))

    def say(self, *parts: bytes) -> bytes:
        """Send the parts one by one and return all that comes until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for part in parts:
                    connection.sendall(part)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while more := connection.recv(65536):
                    answer += more
            return answer

    def head(self, line: str, *more: str) -> bytes:
        lines = [line, f"Host: 127.0.0.1:{self.port}", f"Authorization: Bearer {TOKEN}", *more, "", ""]
        return "\r\n".join(lines).encode()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    thread = threading.Thread(target=served.run)
    thread.start()
    assert served.up.wait(10)
    yield served
    served.server.stop()
    thread.join()
    assert served.events == ["started", "stopping"]


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_port_that_is_taken_has_a_name() -> None:
    with bind("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(
            ServiceUnavailable, match=f"cannot listen on 127.0.0.1 port {port}: .*choose one that is free"
        ):
            bind("127.0.0.1", port)


def test_it_tells_nothing_of_itself(served: Served) -> None:
    answer = served.say(served.head("GET /v2/version HTTP/1.1", "Connection: close"))
    assert status(answer) == 200
    assert b"server:" not in answer.lower()
    assert b"uvicorn" not in answer.lower()


def test_a_body_that_drips_is_cut_at_the_limit(served: Served) -> None:
    head = served.head(
        "POST /v3/functions HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked"
    )
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    answer = served.say(head, *[chunk] * 40)
    assert status(answer) == 413
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["Content-Length: 3", "Transfer-Encoding: chunked"], 400),
        (["Content-Length: 3", "Content-Length: 4"], 400),
        (["Content-Length: -1"], 400),
        (["Content-Length: 99999999999999999999999"], 400),
        (["X: a\r\n b", "Content-Length: 0"], None),
        (["Host: evil.com", "Content-Length: 0"], 400),
    ],
)
def test_two_readings_of_one_request_are_not_possible(
    served: Served, more: list[str], expected: int | None
) -> None:
    head = served.head("POST /v3/shutdown HTTP/1.1", *more, "Connection: close")
    got = status(served.say(head, b"0\r\n\r\n"))
    assert got == expected if expected else got in (200, 400)


def test_an_upload_keeps_it_busy(served: Served) -> None:
    head = served.head("PUT /v3/blobs/" + "a" * 32 + " HTTP/1.1", "Content-Length: 4", "Connection: close")
    assert not served.server.busy
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(head + b"ab")
        deadline = time.monotonic() + 10
        while not served.server.busy and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert served.server.busy
        before = served.server.requests
        connection.sendall(b"cd")
        assert status(connection.recv(65536)) == 200
        while connection.recv(65536):
            pass
    assert served.server.requests == before + 1
    assert not served.server.busy


def test_a_stream_is_refused_before_it_is_one(served: Served) -> None:
    def shake(*more: str) -> bytes:
        lines = [
            "GET /v3/stream HTTP/1.1",
            f"Host: 127.0.0.1:{served.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            *more,
        ]
        return served.say("\r\n".join([*lines, "", ""]).encode())

    for more in ([], ["Authorization: Bearer wrong"]):
        answer = shake(*more)
        assert status(answer) == 401
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["name"] == "NotAuthorized"
    assert status(shake(f"Authorization: Bearer {TOKEN}", "Origin: http://evil.com")) == 403


def test_signals_stop_it_and_are_not_raised_again(tmp_path: Path) -> None:
    import os
    import signal

    async def scenario() -> None:
        served = Served(tmp_path)
        serving = asyncio.ensure_future(served.server.serve([served.listener]))
        while not served.up.is_set():
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, 10)
        assert served.events == ["started", "stopping"]

    asyncio.run(scenario())
