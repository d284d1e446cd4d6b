"""Logging out: the tokens are revoked and forgotten, once."""

from __future__ import annotations

from compute_executor.sdk.login_manager import tokens
from tests.cli.conftest import Typed
from tests.sdk.conftest import CODE, ScriptedAuth


def test_tokens_are_revoked_and_forgotten(typed: Typed, auth: ScriptedAuth) -> None:
    typed("login", answers=f"{CODE}\n")
    assert typed("logout").output == "Logged out from Globus.\n"
    assert auth.revoked
    assert tokens.load(tokens.user_namespace("production")) == {}


def test_nobody_was_logged_in(typed: Typed, auth: ScriptedAuth) -> None:
    assert typed("logout").output == "Nobody was logged in to Globus.\n"
    assert not auth.revoked
