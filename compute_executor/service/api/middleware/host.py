"""Only requests that name this service in their Host header are heard: the answer to DNS rebinding, where a web
page's own name is made to point to 127.0.0.1 (starlette's TrustedHostMiddleware is the model; its default is any)."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from compute_executor.service.api.error_responses import refusal


class HostCheck:
    """Refuses a Host that is absent, doubled (400) or not one of ``hosts``, ``"name:port"`` each (421)."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self.app = app
        self.hosts: frozenset[bytes] = frozenset(host.lower().encode("ascii") for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1:
            raise refusal(400, f"a request has one Host header; this has {len(named)}")
        if named[0].lower() not in self.hosts:
            raise refusal(421, "the Host header does not name this service")
        await self.app(scope, receive, send)
