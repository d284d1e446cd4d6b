from __future__ import annotations

import uuid
from types import SimpleNamespace

import pytest

from compute_executor.service.access import Identity
from compute_executor.service.endpoints.ids import BUILT_IN, TUTORIAL
from tests.service.asgi import ask
from tests.service.conftest import World


def test_there_is_the_built_in_endpoint(world: World) -> None:
    (only,) = ask(world.app, "GET", "/v2/endpoints?role=any").json()
    assert only["uuid"] == str(BUILT_IN)
    assert {"name", "display_name"} <= only.keys()


@pytest.mark.parametrize("endpoint_id", [BUILT_IN, TUTORIAL])
def test_the_tutorial_endpoint_is_another_name_for_it(world: World, endpoint_id: uuid.UUID) -> None:
    assert ask(world.app, "GET", f"/v2/endpoints/{endpoint_id}").json()["uuid"] == str(BUILT_IN)
    status = ask(world.app, "GET", f"/v2/endpoints/{endpoint_id}/status").json()
    assert (status["status"], status["details"]) == ("online", {"tasks": {"queued": 0}})


def test_others_are_not_there(world: World) -> None:
    for rest in ("", "/status"):
        assert ask(world.app, "GET", f"/v2/endpoints/{uuid.uuid4()}{rest}").status == 404
        assert ask(world.app, "GET", f"/v2/endpoints/x{rest}").status == 400


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_lock_says_when_it_ends(world: World, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    async def lock(who: Identity, endpoint: uuid.UUID) -> float:
        return 1625097600.5

    monkeypatch.setattr(world.service, "endpoints", SimpleNamespace(lock=lock))
    endpoint_id = uuid.uuid4()
    answer = ask(world.app, "POST", f"/{version}/endpoints/{endpoint_id}/lock").json()
    assert answer == {
        "endpoint_id": str(endpoint_id),
        "lock_expiration_timestamp": "2021-07-01T00:00:00.500000",
    }
