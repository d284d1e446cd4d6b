"""Logins with client credentials, against a Globus Auth on loopback, by real globus_sdk apps."""

from __future__ import annotations

import io
import json
import logging
import sys
import time
import traceback

import globus_sdk
import pytest

from compute_executor import Client
from compute_executor.errors import NotAuthorized
from compute_executor.sdk.login_manager import LoginManager, LoginManagerProtocol, tokens
from compute_executor.sdk.login_manager.credentials import ClientCredentials
from tests.sdk.conftest import (
    CANARY,
    CLIENT_ID,
    CODE,
    PERSON,
    SECRET,
    Reply,
    ScriptedAuth,
    ScriptedService,
    reprs,
)

NAMESPACE = tokens.client_namespace("production", CLIENT_ID)


def test_it_is_a_login_manager(auth: ScriptedAuth, client_credentials: None) -> None:
    assert isinstance(LoginManager(), LoginManagerProtocol)


def test_client_credentials_log_in_and_their_tokens_are_kept(
    auth: ScriptedAuth, client_credentials: None, hosted: ScriptedService
) -> None:
    hosted.on("GET /v2/endpoints", Reply(200, []))
    with Client() as client:
        assert client.get_endpoints() == []
    issued = auth.issued
    with Client() as client:
        assert client.get_endpoints() == []
    assert auth.issued == issued
    assert hosted.seen[0].headers["authorization"].startswith(f"Bearer {CANARY}")
    assert "compute-executor" in hosted.seen[0].headers["user-agent"]
    assert tokens.load(NAMESPACE)["funcx_service"]["access_token"].startswith(CANARY)


def test_an_expired_token_is_renewed_before_it_is_used(
    auth: ScriptedAuth, client_credentials: None, hosted: ScriptedService
) -> None:
    hosted.on("GET /v2/endpoints", Reply(200, []))
    with Client() as client:
        client.get_endpoints()
    stored = tokens.load(NAMESPACE)
    first = stored["funcx_service"]["access_token"]
    stored["funcx_service"]["expires_at_seconds"] = int(time.time()) - 1
    tokens.store(NAMESPACE, stored)
    with Client() as client:
        client.get_endpoints()
    assert hosted.seen[-1].headers["authorization"] != f"Bearer {first}"


def test_a_token_that_is_refused_is_renewed_once(
    auth: ScriptedAuth, client_credentials: None, hosted: ScriptedService
) -> None:
    hosted.on("GET /v2/endpoints", Reply(401, {"reason": "revoked"}), Reply(200, []))
    with Client() as client:
        assert client.get_endpoints() == []
    first, second = (seen.headers["authorization"] for seen in hosted.requests("GET /v2/endpoints"))
    assert first != second
    hosted.on("GET /v2/endpoints", Reply(401, {"reason": "still revoked"}))
    with Client() as client, pytest.raises(NotAuthorized, match="still revoked"):
        client.get_endpoints()
    assert len(hosted.requests("GET /v2/endpoints")) == 4


def test_force_login_gets_new_tokens(
    auth: ScriptedAuth, client_credentials: None, hosted: ScriptedService
) -> None:
    Client().close()
    first = tokens.load(NAMESPACE)["funcx_service"]
    Client(force_login=True).close()
    assert tokens.load(NAMESPACE)["funcx_service"] != first


def test_logout_revokes_and_forgets(
    auth: ScriptedAuth, client_credentials: None, hosted: ScriptedService
) -> None:
    client = Client()
    assert client.logout() is True
    assert tokens.load(NAMESPACE) == {}
    assert len(auth.revoked) == 2
    assert client.logout() is False


def test_a_wrong_secret_is_told(auth: ScriptedAuth) -> None:
    with pytest.raises(NotAuthorized, match="Globus Auth"):
        LoginManager(credentials=ClientCredentials(CLIENT_ID, "wrong")).ensure_logged_in()


def test_where_nobody_can_be_asked_it_says_what_to_do(
    auth: ScriptedAuth, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(NotAuthorized, match="compute-executor login"):
        Client(environment="production")
    assert "4cf29807-cf21-49ec-9443-ff9a3fb9f81c" in capsys.readouterr().out


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who follows the address and pastes the code."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{CODE}\n"))


PERSONS = tokens.user_namespace("production")


@pytest.mark.usefixtures("browser")
def test_a_person_logs_in_once(
    auth: ScriptedAuth, hosted: ScriptedService, capsys: pytest.CaptureFixture[str]
) -> None:
    hosted.on("GET /v2/endpoints", Reply(200, []))
    with Client(environment="production") as client:
        client.get_endpoints()
        assert repr(client.login_manager) == "<LoginManager production, person>"
    shown = capsys.readouterr().out
    assert "/v2/oauth2/authorize?" in shown
    assert "canary" not in shown
    assert tokens.load(PERSONS)["funcx_service"]["identity_id"] == PERSON
    with Client() as client:  # a login is present: the hosted service is meant, and nobody is asked again
        client.get_endpoints()
    assert [seen.headers["authorization"] for seen in hosted.requests("GET /v2/endpoints")] == [
        f"Bearer {CANARY}-1"
    ] * 2


@pytest.mark.usefixtures("browser")
def test_a_persons_token_is_renewed_without_asking(auth: ScriptedAuth, hosted: ScriptedService) -> None:
    hosted.on("GET /v2/endpoints", Reply(200, []))
    Client(environment="production").close()
    stored = tokens.load(PERSONS)
    stored["funcx_service"]["expires_at_seconds"] = int(time.time()) - 1
    tokens.store(PERSONS, stored)
    with Client() as client:
        client.get_endpoints()
        hosted.on("GET /v2/endpoints", Reply(401), Reply(200, []))
        client.get_endpoints()
    used = [seen.headers["authorization"] for seen in hosted.requests("GET /v2/endpoints")]
    assert used == [f"Bearer {CANARY}-3", f"Bearer {CANARY}-3", f"Bearer {CANARY}-4"]
    assert tokens.load(PERSONS)["funcx_service"]["access_token"] == f"{CANARY}-4"


def test_a_wrong_code_is_told(auth: ScriptedAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("wrong\n"))
    with pytest.raises(NotAuthorized, match="Globus Auth refused the login: 401"):
        Client(environment="production")
    assert tokens.load(PERSONS) == {}


def test_it_serves_clients(auth: ScriptedAuth, client_credentials: None) -> None:
    manager = LoginManager()
    assert isinstance(manager.get_auth_client(), globus_sdk.AuthClient)
    assert (
        manager.get_web_client(base_url="https://compute.example.org").base_url
        == "https://compute.example.org"
    )
    assert repr(manager) == "<LoginManager production, client>"


def test_an_app_of_ones_own_is_used(auth: ScriptedAuth, hosted: ScriptedService) -> None:
    config = globus_sdk.GlobusAppConfig(token_storage="memory")
    app = globus_sdk.ClientApp("mine", client_id=CLIENT_ID, client_secret=SECRET, config=config)
    hosted.on("GET /v2/endpoints", Reply(200, []))
    with Client(app=app) as client:
        client.get_endpoints()
        assert client.logout() is True
    assert CANARY in hosted.seen[0].headers["authorization"]
    assert not tokens.token_path().exists()


def test_nothing_secret_is_shown_anywhere(
    auth: ScriptedAuth,
    client_credentials: None,
    hosted: ScriptedService,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Logs at their most talkative, reprs, messages, tracebacks: no token, no secret."""
    caplog.set_level(logging.DEBUG)
    hosted.on("GET /v2/endpoints", Reply(401), Reply(500), Reply(404, {"reason": "gone"}))
    shown = []
    with Client() as client:
        shown += [
            *reprs(client),
        ]
        for _ in range(2):
            try:
                client.get_endpoints()
            except Exception as error:
                shown += [
                    "".join(traceback.format_exception(error)),
                    repr(error),
                    json.dumps(str(vars(error))),
                ]
    out, err = capfd.readouterr()
    everything = "\n".join([*shown, caplog.text, out, err])
    assert "canary" not in everything
    assert "gone" in everything
