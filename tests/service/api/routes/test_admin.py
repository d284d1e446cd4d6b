from __future__ import annotations

from tests.service.asgi import ask
from tests.service.conftest import World


def test_a_service_without_accounts_says_so(world: World) -> None:
    answer = ask(
        world.app, "POST", "/v3/admin/user-list", body=b"{}", headers={"content-type": "application/json"}
    )
    assert answer.status == 404
    assert "another --auth than token" in answer.json()["reason"]
