"""What a command says of a service that does not answer, or not as ours do."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compute_executor.cli.chosen_service import ChosenService, choose
from compute_executor.cli.endpoint_registration import chosen_by
from compute_executor.endpoint.settings import EndpointSettings
from compute_executor.errors import ComputeError, InvalidRequest, NotAuthorized, ServiceUnavailable
from tests.sdk.conftest import Reply, ScriptedService
from tests.sdk.http.test_direct import self_signed

PATH = "/v3/agents"


@pytest.fixture
def scripted() -> Iterator[ScriptedService]:
    made = ScriptedService()
    yield made
    made.close()


def said(url: str, token: str = "secret", certificate: Path | None = None) -> tuple[type[ComputeError], str]:
    """What a question ends with."""
    with pytest.raises(ComputeError) as caught:
        ChosenService(url, token, None if certificate is None else str(certificate)).ask("GET", PATH)
    assert "secret" not in str(caught.value)
    return type(caught.value), caught.value.message


@pytest.mark.parametrize(
    "reply",
    [
        Reply(404, body=b"<html>not found</html>", headers={"Content-Type": "text/html"}),
        Reply(200, body=b""),
        Reply(200, document=[1]),
        Reply(200, body=b"\xff\xfe"),
    ],
)
def test_a_server_that_is_none_of_ours(scripted: ScriptedService, reply: Reply) -> None:
    scripted.on(f"GET {PATH}", reply)
    kind, words = said(scripted.url)
    assert kind is ServiceUnavailable
    assert f"what listens at {scripted.url} is no service of compute-executor" in words
    assert f"{reply.status} " in words


@contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """The port of a server that does this with its one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_a_server_that_does_not_speak_http() -> None:
    with answering(lambda wire: (wire.recv(9999), wire.sendall(b"SSH-2.0-OpenSSH_9\r\n"))) as port:
        kind, words = said(f"http://127.0.0.1:{port}")
    assert (kind, "no service of compute-executor: it answers 'SSH-2.0" in words) == (
        ServiceUnavailable,
        True,
    )


def test_the_token_is_not_known(scripted: ScriptedService) -> None:
    refusal = {"name": "NotAuthorized", "reason": "a valid bearer token is needed"}
    scripted.on(f"GET {PATH}", Reply(401, refusal, {"WWW-Authenticate": "Bearer"}), Reply(401, refusal))
    kind, words = said(scripted.url)
    assert kind is NotAuthorized
    assert f"the service at {scripted.url} does not know the token" in words
    assert "compute-executor token new" in words
    assert said(scripted.url)[1] == "a valid bearer token is needed", "it knows who asks"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:abc", "http://127.0.0.1:99999", "http://a b", "ftp://x", "x:1"]
)
def test_an_address_that_is_none(url: str) -> None:
    kind, words = said(url)
    assert (kind, repr(url) in words) == (InvalidRequest, True)


@pytest.mark.parametrize("token", ["se cret\nmore", "\N{SNOWMAN}"])
def test_a_token_that_no_header_may_have(token: str) -> None:
    kind, words = said("http://127.0.0.1:1", token)
    assert (kind, "the token" in words) == (InvalidRequest, True)


# -- TLS --------------------------------------------------------------------------------------------------


def speak_tls(service: ScriptedService, certificate: Path, key: Path) -> str:
    """Let it speak TLS from now on; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    service.server.socket = context.wrap_socket(service.server.socket, server_side=True)
    return f"https://localhost:{service.server.server_port}"


@pytest.mark.parametrize(
    ("days", "named", "words"),
    [
        ((-1, 1), False, "SSL_CERT_FILE"),
        ((-9, -2), True, "expired. Whoever runs the service has to renew it"),
        ((2, 9), True, "not yet valid. Whoever runs the service has to renew it"),
    ],
)
def test_a_certificate_that_does_not_hold(
    scripted: ScriptedService, tmp_path: Path, days: tuple[int, int], *, named: bool, words: str
) -> None:
    certificate, key = self_signed(tmp_path, days)
    url = speak_tls(scripted, certificate, key)
    kind, told = said(url, certificate=certificate if named else None)
    assert (kind, words in told) == (ServiceUnavailable, True), told


def test_a_certificate_for_another_name(scripted: ScriptedService, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    url = speak_tls(scripted, certificate, key).replace("localhost", "127.0.0.1")
    assert "Use an address that the certificate names" in said(url, certificate=certificate)[1]


def test_a_file_without_a_certificate(tmp_path: Path) -> None:
    _, key = self_signed(tmp_path)
    for wrong in (key, tmp_path / "absent"):
        kind, words = said("https://127.0.0.1:1", certificate=wrong)
        assert (kind, f"{wrong} cannot be used" in words) == (InvalidRequest, True)


def test_tls_where_there_is_none(scripted: ScriptedService) -> None:
    assert "its address begins with http://" in said(scripted.url.replace("http:", "https:"))[1]


def test_no_tls_where_it_is_spoken() -> None:
    with answering(lambda wire: wire.recv(9999)) as port:  # then it hangs up, as TLS servers do
        assert "its address begins with https://" in said(f"http://127.0.0.1:{port}")[1]


def test_the_certificate_of_an_endpoint_is_used_by_all_commands_about_it(
    scripted: ScriptedService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by its start alone."""
    certificate, key = self_signed(tmp_path)
    url = speak_tls(scripted, certificate, key)
    scripted.on(f"GET {PATH}", Reply(200, {"endpoints": []}))
    monkeypatch.setenv("COMPUTE_EXECUTOR_TOKEN", "secret")
    service = chosen_by(EndpointSettings(url=url, certificate=str(certificate)))
    assert service is not None
    assert service.ask("GET", PATH) == {"endpoints": []}


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://lab.example.org:8000", True),
        ("https://lab.example.org", False),
        ("http://localhost:8000", False),
        ("http://127.0.0.1:8000", False),
    ],
)
def test_a_token_that_others_can_read_on_its_way_is_told_of(
    url: str, warned: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_TOKEN", "secret")
    assert choose(None, None, url) == ChosenService(url, "secret")
    told = capsys.readouterr().err
    assert ("anyone on the way can read the token" in told) is warned
    assert "secret" not in told
