"""One HTTP request, and what comes of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    PayloadTooLarge,
    ServiceUnavailable,
)
from compute_executor.peer import Address, OfClient, request
from compute_executor.session import by_http


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], Address]]:
    """Starts servers that give every request one answer."""
    with ExitStack() as stack:

        def start(status: int, body: bytes) -> Address:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.rfile.read(int(self.headers.get("Content-Length") or 0))
                    told.append((self.command, self.path, dict(self.headers)))
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                do_POST = do_PUT = do_GET

                def log_message(self, *_: Any) -> None:
                    """Silence."""

            server = stack.enter_context(HTTPServer(("127.0.0.1", 0), Handler))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return Address(f"http://127.0.0.1:{server.server_port}", "Bearer secret")

        told.clear()
        yield start


told: list[tuple[str, str, dict[str, str]]] = []


def test_an_answer(answering: Callable[[int, bytes], Address]) -> None:
    assert request(answering(200, b"body"), "POST", "/x", b"sent", headers={"X-Y": "z"}) == b"body"

    ((method, path, headers),) = told
    assert (method, path) == ("POST", "/x")
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Content-Type"] == "application/msgpack"
    assert headers["X-Y"] == "z"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (413, json.dumps(PayloadTooLarge("big").document()).encode(), PayloadTooLarge),
        (401, b"{}", NotAuthorized),
        (404, b'{"reason": "no route"}', NotFound),
        (404, b"<html>", NotFound),
        (400, b"[1]", InvalidRequest),
        (502, b"<html>bad gateway</html>", ServiceUnavailable),
        (503, b"", ServiceUnavailable),
        (500, b"oops", ComputeError),
    ],
)
def test_refusals(
    answering: Callable[[int, bytes], Address], status: int, body: bytes, kind: type[ComputeError]
) -> None:
    with pytest.raises(kind) as caught:
        request(answering(status, body), "GET", "/x")
    assert type(caught.value) is kind


def test_nobody_there() -> None:
    with pytest.raises(ServiceUnavailable, match=r"GET /x at http://127.0.0.1:1 failed"):
        request(Address("http://127.0.0.1:1", ""), "GET", "/x")


def test_a_service_without_an_endpoint(answering: Callable[[int, bytes], Address]) -> None:
    with pytest.raises(ComputeError, match="no endpoint"):
        by_http.default_endpoint(answering(200, b"[]"))


def test_an_address_does_not_show_its_key() -> None:
    assert "secret" not in repr(Address("http://x", "Bearer secret"))


@pytest.mark.parametrize(("authorization", "sent"), [("Bearer t", "Bearer t"), (None, "")])
def test_the_address_of_a_client(authorization: str | None, sent: str) -> None:
    class Client:
        hosted = False

        def address(self) -> str:
            return "http://there"

        def authorization(self) -> str | None:
            return authorization

    assert OfClient(Client()).address() == Address("http://there", sent)  # type: ignore[arg-type]
