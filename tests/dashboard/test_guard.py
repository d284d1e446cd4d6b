"""Who may open the page: the browser with the one-time link, on this machine, and nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from compute_executor.dashboard.guard import COOKIE, Guard

HOST = "127.0.0.1:8000"


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("the page")(scope, receive, send)


@pytest.fixture
def guard() -> Guard:
    return Guard(page, frozenset({HOST}))


def ask(
    guard: Guard, path: str = "/", *, cookie: str = "", host: str | None = HOST, kind: str = "http"
) -> tuple[int, dict[str, str], str]:
    """Status (or close code), headers and body."""
    sent: list[Message] = []
    headers = [(b"cookie", cookie.encode("latin-1"))] if cookie else []
    if host is not None:
        headers.append((b"host", host.encode()))
    where, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": kind,
        "path": where,
        "query_string": query.encode(),
        "headers": headers,
        "method": "GET",
    }

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    asyncio.run(guard(scope, receive, send))
    if kind == "websocket" and sent[0]["type"] == "websocket.close":
        return sent[0]["code"], {}, sent[0]["reason"]
    found = {name.decode(): value.decode() for name, value in sent[0].get("headers", [])}
    return sent[0]["status"], found, b"".join(part.get("body", b"") for part in sent).decode()


def opened(guard: Guard) -> str:
    status, headers, _ = ask(guard, f"/open?key={guard.key}")
    assert (status, headers["location"]) == (303, "/")
    assert "HttpOnly" in headers["set-cookie"]
    assert "samesite=strict" in headers["set-cookie"].lower()
    assert guard.key not in headers["set-cookie"]
    return headers["set-cookie"].partition(";")[0]


def test_the_link_opens_the_page_once(guard: Guard) -> None:
    cookie = opened(guard)
    assert ask(guard, "/", cookie=cookie)[::2] == (200, "the page")
    status, _, body = ask(guard, f"/open?key={guard.key}")
    assert (status, "was used" in body) == (403, True)
    assert ask(guard, "/", cookie=cookie)[0] == 200


@pytest.mark.parametrize("query", ["", "?key=", "?key=wrong", "?other=x", "?key=%ff", "?key=é"])
def test_a_wrong_key_opens_nothing_and_uses_nothing_up(guard: Guard, query: str) -> None:
    assert ask(guard, f"/open{query}")[0] == 403
    opened(guard)


@pytest.mark.parametrize(
    "cookie", ["", "x", f"{COOKIE}=", f"{COOKIE}=wrong", "=;=;", "\x00", f"{COOKIE}=\xff"]
)
def test_without_the_cookie_there_is_nothing(guard: Guard, cookie: str) -> None:
    opened(guard)
    for path in ("/", "/_nicegui/anything", "/open/../"):
        assert ask(guard, path, cookie=cookie)[0] == 403
    assert ask(guard, "/ws", cookie=cookie, kind="websocket")[0] == 4403


@pytest.mark.parametrize("host", [None, "", "evil.example", "127.0.0.1", "127.0.0.1:80", f"evil@{HOST}"])
def test_another_host_is_refused_even_with_the_key_or_the_cookie(guard: Guard, host: str | None) -> None:
    assert ask(guard, f"/open?key={guard.key}", host=host)[0] == 403
    cookie = opened(guard)
    assert ask(guard, "/", cookie=cookie, host=host)[0] == 403
    assert ask(guard, "/", cookie=cookie, host=host, kind="websocket")[0] == 4403


def test_the_life_of_the_application_is_not_guarded(guard: Guard) -> None:
    assert ask(guard, host=None, kind="lifespan")[2] == "the page"
