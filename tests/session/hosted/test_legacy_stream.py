"""The stream of the guide's time, spoken to our own service of it, and to ones that fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.server import ServerConnection

from compute_executor.errors import NotAuthorized, ResultDecodeError, ServiceUnavailable
from compute_executor.protocol.ids import task_uuid
from compute_executor.serialization import native
from compute_executor.service.api.app import AccessConfig, make_app
from compute_executor.service.api.context import AppContext
from compute_executor.service.auth.authenticators import LocalToken
from compute_executor.service.process.server import Server, bind
from compute_executor.service.service import Service
from compute_executor.session.hosted import legacy_stream
from compute_executor.session.hosted.amqp import QueueLost
from compute_executor.session.hosted.legacy_stream import LegacyStream, read
from tests.service.asgi import TOKEN
from tests.service.fixture import ALICE, GROUP, ServiceFixture, batch, register, serving

NAME = str(uuid.UUID(bytes=GROUP))
TASK = "11111111-1111-4111-8111-111111111111"


class Served:
    """Our service on a loop in a thread of its own; `run` has it do something."""

    def __init__(self, folder: Path) -> None:
        self._house = ServiceFixture(folder, echo=True)
        self._up = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self.service: Service
        self._listener = bind("127.0.0.1", 0)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))
        self._thread.start()
        assert self._up.wait(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with serving(self._house) as self.service:
            shell = AppContext(self.service, self._house.blobs, "instance-1", stop=lambda: None)
            doors = AccessConfig(LocalToken(TOKEN, ALICE), [f"127.0.0.1:{self.port}"])

            async def goodbye() -> None:
                await self.service.say_goodbye("for a test")

            self._server = Server(make_app(shell, doors), self._up.set, goodbye)
            await self._server._serve([self._listener])

    def run(self, act: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(act, self._loop).result(10)

    def stop(self) -> None:
        self._server.stop()
        self._thread.join()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.stop()


class Frames:
    """A stream and the frames that came by it."""

    def __init__(self, url: str, token: str = TOKEN) -> None:
        self.got: list[bytes] = []
        self.stream = LegacyStream(url, f"Bearer {token}", [NAME], self._came)

    def _came(self, frame: bytes, assured: bool) -> bool:
        assert not assured
        self.got.append(frame)
        return True

    def heard(self, count: int) -> list[bytes]:
        end = time.monotonic() + 10
        while len(self.got) < count:
            assert time.monotonic() < end
            self.stream.turn(1)
        return self.got


@contextlib.contextmanager
def opened(url: str) -> Iterator[Frames]:
    frames = Frames(url)
    try:
        yield frames
    finally:
        frames.stream.close()


def test_results_of_our_own_service_come_as_they_end(served: Served) -> None:
    early, later = batch([native.dumps(1)]), batch([native.dumps(2)])
    served.run(register(served.service))
    served.run(served.service.submit(ALICE, early))
    with opened(served.url) as frames:
        (frame,) = frames.heard(1)
        assert (read(frame).task_id, read(frame).value()) == (task_uuid(early.prefix, 0), 1)
        served.run(served.service.submit(ALICE, later))
        frame = frames.heard(2)[1]
        assert (read(frame).task_id, read(frame).value()) == (task_uuid(later.prefix, 0), 2)
    with opened(served.url) as again:
        assert sorted(again.heard(2)) == sorted(frames.got)  # the protocol starts anew


def test_our_own_service_wants_its_token(served: Served) -> None:
    with pytest.raises(NotAuthorized):
        Frames(served.url, "another")


def test_the_token_is_in_the_handshake_and_the_group_in_a_frame(server: Callable[..., str]) -> None:
    def tell(connection: ServerConnection) -> None:
        assert connection.request is not None
        group = connection.recv()
        connection.send(f"{connection.request.path} {connection.request.headers['Authorization']} {group}")  # type: ignore[str-bytes-safe]
        connection.recv()

    with opened(server(tell)) as frames:
        assert frames.heard(1) == [f"/ws/v2/ Bearer {TOKEN} {NAME}".encode()]


def test_what_comes_with_the_handshake_is_not_lost(server: Callable[..., str]) -> None:
    def hurry(connection: ServerConnection) -> None:
        connection.send("at once")
        connection.recv()
        connection.recv()

    with opened(server(hurry)) as frames:
        assert frames.heard(1) == [b"at once"]


@pytest.mark.parametrize(
    ("status", "kind"), [(HTTPStatus.FORBIDDEN, NotAuthorized), (HTTPStatus.NOT_FOUND, ServiceUnavailable)]
)
def test_a_service_that_has_none(
    server: Callable[..., str], status: HTTPStatus, kind: type[Exception]
) -> None:
    url = server(print, process_request=lambda connection, _: connection.respond(status, "no\n"))
    with pytest.raises(kind):
        Frames(url)


def test_a_stream_that_ends_is_lost(server: Callable[..., str]) -> None:
    with (
        opened(server(lambda connection: connection.recv())) as frames,
        pytest.raises(QueueLost, match="closed"),
    ):
        frames.heard(1)


def test_a_turn_can_be_ended_early(server: Callable[..., str]) -> None:
    with opened(server(lambda connection: [connection.recv(), connection.recv()])) as frames:
        timer = threading.Timer(0.01, frames.stream.wake)
        timer.start()
        frames.stream.turn(60)
        timer.join()
        assert not frames.stream._selector.select(0)  # one wake ends one turn
        frames.stream.try_missing()
        assert frames.stream.missing == set()
    frames.stream.wake()  # closed: nobody waits


def test_silence_is_broken_by_a_ping_or_is_the_end(
    server: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(server(lambda connection: [connection.recv(), connection.recv()])) as frames:
        frames.stream.turn(0)
        heard = frames.stream._stream.last_received
        frames.stream.turn(5)  # the answer to the ping
        assert frames.stream._stream.last_received > heard
        monkeypatch.setattr(legacy_stream, "SILENCE", -1.0)
        with pytest.raises(QueueLost, match="silent"):
            frames.stream.turn(0)


# -- what frames say --------------------------------------------------------------------------------------------


def frame(**said: Any) -> bytes:
    return json.dumps({"task_id": TASK, "status": "success", "result": "00\ngAROLg==\n", **said}).encode()


def test_a_value_and_a_failure() -> None:
    assert read(frame(completion_t="12.5")).value() is None
    failed = read(json.dumps({"task_id": TASK, "status": "failed", "exception": "Traceback"}).encode())
    assert (failed.status, failed.body) == ("failed", b"Traceback")


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"[]",
        b"{}",
        b'{"exception": "the service has trouble"}',
        frame(task_id=None),
        frame(task_id="x"),
        frame(status="running"),
        frame(details=5)[:-1],
        frame(result=""),
    ],
)
def test_what_is_no_result_is_told(other: bytes) -> None:
    with pytest.raises(ResultDecodeError):
        read(other)


@given(st.binary(max_size=100) | st.integers(0, len(frame()) - 1).map(lambda end: frame()[:end]))
def test_no_bytes_are_a_result_by_chance(other: bytes) -> None:
    with pytest.raises(ResultDecodeError):
        read(other)
