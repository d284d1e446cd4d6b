"""What holds for every route, by the application's own list of them: a new route cannot be forgotten here."""

from __future__ import annotations

import logging

import pytest
from starlette.routing import Route, WebSocketRoute

from compute_executor.errors import InvalidRequest
from compute_executor.service.app import ROUTES
from compute_executor.service.middleware.body import BodyLimit
from tests.service.asgi import HOST, TOKEN, ask, right_headers, shake
from tests.service.conftest import World

HTTP = sorted(
    (method, route.path)
    for route in ROUTES
    if isinstance(route, Route)
    for method in route.methods or ()
    if method != "HEAD"
)
STREAMS = [route.path for route in ROUTES if isinstance(route, WebSocketRoute)]
HOST_HEADER = (b"host", HOST.encode())
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


def test_the_list_is_the_whole_list(world: World) -> None:
    assert len(HTTP) > 12
    assert list(world.app.routes) == list(ROUTES)
    assert all(isinstance(route, (Route, WebSocketRoute)) for route in ROUTES)


@pytest.mark.parametrize("headers", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_no_route_answers_without_the_token(world: World, headers: list[tuple[bytes, bytes]]) -> None:
    bodies = set()
    for method, path in [*HTTP, ("GET", "/no/such/route")]:
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


HOSTS = {
    "absent": ([], 400),
    "twice": ([HOST_HEADER, HOST_HEADER], 400),
    "other": ([(b"host", b"evil.com")], 421),
    "other port": ([(b"host", b"127.0.0.1:9")], 421),
    "no port": ([(b"host", b"127.0.0.1")], 421),
    "prefix": ([(b"host", b"127.0.0.1:8000.evil.com")], 421),
    "user": ([(b"host", b"127.0.0.1:8000@evil.com")], 421),
    "empty": ([(b"host", b"")], 421),
}


@pytest.mark.parametrize(("headers", "status"), HOSTS.values(), ids=HOSTS)
def test_only_requests_for_this_host_are_heard(
    world: World, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    token = (b"authorization", b"Bearer " + TOKEN.encode())
    for method, path in [*HTTP, ("GET", "/no/such/route")]:
        assert ask(world.app, method, path, raw_headers=[*headers, token]).status == status
        assert ask(world.app, method, path, raw_headers=headers).status == status, (
            "before the token is looked at"
        )
    assert shake(world.app, "/v3/stream", raw_headers=[*headers, token]).status == status


def test_the_host_may_be_in_other_letters(world: World) -> None:
    assert ask(world.app, "GET", "/v2/version", headers={"host": HOST.upper()}).status == 200


@pytest.mark.parametrize("origin", ["http://evil.com", "null", "", "http://127.0.0.1:8001"])
def test_pages_of_other_origins_are_refused(world: World, origin: str) -> None:
    for method, path in HTTP:
        answer = ask(world.app, method, path, headers={"origin": origin})
        assert answer.status == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
    headers = [*right_headers({}), (b"origin", origin.encode())]
    assert shake(world.app, "/v3/stream", raw_headers=headers).status == 403


def test_our_own_pages_are_answered_without_any_cors_header(world: World) -> None:
    answer = ask(world.app, "GET", "/v2/version", headers={"origin": "http://127.0.0.1:8000"})
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


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
    }


def test_an_unexpected_error_is_told_to_the_log_only(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.service.raises = RuntimeError("the inside of the service")
    with caplog.at_level(logging.ERROR):
        answer = ask(world.app, "GET", "/v3/overview")
    assert answer.status == 500
    assert answer.json()["name"] == "ComputeError"
    assert "RuntimeError" in answer.json()["reason"]
    assert b"the inside" not in answer.body
    assert "the inside of the service" in caplog.text


def test_an_error_of_ours_is_answered_as_itself(world: World) -> None:
    world.service.raises = InvalidRequest("not like this")
    answer = ask(world.app, "GET", "/v3/overview")
    assert (answer.status, answer.json()["reason"]) == (400, "not like this")


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded", "application/json5"])
def test_bodies_of_another_type_are_refused(world: World, kind: str) -> None:
    for method, path in HTTP:
        if method == "POST" and path != "/v3/shutdown":
            path = path.replace("{id}", "4b116d3c-1703-4f8f-9f6f-39921e5864df")
            answer = ask(world.app, method, path, body=b"{}", headers={"content-type": kind})
            assert answer.status == 415, (path, answer.body)


def test_compressed_bodies_are_refused(world: World) -> None:
    for method, path in HTTP:
        assert ask(world.app, method, path, body=b"x", headers={"content-encoding": "gzip"}).status == 415


def test_a_body_that_says_it_is_too_long_is_not_read(world: World) -> None:
    headers = {"content-type": "application/json", "content-length": str(16 * 1024 * 1024 + 1)}
    answer = ask(world.app, "POST", "/v3/functions", headers=headers)
    assert (answer.status, answer.asked) == (413, 0)
    assert answer.headers["connection"] == "close"
    assert answer.json()["name"] == "PayloadTooLarge"
    assert str(16 * 1024 * 1024) in answer.json()["reason"]


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3", ""])
def test_a_length_that_is_none_is_refused(world: World, length: str) -> None:
    headers = {"content-type": "application/json", "content-length": length}
    assert ask(world.app, "POST", "/v3/functions", headers=headers).status in (400, 413)


def test_a_body_that_says_nothing_or_lies_is_read_up_to_the_limit(world: World) -> None:
    parts = (b"x" * 10 for _ in range(1000))
    headers = {"content-type": "application/json", "content-length": "5"}
    answer = ask(BodyLimit(world.app, limit=95), "POST", "/v3/functions", body=parts, headers=headers)
    assert (answer.status, answer.asked) == (413, 10)


def test_a_stream_is_opened_with_the_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    async def serve_stream(websocket: object, identity: object, service: object) -> None:
        served.append((identity, service))
        await websocket.accept()  # type: ignore[attr-defined]

    served: list[tuple[object, object]] = []
    monkeypatch.setitem(
        sys.modules, "compute_executor.service.streams", types.SimpleNamespace(serve_stream=serve_stream)
    )
    for path in STREAMS:
        assert shake(world.app, path).accepted
    assert len(served) == 2
    assert served[0][0].id == "ann"  # type: ignore[attr-defined]
    assert served[0][1] is world.service
