"""The stream's bytes: what a plain socket does to frames, and how connections fail."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any

import pytest
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection, serve

from compute_executor.errors import NotAuthorized, ServiceUnavailable, VersionMismatch
from compute_executor.protocol.frames import PROTOCOL
from compute_executor.results.greeting import greet, read_welcome
from compute_executor.results.websocket import Stream, StreamLost, connect

Handler = Callable[[ServerConnection], Any]
quiet = logging.getLogger("test-websocket")
quiet.setLevel(logging.CRITICAL)


@pytest.fixture
def server() -> Iterator[Callable[..., str]]:
    """Starts WebSocket servers with a handler each; gives their URLs."""
    with ExitStack() as stack:

        def start(handler: Handler, **options: Any) -> str:
            one = serve(handler, "127.0.0.1", 0, compression=None, logger=quiet, **options)
            thread = threading.Thread(target=one.serve_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(one.shutdown)
            return f"http://127.0.0.1:{one.socket.getsockname()[1]}"

        yield start


@pytest.fixture
def raw() -> Iterator[Callable[..., str]]:
    """Starts a server that answers the first bytes with some of its own, and ends."""
    with ExitStack() as stack:

        def start(answer: bytes) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def run() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

            thread = threading.Thread(target=run)
            thread.start()
            stack.callback(thread.join)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start


@contextlib.contextmanager
def connected(url: str) -> Iterator[Stream]:
    stream = connect(url, "Bearer token")
    try:
        yield stream
    finally:
        stream.close()


def receive(stream: Stream) -> list[bytes]:
    """The next frames, waited for."""
    import select

    while not (frames := stream.receive()):
        unsent = [] if stream.flush() else [stream]
        assert any(select.select([stream], unsent, [], 10)), "nothing came"
    return frames


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def test_frames_go_and_come(server: Callable[..., str]) -> None:
    with connected(server(echo)) as stream:
        stream.send(b"one")
        assert receive(stream) == [b"one"]
        stream.send_text("zwei")
        assert receive(stream) == [b"zwei"]


def test_a_large_frame_is_put_together(server: Callable[..., str]) -> None:
    large = bytes(range(256)) * 20_000
    with connected(server(echo, max_size=None)) as stream:
        stream.send(large)
        assert receive(stream) == [large]
        assert not stream.crowded
        stream.send(large)
        assert stream.crowded
        assert receive(stream) == [large]


def test_a_message_in_fragments(server: Callable[..., str]) -> None:
    def fragments(connection: ServerConnection) -> None:
        connection.send(iter([b"one ", b"two ", b"three"]))
        connection.recv()

    with connected(server(fragments)) as stream:
        assert receive(stream) == [b"one two three"]


def test_the_handshake_carries_the_credentials(server: Callable[..., str]) -> None:
    def tell(connection: ServerConnection) -> None:
        assert connection.request is not None
        connection.send(f"{connection.request.path} {connection.request.headers['Authorization']}")
        connection.recv()

    with connected(server(tell)) as stream:
        assert receive(stream) == [b"/v3/stream Bearer token"]


def test_a_ping_is_answered(server: Callable[..., str]) -> None:
    answered = threading.Event()

    def ping(connection: ServerConnection) -> None:
        if connection.ping().wait(10):
            answered.set()
        connection.send("thanks")
        connection.recv()

    with connected(server(ping)) as stream:
        assert receive(stream) == [b"thanks"]
        heard = stream.heard
        stream.ping()
        stream.flush()
        while stream.heard == heard:
            assert stream.receive() == []
    assert answered.is_set()


def test_a_frame_that_comes_with_the_answer_to_the_handshake() -> None:
    """In one segment: nothing makes the socket readable afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            protocol = ServerProtocol()
            connection, _ = listener.accept()
            with connection:
                protocol.receive_data(connection.recv(65536))
                (request,) = protocol.events_received()
                assert isinstance(request, Request)
                protocol.send_response(protocol.accept(request))
                protocol.send_text(b"at once")
                connection.sendall(b"".join(protocol.data_to_send()))
                connection.recv(1)

        thread = threading.Thread(target=run)
        thread.start()
        with connected(f"http://127.0.0.1:{listener.getsockname()[1]}") as stream:
            assert receive(stream) == [b"at once"]
        thread.join()


def test_nothing_has_come_yet(server: Callable[..., str]) -> None:
    with connected(server(echo)) as stream:
        assert stream.receive() == []


def test_the_service_ends_the_stream(server: Callable[..., str]) -> None:
    url = server(lambda connection: connection.close(1001, "going away"))

    with connected(url) as stream, pytest.raises(StreamLost, match="going away"):
        receive(stream)


def test_the_connection_is_cut(server: Callable[..., str]) -> None:
    with connected(server(lambda connection: connection.socket.shutdown(socket.SHUT_RDWR))) as stream:
        with pytest.raises(StreamLost):
            receive(stream)
        stream.send(b"x" * 100_000_000)
        with pytest.raises(StreamLost):
            stream.flush()


def test_bytes_that_are_no_frames(server: Callable[..., str]) -> None:
    def nonsense(connection: ServerConnection) -> None:
        connection.socket.sendall(b"\xff\xff\xff\xff\xff\xff")
        with contextlib.suppress(Exception):
            connection.recv(10)

    with connected(server(nonsense)) as stream, pytest.raises(StreamLost):
        receive(stream)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (HTTPStatus.UNAUTHORIZED, NotAuthorized),
        (HTTPStatus.FORBIDDEN, NotAuthorized),
        (HTTPStatus.NOT_FOUND, ServiceUnavailable),
        (HTTPStatus.SERVICE_UNAVAILABLE, ServiceUnavailable),
    ],
)
def test_a_service_that_says_no(
    server: Callable[..., str], status: HTTPStatus, kind: type[Exception]
) -> None:
    url = server(echo, process_request=lambda connection, request: connection.respond(status, "no\n"))

    with pytest.raises(kind):
        connect(url, "Bearer token")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0-OpenSSH\r\n"])
def test_something_else_listens_there(raw: Callable[..., str], answer: bytes) -> None:
    with pytest.raises(ServiceUnavailable, match="does not open a stream"):
        connect(raw(answer), "")


def test_nobody_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(ServiceUnavailable, match="cannot connect"):
        connect(f"http://127.0.0.1:{port}", "")


def test_a_secure_service_is_verified(raw: Callable[..., str]) -> None:
    with pytest.raises(ServiceUnavailable, match="cannot connect"):
        connect(raw(b"no TLS here").replace("http:", "https:"), "")


def test_the_greeting(server: Callable[..., str]) -> None:
    def welcome(connection: ServerConnection) -> None:
        assert f'"compute_executor":{PROTOCOL}' in str(connection.recv())
        connection.send(
            f'{{"compute_executor":{PROTOCOL},"version":"1","default_endpoint":"","blob_folder":null,"limits":{{}}}}'
        )
        connection.recv()

    with connected(server(welcome)) as stream:
        assert greet(stream).version == "1"


def test_a_service_that_says_nothing(server: Callable[..., str]) -> None:
    url = server(lambda connection: connection.recv() and connection.recv())

    with connected(url) as stream, pytest.raises(StreamLost, match="said nothing"):
        greet(stream, patience=0.05)


@pytest.mark.parametrize(
    "frame",
    [
        b"hello",
        b'{"task_id": 1}',
        b'{"compute_executor":999,"version":"9","default_endpoint":"","blob_folder":null,"limits":{}}',
    ],
)
def test_a_service_of_another_kind_or_version(frame: bytes) -> None:
    with pytest.raises(VersionMismatch):
        read_welcome(frame)
