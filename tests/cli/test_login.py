"""login, with a Globus Auth on loopback and a person who pastes the code."""

from __future__ import annotations

import pytest

from compute_executor.sdk.login_manager import tokens
from tests.cli.conftest import Typed
from tests.sdk.conftest import CODE, PERSON, ScriptedAuth


def test_from_login_to_logout(typed: Typed, auth: ScriptedAuth) -> None:
    assert "Nobody is logged in" in typed("whoami").output
    result = typed("login", answers=f"{CODE}\n")
    assert result.exit_code == 0, result.output
    assert f"as ada@example.org ({PERSON})" in result.output
    assert "canary" not in result.output
    assert typed("whoami").output == f"ada@example.org ({PERSON})\n"
    assert "Logged in" in typed("login").output  # nobody is asked again
    assert typed("logout").output == "Logged out from Globus.\n"
    assert "Nobody was logged in" in typed("logout").output
    assert tokens.load(tokens.user_namespace("production")) == {}
    assert auth.revoked


def test_where_nobody_can_be_asked(typed: Typed) -> None:
    result = typed("login")
    assert result.exit_code == 1
    assert "there is no terminal to ask" in result.output


@pytest.mark.parametrize("command", ["login", "logout", "whoami"])
def test_an_environment_there_is_not(typed: Typed, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNCX_SDK_CLIENT_ID", "only the id")
    result = typed(command)
    assert result.exit_code == 1
    assert "FUNCX_SDK_CLIENT_SECRET is not" in result.output
