"""One HTTP request, and what comes of it."""

from __future__ import annotations

import json
import platform
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast

import pytest

from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    PayloadTooLarge,
    ServiceUnavailable,
)
from compute_executor.peer import ClientLocator, EndpointKind, ServiceEndpoint, request
from compute_executor.serialization.python_versions import VersionsDiffer
from compute_executor.session.stream import by_http


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], ServiceEndpoint]]:
    """Starts servers that give every request one answer."""
    with ExitStack() as stack:

        def start(status: int, body: bytes) -> ServiceEndpoint:
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
            return ServiceEndpoint(f"http://127.0.0.1:{server.server_port}", "Bearer secret")

        told.clear()
        yield start


told: list[tuple[str, str, dict[str, str]]] = []


def test_an_answer(answering: Callable[[int, bytes], ServiceEndpoint]) -> None:
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
    answering: Callable[[int, bytes], ServiceEndpoint], status: int, body: bytes, kind: type[ComputeError]
) -> None:
    with pytest.raises(kind) as caught:
        request(answering(status, body), "GET", "/x")
    assert type(caught.value) is kind


def test_nobody_there() -> None:
    with pytest.raises(ServiceUnavailable, match=r"GET /x at http://127.0.0.1:1 failed"):
        request(ServiceEndpoint("http://127.0.0.1:1", ""), "GET", "/x")


def test_a_service_without_an_endpoint(answering: Callable[[int, bytes], ServiceEndpoint]) -> None:
    with pytest.raises(ComputeError, match="no endpoint"):
        by_http.default_endpoint(answering(200, b"[]"))


def test_an_address_does_not_show_its_key() -> None:
    assert "secret" not in repr(ServiceEndpoint("http://x", "Bearer secret"))


@pytest.mark.parametrize(("authorization", "sent"), [("Bearer t", "Bearer t"), (None, "")])
def test_the_address_of_a_client(authorization: str | None, sent: str) -> None:
    class Client:
        hosted = False

        def address(self) -> str:
            return "http://there"

        def authorization(self) -> str | None:
            return authorization

    assert ClientLocator(Client()).address() == ServiceEndpoint("http://there", sent)  # type: ignore[arg-type]


class _OwnService:
    """A Client of a service of our own, whose one endpoint is a stock one."""

    def __init__(self, **document: Any) -> None:
        self.document = document

    def is_own_service(self) -> bool:
        return True

    def get_endpoint_metadata(self, _endpoint: uuid.UUID) -> dict[str, Any]:
        return self.document


def test_other_versions_at_a_stock_endpoint_are_said_once_before_anything_is_sent() -> None:
    peer = ClientLocator(cast(Any, _OwnService(python_version="3.1.4", dill_version="0.0.1")))
    with pytest.warns(
        VersionsDiffer, match=r"Python 3\.1\.4 there.*dill 0\.0\.1 there.*by_source=True"
    ) as told:
        kinds = [peer.kind(one) for one in (b"e" * 16, b"e" * 16, b"f" * 16)]
    assert kinds == [EndpointKind.STOCK] * 3
    assert len(told) == 2  # once for each endpoint


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"python_version": platform.python_version()}, EndpointKind.STOCK),
        ({}, EndpointKind.STOCK),
        ({"built_in": True, "python_version": "3.1.4"}, EndpointKind.OURS),
    ],
)
def test_the_same_versions_and_our_own_workers_are_no_news(
    document: dict[str, Any], kind: EndpointKind
) -> None:
    assert ClientLocator(cast(Any, _OwnService(**document))).kind(b"e" * 16) is kind
