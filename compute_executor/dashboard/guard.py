"""Who may open the page: the browser that came with the one-time link.

    http://127.0.0.1:PORT/open?key=KEY   -> a cookie, and the page; the key is used up
    anything else                        -> 403 without that cookie

The token of the service stays in this process. Requests for another host than the loopback address are refused, so
that no page of a stranger can reach this one under a name of its own (DNS rebinding).
"""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

COOKIE = "compute_executor_dashboard"


class Guard:
    """Lets one browser in. ``hosts``: values of the Host header. ``key``: of the link, good once."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts
        self.key: str = secrets.token_urlsafe(24)
        self._used = False
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get(b"host") not in self._hosts:
            await self._refuse(scope, receive, send, "this page is for this machine only")
        elif scope["type"] == "http" and scope["path"] == "/open":
            await self._open(scope, receive, send)
        elif self._known(headers.get(b"cookie", "")):
            await self._app(scope, receive, send)
        else:
            await self._refuse(scope, receive, send, "open the link that compute-executor dashboard printed")

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
        if self._used or not hmac.compare_digest(given.encode(), self.key.encode()):
            await self._refuse(
                scope, receive, send, "this link was used, or is wrong: start the dashboard again"
            )
            return
        self._used = True
        answer = RedirectResponse("/", 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict")
        await answer(scope, receive, send)

    def _known(self, cookie: str) -> bool:
        try:
            found = SimpleCookie(cookie).get(COOKIE)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self._session.encode())

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send, why: str) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose(4403, why)(scope, receive, send)
        else:
            await PlainTextResponse(f"{why}\n", 403)(scope, receive, send)
