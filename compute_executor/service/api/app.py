"""The service as an ASGI application: its routes, and what a request passes before it reaches one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.service.api.context import AppContext, identity_of, shell_of
from compute_executor.service.api.error_responses import Refusal, answer
from compute_executor.service.api.middleware.body import BodyLimit
from compute_executor.service.api.middleware.errors import ErrorDocuments
from compute_executor.service.api.middleware.host import HostCheck
from compute_executor.service.api.middleware.origin import OriginCheck
from compute_executor.service.api.middleware.token import (
    ENDPOINT_STREAM,
    KnownConnection,
    TokenCheck,
    nobody_counts,
)
from compute_executor.service.api.routes import (
    admin,
    agents,
    blobs,
    containers,
    endpoints,
    functions,
    health,
    lists,
    login,
    pools,
    service,
    submit,
    tasks,
)
from compute_executor.service.auth.authenticators import Authenticator


@dataclass(frozen=True)
class AccessConfig:
    """Who is let in. ``hosts``: values of the Host header; ``origins``: of Origin, for our own web pages; ``known``:
    is told whose connection it is, see `middleware.token`."""

    authenticator: Authenticator
    hosts: Iterable[str]
    origins: Iterable[str] = ()
    known: KnownConnection = nobody_counts


async def stream(websocket: WebSocket) -> None:
    """``/ws/v2/`` (legacy SDKs) and ``/v3/stream`` (ours): the first frame tells which is spoken."""
    from compute_executor.service.api.stream import serve_stream

    await serve_stream(
        websocket, identity_of(websocket), shell_of(websocket).service, websocket.scope["token_digest"]
    )


async def endpoint_stream(websocket: WebSocket) -> None:
    """`ENDPOINT_STREAM`: of an endpoint of our own."""
    from compute_executor.service.api.endpoint_stream import serve_endpoint

    await serve_endpoint(
        websocket, identity_of(websocket), shell_of(websocket).service, websocket.scope["token_digest"]
    )


ROUTES: Sequence[BaseRoute] = [
    *submit.ROUTES,
    *tasks.ROUTES,
    *lists.ROUTES,
    *functions.ROUTES,
    *pools.ROUTES,
    *containers.ROUTES,
    *endpoints.ROUTES,
    *agents.ROUTES,
    *blobs.ROUTES,
    *service.ROUTES,
    *health.ROUTES,
    *admin.ROUTES,
    *login.ROUTES,
    WebSocketRoute("/ws/v2/", stream),
    WebSocketRoute("/v3/stream", stream),
    WebSocketRoute(ENDPOINT_STREAM, endpoint_stream),
]


def make_app(shell: AppContext, doors: AccessConfig) -> Starlette:
    """Return the application. Nothing is opened or started by it."""
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(ErrorDocuments, shell.service.audit),
            Middleware(HostCheck, doors.hosts),
            Middleware(OriginCheck, doors.origins),
            Middleware(TokenCheck, doors.authenticator, {login.TOKEN_PATH, health.HEALTH_PATH}, doors.known),
            Middleware(BodyLimit),
        ],
        exception_handlers={HTTPException: _no_such_route},
    )
    app.router.redirect_slashes = False
    app.state.shell = shell
    return app


def _no_such_route(request: Request, error: Exception) -> Response:
    """Starlette found no route (404), or one for other methods (405)."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return answer(NotFound(f"there is no route {request.url.path}"))
    return answer(Refusal(error.status_code, InvalidRequest(error.detail), dict(error.headers or {})))
