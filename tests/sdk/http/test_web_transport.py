"""Through globus_sdk: what is sent, what comes of trouble, and that nothing is sent twice behind our back."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import globus_sdk
import pytest

from compute_executor.errors import NoAnswer, NotAuthorized, RequestNotSent, ServiceUnavailable
from compute_executor.sdk.http.transport import JSON, Request
from compute_executor.sdk.http.web_transport import WebTransport
from compute_executor.sdk.web_client import WebClient
from tests.sdk.conftest import CANARY, Reply, ScriptedService
from tests.sdk.http.test_direct import self_signed

MSGPACK = "application/msgpack"


def transport_to(url: str) -> WebTransport:
    authorizer = globus_sdk.AccessTokenAuthorizer(CANARY)
    return WebTransport(url, lambda: WebClient(base_url=url, authorizer=authorizer))


def test_a_request_carries_token_headers_query_and_raw_body(service: ScriptedService) -> None:
    service.on("POST /v2/x", Reply(200, body=b"\x93\x01", headers={"Content-Type": MSGPACK}))
    transport = transport_to(service.url + "/")
    call = Request("POST", "/v2/x", b"\x00\xff", MSGPACK, MSGPACK, {"a": "b"}, {"Idempotency-Key": "k"})
    answer = transport.send(call)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"\x93\x01", MSGPACK)
    seen = service.seen[0]
    assert (seen.path, seen.body) == ("/v2/x?a=b", b"\x00\xff")
    expected = {
        "authorization": f"Bearer {CANARY}",
        "content-type": MSGPACK,
        "accept": MSGPACK,
        "idempotency-key": "k",
    }
    assert {key: seen.headers[key] for key in expected} == expected
    transport.close()


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_a_refusal_is_an_answer_and_is_not_repeated_here(service: ScriptedService, status: int) -> None:
    service.on("GET /x", Reply(status, {"reason": "no"}, {"Retry-After": "9"}))
    transport = transport_to(service.url)
    answer = transport.send(Request("GET", "/x"))
    assert (answer.status, answer.document(), answer.headers["retry-after"]) == (
        status,
        {"reason": "no"},
        "9",
    )
    assert len(service.seen) == 1
    transport.close()


def test_redirects_are_not_followed_with_a_token(service: ScriptedService) -> None:
    service.on("GET /x", Reply(302, headers={"Location": "http://evil.example/"}))
    transport = transport_to(service.url)
    assert not transport.send(Request("GET", "/x")).ok
    transport.close()


def test_hanging_up_is_no_answer_and_is_not_repeated_here(service: ScriptedService) -> None:
    service.on("POST /x", Reply(hang_up=True))
    transport = transport_to(service.url)
    with pytest.raises(NoAnswer):
        transport.send(Request("POST", "/x", b"{}"))
    assert len(service.seen) == 1
    transport.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
def test_no_connection_is_not_sent(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(RequestNotSent):
        transport_to(f"http://{host}:{port}").send(Request("GET", "/x"))


class Refusing:
    """An authorizer that cannot get a token."""

    def __init__(self, error: Callable[[], Any]) -> None:
        self.error = error

    def get_authorization_header(self) -> str:
        self.error()
        raise AssertionError

    def handle_missing_authorization(self) -> bool:
        return False


def unusable() -> None:
    raise globus_sdk.GlobusSDKUsageError("no refresh token")


def unknown_to(url: str) -> None:
    with globus_sdk.ConfidentialAppAuthClient("id", "canary", base_url=url) as login:
        login.retry_config.max_retries = 0
        globus_sdk.ClientCredentialsAuthorizer(login, "scope")


def test_a_login_that_gives_no_token_is_told_from_the_service(service: ScriptedService) -> None:
    service.on("POST /v2/oauth2/token", Reply(401, {"error": "invalid_client"}))
    expected: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (unusable, NotAuthorized, "no refresh token"),
        (lambda: unknown_to(service.url), NotAuthorized, "no token for this login: 401 invalid_client"),
        (lambda: unknown_to("http://127.0.0.1:1"), RequestNotSent, "Globus Auth cannot be reached"),
    ]
    for trouble, kind, text in expected:
        authorizer: Any = Refusing(trouble)
        transport = WebTransport(service.url, partial(WebClient, base_url=service.url, authorizer=authorizer))
        for attempt in (lambda: transport.send(Request("GET", "/x")), transport.authorization):  # noqa: B023
            with pytest.raises(kind, match=text) as caught:
                attempt()
            assert "canary" not in str(caught.value)
    assert service.requests("GET /x") == []


class Anybodys:
    """A web client that somebody brought: nothing but a request method."""

    def __init__(self, base_url: str) -> None:
        self.client = WebClient(base_url=base_url)
        self.paths: list[str] = []

    def request(self, method: str, path: str, **options: Any) -> Any:
        self.paths.append(path)
        return self.client.request(method, path, **options)


def test_any_web_client_will_do(service: ScriptedService) -> None:
    service.on("GET /x", Reply(200, 1))
    brought = Anybodys(service.url)
    transport = WebTransport(service.url, lambda: brought)
    assert transport.send(Request("GET", "/x")).document() == 1
    assert brought.paths == ["/x"]
    assert transport.authorization() is None
    transport.close()
    brought.client.close()


def test_the_address_and_the_header_for_streams() -> None:
    transport = transport_to("http://127.0.0.1:1/")
    assert transport.address() == "http://127.0.0.1:1"
    assert transport.authorization() == f"Bearer {CANARY}"
    assert CANARY not in repr(transport) + repr(transport._client)
    transport.renew()
    WebTransport("http://127.0.0.1:1", lambda: None).close()


def test_a_web_client_is_made_once_and_without_repetitions() -> None:
    made = []

    def make() -> WebClient:
        made.append(
            WebClient(base_url="http://127.0.0.1:1", authorizer=globus_sdk.AccessTokenAuthorizer("x"))
        )
        return made[-1]

    transport = WebTransport("http://127.0.0.1:1", make)
    transport.authorization()
    transport.authorization()
    assert [client.retry_config.max_retries for client in made] == [0]
    transport.close()


def test_the_content_type_is_only_there_with_a_body() -> None:
    assert Request("GET", "/x").all_headers() == {"Accept": JSON}


def test_globus_sdk_is_imported_when_a_login_needs_it() -> None:
    code = "import sys, compute_executor.sdk.client as c; c.Client(); sys.exit('globus_sdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- a certificate that nobody vouches for --------------------------------------------------------------------


def secured(service: ScriptedService, folder: Path) -> tuple[str, Path]:
    """The service speaks TLS; its URL, and its certificate."""
    certificate, key = self_signed(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    service.server.socket = context.wrap_socket(service.server.socket, server_side=True)
    return service.url.replace("http://127.0.0.1", "https://localhost"), certificate


ADVICE = r"does not hold \(self.signed certificate\)\. .*GLOBUS_SDK_VERIFY_SSL"


def test_a_certificate_that_does_not_hold_is_told_at_once(
    service: ScriptedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, certificate = secured(service, tmp_path)
    with pytest.raises(ServiceUnavailable, match=f"certificate of {url} {ADVICE}") as caught:
        transport_to(url).send(Request("GET", "/x"))
    assert type(caught.value) is ServiceUnavailable  # others are tried again
    assert service.seen == []
    monkeypatch.setenv("GLOBUS_SDK_VERIFY_SSL", str(certificate))
    service.on("GET /x", Reply(200, "securely"))
    assert transport_to(url).send(Request("GET", "/x")).document() == "securely"


def test_so_is_that_of_whoever_gives_tokens(service: ScriptedService, tmp_path: Path) -> None:
    url, _ = secured(service, tmp_path)
    login = globus_sdk.ConfidentialAppAuthClient("id", "secret", base_url=url)
    login.retry_config.max_retries = 0
    authorizer = partial(globus_sdk.ClientCredentialsAuthorizer, login, "all")
    transport = WebTransport(url, lambda: WebClient(base_url=url, authorizer=authorizer()))
    with pytest.raises(ServiceUnavailable, match=f"the server that gives tokens {ADVICE}") as caught:
        transport.send(Request("GET", "/x"))
    assert type(caught.value) is ServiceUnavailable
    assert service.seen == []
