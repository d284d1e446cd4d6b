from __future__ import annotations

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from compute_executor.service.api.middleware.token import TokenCheck
from compute_executor.service.api.routes.health import HEALTH_PATH
from compute_executor.service.auth.authenticators import LocalToken
from tests.service.asgi import TOKEN, ask, shake
from tests.service.conftest import ADMIN, World
from tests.service.every_route import HOST_HEADER, HTTP, STREAMS

BAD_TOKENS = {
    "none": [],
    "empty": [(b"authorization", b"")],
    "no scheme": [(b"authorization", TOKEN.encode())],
    "empty token": [(b"authorization", b"Bearer ")],
    "other scheme": [(b"authorization", b"Basic " + TOKEN.encode())],
    "wrong": [(b"authorization", b"Bearer wrong")],
    "longer": [(b"authorization", b"Bearer " + TOKEN.encode() + b"x")],
    "not ascii": [(b"authorization", b"Bearer \xff\xfe")],
    "huge": [(b"authorization", b"Bearer " + b"x" * 20_000)],
    "twice": [(b"authorization", b"Bearer " + TOKEN.encode())] * 2,
    "cookie": [(b"cookie", b"token=" + TOKEN.encode())],
}


@pytest.mark.parametrize("headers", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_no_route_answers_without_the_token(world: World, headers: list[tuple[bytes, bytes]]) -> None:
    bodies = set()
    for method, path in [*HTTP, ("GET", "/no/such/route")]:
        if path == HEALTH_PATH:
            continue
        answer = ask(world.app, method, path, raw_headers=[HOST_HEADER, *headers])
        assert answer.status == 401, (method, path)
        assert answer.headers["www-authenticate"] == "Bearer"
        bodies.add(answer.body)
    for path in [*STREAMS, "/no/such/stream"]:
        answer = shake(world.app, path, raw_headers=[HOST_HEADER, *headers])
        assert (answer.accepted, answer.status) == (False, 401), path
        bodies.add(answer.body)
    assert len(bodies) == 1
    assert TOKEN.encode() not in bodies.pop()


@pytest.mark.parametrize(
    "query", ["access_token=" + TOKEN, "a=1&token=" + TOKEN, "ToKen=", "authorization=x"]
)
def test_a_token_in_the_query_is_refused_even_beside_a_right_one(world: World, query: str) -> None:
    assert ask(world.app, "GET", f"/v2/version?{query}").status == 401
    assert shake(world.app, f"/v3/stream?{query}").status == 401
    assert ask(world.app, "GET", f"/v2/version?{query}", raw_headers=[HOST_HEADER]).status == 401


class Remembering(LocalToken):
    """Ann, with a memory."""

    def __init__(self) -> None:
        super().__init__(TOKEN, ADMIN)
        self.forgotten: list[str] = []

    def forget(self, token: str) -> None:
        self.forgotten.append(token)


def test_a_client_that_wants_it_fresh_makes_the_service_forget() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse({})(scope, receive, send)

    authenticator = Remembering()
    check = TokenCheck(app, authenticator)
    assert ask(check, "GET", "/").status == 200
    assert ask(check, "GET", "/", headers={"Cache-Control": "max-age=0"}).status == 200
    assert authenticator.forgotten == []
    assert ask(check, "GET", "/", headers={"Cache-Control": "no-cache"}).status == 200
    assert authenticator.forgotten == [TOKEN]


def test_and_one_without_a_memory_takes_no_notice(world: World) -> None:
    assert ask(world.app, "GET", "/v2/version", headers={"Cache-Control": "no-cache"}).status == 200
