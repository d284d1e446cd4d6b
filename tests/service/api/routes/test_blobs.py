from __future__ import annotations

import os

import pytest

from tests.service.asgi import ask
from tests.service.conftest import World

NAME = "0123456789abcdef" * 2


def test_what_was_put_is_got(world: World) -> None:
    data = os.urandom(200_000)
    parts = [data[at : at + 50_000] for at in range(0, len(data), 50_000)]
    assert ask(world.app, "PUT", f"/v3/blobs/{NAME}", body=parts).json() == {"name": NAME, "size": len(data)}
    answer = ask(world.app, "GET", f"/v3/blobs/{NAME}")
    assert answer.body == data
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(len(data))


def test_an_absent_one_is_not_found(world: World) -> None:
    answer = ask(world.app, "GET", f"/v3/blobs/{NAME}")
    assert (answer.status, answer.json()["name"]) == (404, "NotFound")


@pytest.mark.parametrize("name", ["x", "..", "%2e%2e", NAME.upper(), NAME + "0", "..\\x", "\0" * 32])
def test_other_names_are_none(world: World, name: str) -> None:
    for method in ("GET", "PUT"):
        assert ask(world.app, method, f"/v3/blobs/{name}", body=b"x").status == 400
    assert list(world.blobs.folder.iterdir()) == []


@pytest.mark.parametrize("path", ["../store.sqlite", f"../blobs/{NAME}", f"{NAME}/..", f"a/{NAME}", ""])
def test_other_paths_are_no_route(world: World, path: str) -> None:
    for method in ("GET", "PUT"):
        assert ask(world.app, method, f"/v3/blobs/{path}", body=b"x").status == 404
