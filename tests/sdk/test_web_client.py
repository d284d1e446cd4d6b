"""The globus_sdk client: whose authorisation it carries, and how it asks for another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import globus_sdk
import pytest
from globus_sdk.scopes import ComputeScopes

from compute_executor.sdk.web_client import USER_AGENT, WebClient
from tests.sdk.conftest import CANARY

URL = "http://127.0.0.1:9"


class App:
    """As much of a GlobusApp as is used."""

    def __init__(self) -> None:
        self.logins: list[Any] = []

    def get_authorizer(self, resource_server: str) -> Any:
        assert resource_server == ComputeScopes.resource_server
        return globus_sdk.AccessTokenAuthorizer("of the app")

    def login(self, *, auth_params: Any) -> None:
        self.logins.append(auth_params)


@pytest.fixture
def client() -> WebClient:
    return WebClient(base_url=URL, authorizer=globus_sdk.AccessTokenAuthorizer(CANARY))


def test_it_says_who_it_is_and_not_its_token(client: WebClient) -> None:
    assert client.app_name == USER_AGENT
    assert repr(client).startswith(f"<WebClient {URL}")
    assert CANARY not in repr(client)


def test_the_authorisation_is_its_authorizers(client: WebClient) -> None:
    assert client.authorization() == f"Bearer {CANARY}"
    assert WebClient(base_url=URL).authorization() is None
    assert client.default_scope_requirements == [ComputeScopes.all]


def test_with_an_app_it_is_that_ones(client: WebClient) -> None:
    app = App()
    client._app = cast(Any, app)
    assert client.authorization() == "Bearer of the app"
    client.authenticate_again(cast(Any, SimpleNamespace(authorization_parameters="as demanded")))
    assert app.logins == ["as demanded"]


def test_without_an_app_nobody_is_asked(client: WebClient) -> None:
    client.authenticate_again(cast(Any, SimpleNamespace(authorization_parameters="as demanded")))
    assert client.authorization() == f"Bearer {CANARY}"
