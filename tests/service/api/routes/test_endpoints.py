from __future__ import annotations

import uuid

import pytest

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
