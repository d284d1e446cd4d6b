"""A service that answers what a test tells it to, over real sockets."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

CREDENTIALS = (
    "GLOBUS_COMPUTE_CLIENT_ID",
    "GLOBUS_COMPUTE_CLIENT_SECRET",
    "FUNCX_SDK_CLIENT_ID",
    "FUNCX_SDK_CLIENT_SECRET",
    "GLOBUS_SDK_ENVIRONMENT",
    "FUNCX_SDK_ENVIRONMENT",
)


class Seen(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Reply(NamedTuple):
    """What is answered; ``hang_up``: nothing, the connection is closed after the request was read."""

    status: int = 200
    document: Any = None
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    hang_up: bool = False


Answering = Callable[[Seen], Reply]


class ScriptedService:
    """Answers by ``"METHOD /path"``: with one Reply for ever, with one after the other, or with what a function
    makes of the request. Anything else is a 404."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answers: dict[str, Answering] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                service.handle(self)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False
        self.server.block_on_close = False
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def on(self, route: str, *replies: Reply | Answering) -> None:
        """The last reply stays."""
        queue = deque(replies)

        def answer(seen: Seen) -> Reply:
            reply = queue.popleft() if len(queue) > 1 else queue[0]
            return reply if isinstance(reply, Reply) else reply(seen)

        self.answers[route] = answer

    def requests(self, route: str) -> list[Seen]:
        method, _, path = route.partition(" ")
        return [seen for seen in self.seen if seen.method == method and seen.path == path]

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {key.lower(): value for key, value in handler.headers.items()}
        seen = Seen(handler.command, handler.path, headers, body)
        self.seen.append(seen)
        answer = self.answers.get(f"{seen.method} {seen.path.partition('?')[0]}")
        reply = answer(seen) if answer else Reply(404, {"reason": f"no such route: {seen.path}"})
        if reply.hang_up:
            handler.close_connection = True
            return
        payload = reply.body if reply.body is not None else json.dumps(reply.document).encode()
        handler.send_response(reply.status)
        for key, value in {"Content-Type": "application/json", **reply.headers}.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(payload)))
        handler.end_headers()
        handler.wfile.write(payload)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    """A service of nobody in particular."""
    scripted = ScriptedService()
    yield scripted
    scripted.close()


@pytest.fixture(autouse=True)
def nobody_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of whoever runs the tests."""
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between attempts are noted, not made."""
    pauses: list[float] = []
    monkeypatch.setattr("compute_executor.sdk.session.time.sleep", pauses.append)
    return pauses
