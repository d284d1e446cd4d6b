from __future__ import annotations

import pytest

from tests.service.asgi import HOST, ask, shake
from tests.service.conftest import World
from tests.service.every_route import HOST_HEADER, HTTP, TOKEN_HEADER

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
    for method, path in [*HTTP, ("GET", "/no/such/route")]:
        assert ask(world.app, method, path, raw_headers=[*headers, TOKEN_HEADER]).status == status
        assert ask(world.app, method, path, raw_headers=headers).status == status, (
            "before the token is looked at"
        )
    assert shake(world.app, "/v3/stream", raw_headers=[*headers, TOKEN_HEADER]).status == status


def test_the_host_may_be_in_other_letters(world: World) -> None:
    assert ask(world.app, "GET", "/v2/version", headers={"host": HOST.upper()}).status == 200
