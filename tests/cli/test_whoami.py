"""Who is logged in, as Globus Auth knows them."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Typed
from tests.sdk.conftest import CLIENT_ID, CODE, PERSON, SECRET, Reply, ScriptedAuth


def test_nobody_and_somebody(typed: Typed) -> None:
    assert "Nobody is logged in" in typed("whoami").output
    typed("login", answers=f"{CODE}\n")
    assert typed("whoami").output == f"ada@example.org ({PERSON})\n"


def test_a_client_with_credentials(typed: Typed, auth: ScriptedAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOBUS_COMPUTE_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("GLOBUS_COMPUTE_CLIENT_SECRET", SECRET)
    auth.on("GET /v2/oauth2/userinfo", Reply(200, {"sub": CLIENT_ID, "preferred_username": "sweeper"}))
    assert typed("whoami").output == f"sweeper ({CLIENT_ID})\n"
    auth.on("GET /v2/oauth2/userinfo", Reply(403, {}))
    result = typed("whoami")
    assert result.exit_code == 1
    assert "does not say who this is: 403" in result.output
