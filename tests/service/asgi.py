"""Asks an ASGI application without a network: one request, or one WebSocket handshake."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1:8000"
TOKEN = "the-token-of-this-test"


@dataclass
class Answer:
    """What came back. ``asked``: how many parts of the body the application took."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    asked: int = 0
    accepted: bool = False

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    app: Any,
    method: str,
    path: str,
    *,
    body: bytes | Iterable[bytes] = b"",
    headers: Mapping[str, str] | None = None,
    raw_headers: Iterable[tuple[bytes, bytes]] | None = None,
) -> Answer:
    """One HTTP request; with the right Host and token unless ``raw_headers`` are given."""
    return asyncio.run(request(app, method, path, body=body, headers=headers, raw_headers=raw_headers))


async def request(
    app: Any,
    method: str,
    path: str,
    *,
    body: bytes | Iterable[bytes] = b"",
    headers: Mapping[str, str] | None = None,
    raw_headers: Iterable[tuple[bytes, bytes]] | None = None,
) -> Answer:
    """The same, on a loop that runs."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": list(raw_headers) if raw_headers is not None else right_headers(headers or {}),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }
    parts = [body] if isinstance(body, bytes) else body
    return await _run(app, scope, _http_messages(parts))


def shake(app: Any, path: str, *, raw_headers: Iterable[tuple[bytes, bytes]] | None = None) -> Answer:
    """A WebSocket handshake; ``accepted`` says how it went."""
    path, _, query = path.partition("?")
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": list(raw_headers) if raw_headers is not None else right_headers({}),
        "subprotocols": [],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "extensions": {"websocket.http.response": {}},
    }
    return asyncio.run(_run(app, scope, iter([{"type": "websocket.connect"}])))


def right_headers(more: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Host, token and whatever else."""
    headers = {"host": HOST, "authorization": f"Bearer {TOKEN}", **more}
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _http_messages(parts: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    for part in parts:
        yield {"type": "http.request", "body": part, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}


async def _run(app: Any, scope: dict[str, Any], messages: Iterable[dict[str, Any]]) -> Answer:
    answer = Answer()
    iterator = iter(messages)

    async def receive() -> dict[str, Any]:
        answer.asked += 1
        message = next(iterator, None)
        if message is None:  # the client waits for its answer
            await asyncio.Event().wait()
        return message or {}

    async def send(message: dict[str, Any]) -> None:
        if message["type"].endswith("response.start"):
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif message["type"].endswith("response.body"):
            answer.body += message.get("body", b"")
        elif message["type"] == "websocket.accept":
            answer.accepted = True

    await app(scope, receive, send)
    return answer
