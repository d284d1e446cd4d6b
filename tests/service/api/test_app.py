"""What holds for every route, by the application's own list of them; what each door checks is in middleware/."""

from __future__ import annotations

import sys
import types

import pytest
from starlette.routing import Route, WebSocketRoute

from compute_executor.service.api.app import ROUTES
from compute_executor.service.api.middleware.token import ENDPOINT_STREAM
from compute_executor.service.api.routes.login import TOKEN_PATH
from compute_executor.service.auth.authenticators import token_digest
from tests.service.asgi import TOKEN, ask, shake
from tests.service.conftest import World
from tests.service.every_route import HTTP, STREAMS


def test_the_list_is_the_whole_list(world: World) -> None:
    assert len(HTTP) > 12
    assert list(world.app.routes) == list(ROUTES)
    assert all(isinstance(route, (Route, WebSocketRoute)) for route in ROUTES)


def test_a_preflight_is_no_method_of_any_route(world: World) -> None:
    answer = ask(world.app, "OPTIONS", "/v3/functions")
    assert answer.status == 405
    assert answer.json()["name"] == "InvalidRequest"


def test_a_route_that_is_none_has_an_error_document(world: World) -> None:
    answer = ask(world.app, "GET", "/v2/nothing")
    assert answer.status == 404
    assert answer.json() == {
        "status": "Failed",
        "code": 6,
        "name": "NotFound",
        "reason": "there is no route /v2/nothing",
        "error_args": [],
        "http_status_code": 404,
        "errors": [{"code": "NotFound", "message": "there is no route /v2/nothing"}],
    }


WITHOUT_BODY = {
    "/v3/shutdown",
    "/v3/agents/{name}/revoke",
    "/v2/endpoints/{id}/lock",
    "/v3/endpoints/{id}/lock",
    TOKEN_PATH,
}
"""The token route looks at credentials first: it is the one that has no bearer token before it."""


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded", "application/json5"])
def test_bodies_of_another_type_are_refused(world: World, kind: str) -> None:
    for method, path in HTTP:
        if method == "POST" and path not in WITHOUT_BODY:
            path = path.replace("{id}", "4b116d3c-1703-4f8f-9f6f-39921e5864df")
            answer = ask(world.app, method, path, body=b"{}", headers={"content-type": kind})
            assert answer.status == 415, (path, answer.body)


def test_a_stream_is_opened_with_the_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve_stream(websocket: object, identity: object, service: object, token: bytes) -> None:
        served.append((identity, service, token))
        await websocket.accept()  # type: ignore[attr-defined]

    served: list[tuple[object, object, bytes]] = []
    monkeypatch.setitem(
        sys.modules, "compute_executor.service.api.stream", types.SimpleNamespace(serve_stream=serve_stream)
    )
    for path in STREAMS:
        assert shake(world.app, path).accepted == (path != ENDPOINT_STREAM), "which takes tokens of endpoints"
    assert len(served) == 2
    assert served[0][0].id == "ann"  # type: ignore[attr-defined]
    assert served[0][1:] == (world.service, token_digest(TOKEN))
