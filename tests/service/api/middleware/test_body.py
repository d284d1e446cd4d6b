from __future__ import annotations

import pytest

from compute_executor.service.api.error_responses import Refusal
from compute_executor.service.api.middleware.body import BodyLimit
from tests.service.asgi import ask
from tests.service.conftest import World
from tests.service.every_route import HTTP


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


def test_blobs_have_a_limit_of_their_own(world: World) -> None:
    app = BodyLimit(world.app, limit=10, blob_limit=100)
    path = "/v3/blobs/" + "a" * 32
    assert ask(app, "PUT", path, body=[b"x" * 50, b"x" * 50]).status == 200
    assert ask(app, "PUT", path, body=[b"x" * 50, b"x" * 51]).status == 413
    with pytest.raises(Refusal):
        ask(app, "POST", "/v3/blobsx", headers={"content-length": "11"})
