"""Requests that a browser makes for a web page of somebody else are refused: browsers name the page in Origin."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from compute_executor.errors import NotAuthorized
from compute_executor.service.api.error_responses import Refusal


class OriginCheck:
    """Answers 403 if there is an Origin header that is not one of ``origins``. There are no CORS headers at all."""

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self.app = app
        self.origins: frozenset[bytes] = frozenset(origin.lower().encode("ascii") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = [value.lower() for name, value in scope["headers"] if name == b"origin"]
        if not self.origins.issuperset(named):
            raise Refusal(403, NotAuthorized("this service does not answer web pages of other origins"))
        await self.app(scope, receive, send)
