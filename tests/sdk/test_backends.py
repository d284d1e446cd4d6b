"""Which service a Client means and whose login, by what it is given and what it finds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import globus_sdk
import pytest

from compute_executor import Client
from compute_executor.errors import InvalidRequest, NotAuthorized
from compute_executor.local.embedded import ServiceAddress
from compute_executor.peer import ClientLocator
from compute_executor.sdk import backends
from compute_executor.sdk.backends import BackendChoice
from compute_executor.sdk.http.direct import DirectTransport, ServerAddress
from compute_executor.sdk.login_manager import LoginManager, environments, tokens
from compute_executor.sdk.web_client import WebClient
from tests.sdk.conftest import CANARY, CLIENT_ID, SECRET, Reply, ScriptedAuth, ScriptedService, Seen

OWN_VERSION = Reply(200, {"compute_executor": "0.1.0"})


class Brought:
    """A login manager that somebody brought, as the guide's."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.logged_in = 0

    def ensure_logged_in(self) -> bool:
        self.logged_in += 1
        return True

    def logout(self) -> bool:
        return True

    def get_auth_client(self) -> globus_sdk.AuthClient:
        return globus_sdk.AuthClient()

    def get_web_client(self, *, base_url: str) -> WebClient:
        self.asked.append(base_url)
        return WebClient(base_url=base_url, authorizer=globus_sdk.AccessTokenAuthorizer(CANARY))


def test_nothing_given_and_nothing_found_is_the_embedded_service(monkeypatch: pytest.MonkeyPatch) -> None:
    address = ServiceAddress("http://127.0.0.1:1", "token", "instance")
    monkeypatch.setattr("compute_executor.local.embedded.find_or_start", lambda: address)
    backend = backends.choose(BackendChoice())
    assert isinstance(backend.transport, DirectTransport)
    assert (backend.own, backend.transport.address(), backend.transport.authorization()) == (
        True,
        address.url,
        "Bearer token",
    )


def test_nothing_is_started_before_the_first_request(state_home: Path) -> None:
    Client().close()
    assert list(state_home.iterdir()) == []


def test_a_login_manager_makes_every_request(service: ScriptedService) -> None:
    manager = Brought()
    service.on("GET /v2/version", OWN_VERSION)
    service.on("GET /v2/endpoints", Reply(200, []))
    with Client(login_manager=manager, base_url=service.url) as client:
        assert manager.logged_in == 1
        client.get_endpoints()
        assert client.is_own_service()
        assert client.authorization() == f"Bearer {CANARY}"
        assert client.logout() is True
    assert manager.asked == [service.url]
    assert {seen.headers["authorization"] for seen in service.seen} == {f"Bearer {CANARY}"}


def test_a_login_manager_alone_is_for_globus_compute() -> None:
    backend = backends.choose(BackendChoice(login_manager=Brought()))
    assert backend.transport.address() == environments.URLS["production"]
    assert backend.own is False
    backend = backends.choose(BackendChoice(login_manager=Brought(), environment="preview"))
    assert backend.transport.address() == environments.URLS["preview"]


def test_what_is_no_login_manager_is_refused() -> None:
    wrong: Any = object()
    with pytest.raises(InvalidRequest, match="LoginManagerProtocol"):
        Client(login_manager=wrong)


def test_an_authorizer(service: ScriptedService) -> None:
    service.on("GET /v2/endpoints", Reply(200, []))
    authorizer = globus_sdk.AccessTokenAuthorizer(CANARY)
    with Client(authorizer=authorizer, base_url=service.url) as client:
        client.get_endpoints()
        assert client.logout() is False
    assert service.seen[0].headers["authorization"] == f"Bearer {CANARY}"


def test_a_url_alone_has_no_token(service: ScriptedService) -> None:
    service.on("GET /v2/endpoints", Reply(200, []))
    with Client(base_url=service.url) as client:
        client.get_endpoints()
    assert "authorization" not in service.seen[0].headers


def test_the_embedded_services_url_has_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    address = ServiceAddress("http://127.0.0.1:1", "token", "instance")
    monkeypatch.setattr("compute_executor.local.embedded.find", lambda: address)
    assert (
        backends.choose(BackendChoice(base_url=f"{address.url}/")).transport.authorization() == "Bearer token"
    )
    assert backends.choose(BackendChoice(base_url="http://127.0.0.1:2")).transport.authorization() is None


def test_client_credentials_are_for_the_service_that_is_named(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service of our own answers the token route itself."""
    own = ScriptedAuth(CLIENT_ID, SECRET)
    try:
        own.on("GET /v2/endpoints", Reply(200, []))
        monkeypatch.setenv("GLOBUS_COMPUTE_CLIENT_ID", CLIENT_ID)
        monkeypatch.setenv("GLOBUS_COMPUTE_CLIENT_SECRET", SECRET)
        with Client(base_url=own.url) as client:
            client.get_endpoints()
        assert own.requests("GET /v2/endpoints")[0].headers["authorization"] == f"Bearer {CANARY}-1"
    finally:
        own.close()


def test_half_a_pair_of_credentials_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNCX_SDK_CLIENT_ID", CLIENT_ID)
    with pytest.raises(ValueError, match="FUNCX_SDK_CLIENT_SECRET"):
        Client()


@pytest.mark.usefixtures("client_credentials")
def test_credentials_ask_for_the_hosted_service(hosted: ScriptedService) -> None:
    with Client() as client:
        assert (client.address(), client.is_own_service()) == (hosted.url, False)


@pytest.mark.usefixtures("client_credentials")
def test_credentials_win_over_a_persons_login(auth: ScriptedAuth, hosted: ScriptedService) -> None:
    tokens.store(tokens.user_namespace("production"), {"funcx_service": {"access_token": "a person's"}})
    with Client() as client:
        assert CANARY in str(client.authorization())


def test_a_persons_login_asks_for_the_hosted_service(auth: ScriptedAuth, hosted: ScriptedService) -> None:
    """Tokens of a login that still hold: nobody is asked anything."""
    stored = {
        name: {
            "resource_server": name,
            "identity_id": None,
            "scope": scope,
            "access_token": "of-a-person",
            "refresh_token": "r",
            "expires_at_seconds": 4102444800,
            "token_type": "Bearer",
        }
        for name, scope in (
            ("funcx_service", environments.SCOPE),
            ("auth.globus.org", "openid email profile"),
        )
    }
    tokens.store(tokens.user_namespace("production"), stored)
    with Client() as client:
        assert client.hosted
        assert client.authorization() == "Bearer of-a-person"


@pytest.mark.usefixtures("client_credentials")
@pytest.mark.parametrize("variable", environments.ENVIRONMENT_VARIABLES)
def test_an_environment_is_named_by_variable(
    auth: ScriptedAuth, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "preview")
    with Client() as client:
        assert client.address() == environments.URLS["preview"]


@pytest.mark.usefixtures("client_credentials")
def test_local_compute_services_are_on_port_5000(auth: ScriptedAuth) -> None:
    with Client(local_compute_services=True) as client:
        assert client.address() == "http://localhost:5000"


@pytest.mark.usefixtures("client_credentials")
def test_a_url_of_globus_compute_takes_its_login(hosted: ScriptedService) -> None:
    with Client(base_url=hosted.url) as client:
        assert CANARY in str(client.authorization())
        assert not client.is_own_service()


@pytest.mark.parametrize(
    "given",
    [
        {"token": "t", "authorizer": object(), "base_url": "http://127.0.0.1"},
        {"login_manager": Brought(), "app": object()},
        {"token": "t"},
        {"base_url": "http://127.0.0.1", "environment": "production"},
        {"environment": "nowhere", "login_manager": Brought()},
        {"base_url": "ftp://x"},
        {"base_url": "http://example.org", "token": CANARY},
        {"base_url": "http://example.org", "authorizer": globus_sdk.AccessTokenAuthorizer(CANARY)},
    ],
)
def test_what_excludes_each_other_or_is_unsafe_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Client(**given)
    assert CANARY not in str(caught.value)


def test_a_service_that_is_restarted_elsewhere_is_found(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = iter([ServerAddress("http://127.0.0.1:1", "gone"), ServerAddress(service.url, "new")])
    monkeypatch.setattr(backends, "embedded_address", lambda: next(places))
    service.on("GET /v2/endpoints", Reply(200, []))
    with Client() as client:
        assert client.get_endpoints() == []
    assert service.seen[0].headers["authorization"] == "Bearer new"


def test_authorizers_by_a_real_token_server(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confidential client's authorizer of globus_sdk, with fauxbus as Globus Auth."""
    server_module = pytest.importorskip("fauxbus.server")
    world_module = pytest.importorskip("fauxbus.world")
    import threading

    world = world_module.World()
    world.load({"clients": {CLIENT_ID: {"secret": SECRET, "name": "sweeper"}}})
    server = server_module.make_server(port=0, world=world, require_issued_tokens=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        login = globus_sdk.ConfidentialAppAuthClient(
            CLIENT_ID, SECRET, base_url=f"http://127.0.0.1:{server.server_port}"
        )
        authorizer = globus_sdk.ClientCredentialsAuthorizer(login, Client.FUNCX_SCOPE)
        service.on("GET /v2/endpoints", Reply(401, {"reason": "expired"}), Reply(200, []))
        with Client(authorizer=authorizer, base_url=service.url) as client:
            assert client.get_endpoints() == []
        used = [seen.headers["authorization"].removeprefix("Bearer ") for seen in service.seen]
        assert len(set(used)) == 2
        assert set(used) <= set(world.tokens)
        login.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_state_home_is_left_alone_by_logins_that_are_brought(state_home: Path) -> None:
    Client(login_manager=Brought()).close()
    assert os.listdir(state_home) == []


def test_a_token_file_that_others_can_read_stops_the_client() -> None:
    tokens.store(tokens.user_namespace("production"), {"funcx_service": {}})
    tokens.token_path().chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        Client()
    json.loads(tokens.token_path().read_text())


def test_force_login_makes_an_own_service_find_out_anew(service: ScriptedService) -> None:
    service.on("GET /v2/version", OWN_VERSION)
    with Client(base_url=service.url, token=CANARY) as client:
        assert service.seen == []
        assert client.is_own_service()
    with Client(base_url=service.url, token=CANARY, force_login=True) as client:
        assert len(service.seen) == 2  # at once, because an Executor's first word is no request
        assert client.is_own_service()
    assert [seen.headers.get("cache-control") for seen in service.seen] == [None, "no-cache"]


def test_force_login_logs_in_again_by_what_was_given(auth: ScriptedAuth, hosted: ScriptedService) -> None:
    def app() -> globus_sdk.ClientApp:
        config = globus_sdk.GlobusAppConfig(token_storage="memory")
        return globus_sdk.ClientApp("mine", client_id=CLIENT_ID, client_secret=SECRET, config=config)

    hosted.on("GET /v2/endpoints", Reply(200, []))
    mine = app()
    for force in (False, False, True):
        with Client(app=mine, force_login=force) as client:
            client.get_endpoints()
    first, second, third = (seen.headers["authorization"] for seen in hosted.requests("GET /v2/endpoints"))
    assert first == second != third

    manager = LoginManager(app=app())
    for force in (False, False, True):
        with Client(login_manager=manager, force_login=force) as client:
            client.get_endpoints()
    *_, first, second, third = (
        seen.headers["authorization"] for seen in hosted.requests("GET /v2/endpoints")
    )
    assert first == second != third


def test_a_login_manager_that_cannot_be_forced_is_asked_as_ever(service: ScriptedService) -> None:
    service.on("GET /v2/version", OWN_VERSION)
    manager = Brought()
    Client(login_manager=manager, base_url=service.url, force_login=True).close()
    assert manager.logged_in == 1


def test_an_executors_login_is_renewed_by_a_request(
    client_credentials: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service of ours that has forgotten the tokens which it gave: the stream cannot be had, a request can."""
    own = ScriptedAuth(CLIENT_ID, SECRET)
    try:
        known = {"Bearer nothing"}

        def version(seen: Seen) -> Reply:
            return OWN_VERSION if seen.headers.get("authorization") in known else Reply(401)

        own.on("GET /v2/version", version)
        with Client(base_url=own.url) as client:
            asked: list[str] = []

            def stream(_: str, authorization: str) -> str:
                asked.append(authorization)
                known.add(f"Bearer {CANARY}-2")
                if authorization not in known:
                    raise NotAuthorized("who are you?")
                return "open"

            assert ClientLocator(client).api().connect(stream) == "open"
            assert asked == [f"Bearer {CANARY}-1", f"Bearer {CANARY}-2"]
    finally:
        own.close()
