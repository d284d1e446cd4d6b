from __future__ import annotations

import pytest

from tests.service.asgi import ask, right_headers, shake
from tests.service.conftest import World
from tests.service.every_route import HTTP


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
