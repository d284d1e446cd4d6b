"""The stream's bytes: what a plain socket does to frames, and how connections fail."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus

import pytest
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection

from compute_executor.errors import NotAuthorized, ServiceUnavailable
from compute_executor.session.stream.websocket import StreamLost, connect
from tests.session.stream.streaming import connected, receive


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
        assert not stream.congested
        stream.send(large)
        assert stream.congested
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
        heard = stream.last_received
        stream.ping()
        stream.flush()
        while stream.last_received == heard:
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


def test_a_close_that_comes_with_the_answer_to_the_handshake() -> None:
    """What is sent then finds a stream that is lost, and no other error."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            protocol = ServerProtocol()
            connection, _ = listener.accept()
            with connection:
                protocol.receive_data(connection.recv(65536))
                (request,) = protocol.events_received()
                assert isinstance(request, Request)
                protocol.send_response(protocol.accept(request))
                protocol.send_close(1011)
                connection.sendall(b"".join(protocol.data_to_send()))
                connection.recv(1)

        thread = threading.Thread(target=run)
        thread.start()
        with connected(f"http://127.0.0.1:{listener.getsockname()[1]}") as stream:
            with pytest.raises(StreamLost, match="closed the stream"):
                stream.send(b"x")
            with pytest.raises(StreamLost, match="closed the stream"):
                stream.send_text("x")
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
