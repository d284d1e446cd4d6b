"""login, whoami and logout, with a Globus Auth on loopback and a person who pastes the code."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from compute_executor.cli import commands
from compute_executor.sdk.login_manager import tokens
from tests.sdk.conftest import CLIENT_ID, CODE, CREDENTIALS, PERSON, SECRET, Reply, ScriptedAuth

Typed = Callable[..., Result]


@pytest.fixture
def auth(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedAuth]:
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    scripted = ScriptedAuth(CLIENT_ID, SECRET)
    monkeypatch.setenv("GLOBUS_SDK_SERVICE_URL_AUTH", f"{scripted.url}/")
    yield scripted
    scripted.close()


@pytest.fixture
def typed(auth: ScriptedAuth) -> Typed:
    """``typed("login", answers="...")``"""
    return lambda *arguments, answers="": CliRunner().invoke(commands, arguments, input=answers)


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


def test_a_client_with_credentials(typed: Typed, auth: ScriptedAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOBUS_COMPUTE_CLIENT_ID", CLIENT_ID)
    monkeypatch.setenv("GLOBUS_COMPUTE_CLIENT_SECRET", SECRET)
    auth.on("GET /v2/oauth2/userinfo", Reply(200, {"sub": CLIENT_ID, "preferred_username": "sweeper"}))
    assert typed("whoami").output == f"sweeper ({CLIENT_ID})\n"
    auth.on("GET /v2/oauth2/userinfo", Reply(403, {}))
    result = typed("whoami")
    assert result.exit_code == 1
    assert "does not say who this is: 403" in result.output
