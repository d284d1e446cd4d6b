from __future__ import annotations

import uuid

import msgspec

from compute_executor.protocol import frames
from tests.service.asgi import ask
from tests.service.conftest import World

POOL = uuid.uuid4()
SPEC = frames.PoolSpec(2, "python", [], "/", {})
HEADERS = {"content-type": "application/msgpack"}


def test_a_pool_is_opened_and_closed_without_a_stream(world: World) -> None:
    body = msgspec.msgpack.encode(frames.OpenPool(POOL.bytes, SPEC))
    assert ask(world.app, "POST", "/v3/pools", body=body, headers=HEADERS).json() == {"pool": POOL.hex}
    assert world.service.pools == {POOL.bytes: SPEC}
    assert ask(world.app, "DELETE", f"/v3/pools/{POOL}").json() == {"pool": POOL.hex}
    assert world.service.pools == {}


def test_it_is_described_by_a_frame_only(world: World) -> None:
    assert ask(world.app, "POST", "/v3/pools", body=b"\x90", headers=HEADERS).status == 400
    assert (
        ask(world.app, "POST", "/v3/pools", body=b"{}", headers={"content-type": "application/json"}).status
        == 415
    )
