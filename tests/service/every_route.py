"""The application's own list of its routes, for tests of what holds for each: a new one cannot be forgotten."""

from __future__ import annotations

from starlette.routing import Route, WebSocketRoute

from compute_executor.service.api.app import ROUTES
from tests.service.asgi import HOST, TOKEN

HTTP = sorted(
    (method, route.path)
    for route in ROUTES
    if isinstance(route, Route)
    for method in route.methods or ()
    if method != "HEAD"
)
STREAMS = [route.path for route in ROUTES if isinstance(route, WebSocketRoute)]

HOST_HEADER = (b"host", HOST.encode())
TOKEN_HEADER = (b"authorization", b"Bearer " + TOKEN.encode())
