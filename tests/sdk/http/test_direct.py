"""The standard library's transport: connections kept, found again, never shared by accident; no token shown."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute_executor import Client
from compute_executor.errors import InvalidRequest, NoAnswer, RequestNotSent, ServiceUnavailable
from compute_executor.sdk.http import direct
from compute_executor.sdk.http.direct import DirectTransport, ServerAddress, fixed_place
from compute_executor.sdk.http.transport import Request
from tests.sdk.conftest import Reply, ScriptedService

CANARY = "canary-token-7b1f"
GET = Request("GET", "/x")
ONCE = Request("POST", "/x", body=b"{}", repeatable=False)


@pytest.fixture
def transport(service: ScriptedService) -> Iterator[DirectTransport]:
    service.on("GET /x", Reply(200, "hello"))
    service.on("POST /x", Reply(200, "made"))
    transport = DirectTransport(lambda: ServerAddress(service.url, CANARY))
    yield transport
    transport.close()


def test_a_request_carries_token_query_and_body(transport: DirectTransport, service: ScriptedService) -> None:
    transport.send(Request("GET", "/x", query={"role": "a b"}))
    transport.send(
        Request(
            "POST", "/x", body=b"raw", content_type="application/msgpack", headers={"Idempotency-Key": "k"}
        )
    )
    first, second = service.seen
    assert first.path == "/x?role=a+b"
    assert first.headers["authorization"] == f"Bearer {CANARY}"
    assert (second.body, second.headers["content-type"], second.headers["idempotency-key"]) == (
        b"raw",
        "application/msgpack",
        "k",
    )


def test_no_token_no_header(service: ScriptedService) -> None:
    service.on("GET /x", Reply())
    DirectTransport(lambda: ServerAddress(service.url, None)).send(GET)
    assert "authorization" not in service.seen[0].headers


def test_connections_are_used_again(transport: DirectTransport, service: ScriptedService) -> None:
    for _ in range(3):
        assert transport.send(GET).document() == "hello"
    assert len(transport._idle) == 1


def test_a_connection_that_was_closed_meanwhile_is_replaced(
    transport: DirectTransport, service: ScriptedService
) -> None:
    transport.send(GET)
    transport._idle[0].sock.shutdown(socket.SHUT_RDWR)
    assert transport.send(GET).document() == "hello"


def test_hanging_up_is_no_answer(transport: DirectTransport, service: ScriptedService) -> None:
    service.on("GET /x", Reply(hang_up=True))
    with pytest.raises(NoAnswer):
        transport.send(GET)


def test_what_must_not_be_repeated_takes_a_connection_of_its_own(
    transport: DirectTransport, service: ScriptedService
) -> None:
    transport.send(GET)
    service.on("POST /x", Reply(hang_up=True))
    with pytest.raises(NoAnswer):
        transport.send(ONCE)
    assert len(service.requests("POST /x")) == 1


def test_nobody_there_is_not_sent_and_asks_where_it_is_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    asked = []

    def locate() -> ServerAddress:
        asked.append(1)
        return ServerAddress(f"http://127.0.0.1:{port}", None)

    transport = DirectTransport(locate)
    for _ in range(2):
        with pytest.raises(RequestNotSent, match="Is the service running"):
            transport.send(GET)
    assert len(asked) == 2


def test_a_service_that_moved_is_found(service: ScriptedService) -> None:
    service.on("GET /x", Reply(200, "here"))
    places = iter([ServerAddress(service.url, "old"), ServerAddress(service.url, "new")])
    transport = DirectTransport(lambda: next(places))
    assert transport.authorization() == "Bearer old"
    transport.renew()
    assert transport.authorization() == "Bearer new"
    assert transport.address() == service.url


def test_a_refusal_before_all_was_sent_is_read(service: ScriptedService) -> None:
    """A server that answers 413 at once and closes: the body breaks off, the answer counts."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(1 << 20):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        transport = DirectTransport(
            lambda: ServerAddress(f"http://127.0.0.1:{server.getsockname()[1]}", None)
        )
        answer = transport.send(Request("POST", "/x", body=b"x" * 30_000_000))
        thread.join()
    assert answer.status == 413


def test_many_threads_do_not_share_a_connection(transport: DirectTransport, service: ScriptedService) -> None:
    service.on("GET /x", lambda seen: Reply(200, seen.path))
    found: list[str] = []

    def ask(number: int) -> None:
        for _ in range(20):
            found.append(transport.send(Request("GET", "/x", query={"n": str(number)})).document())

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"/x?n={number}" for number in range(5) for _ in range(20))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_opens_its_own(transport: DirectTransport, tmp_path: Path) -> None:
    transport.send(GET)
    inherited = transport._idle[0]
    child = os.fork()
    if child == 0:
        transport.send(GET)
        os._exit(0 if transport._idle[0] is not inherited else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert transport.send(GET).document() == "hello"


def test_the_token_is_in_no_repr(transport: DirectTransport) -> None:
    transport.send(GET)
    assert CANARY not in repr(transport) + repr(transport._place)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "ftp://host",
            "http://",
            "host:80",
            "http://u:p@host",
            "https://host/?q=1",
            "http://a b",
            "http://a\0b",
        ),
        *(
            "http://h:99999",
            "http://h:abc",
            "http://h:0",
            "http://h:-1",
            "http://[::1",
            "http://[zz]",
            "http://..",
        ),
        *(
            "http://h\n",
            "\nhttp://h",
            "http://h/a\nb",
            "http://h/a b",
            "http://h/\u00fc",
            "http://\ud800",
            "http:// ",
        ),
        *(f"http://{'a' * 70}.org", 5, b"http://h"),
    ],
)
def test_a_url_that_is_none_is_refused_when_it_is_given(url: str) -> None:
    with pytest.raises(InvalidRequest):
        fixed_place(url, None)
    with pytest.raises(InvalidRequest):
        Client(base_url=url)


@pytest.mark.parametrize(
    "url", ["http://[::1]:8000", "https://a.b-c.d/x/y", "http://localhost", "https://ü.example"]
)
def test_a_url_of_a_service_is_taken(url: str) -> None:
    assert fixed_place(url, None).url == url


@pytest.mark.parametrize("token", ["", "a b", "secret\n", "se\0cret", "sécret"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(InvalidRequest, match="the token for http://localhost") as caught:
        fixed_place("http://localhost", token)
    assert not token or token not in str(caught.value)


def test_a_token_goes_over_plain_http_only_on_this_machine() -> None:
    assert fixed_place("http://127.0.0.1:1/", CANARY).url == "http://127.0.0.1:1"
    assert fixed_place("https://example.org/api", CANARY).url == "https://example.org/api"
    assert fixed_place("http://example.org", CANARY, insecure=True).token == CANARY
    with pytest.raises(InvalidRequest, match="plain http") as caught:
        fixed_place("http://example.org", CANARY)
    assert CANARY not in str(caught.value)


def self_signed(folder: Path, days: tuple[int, int] = (-1, 1)) -> tuple[Path, Path]:
    """A certificate for localhost that nobody vouches for, valid between these days from now, and its key."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def secure(service: ScriptedService, tmp_path: Path) -> Path:
    """The service speaks TLS; the path of its certificate."""
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    service.server.socket = context.wrap_socket(service.server.socket, server_side=True)
    service.on("GET /x", Reply(200, "securely"))
    return certificate


def test_a_certificate_that_does_not_hold_is_told_and_no_token_is_sent(
    service: ScriptedService, secure: Path
) -> None:
    transport = DirectTransport(
        lambda: ServerAddress(service.url.replace("http://127.0.0.1", "https://localhost"), CANARY)
    )
    with pytest.raises(ServiceUnavailable, match="certificate of https://localhost") as caught:
        transport.send(GET)
    assert type(caught.value) is ServiceUnavailable
    assert service.seen == []


def test_a_certificate_that_holds(
    service: ScriptedService, secure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure))
    url = service.url.replace("http://127.0.0.1", "https://localhost")
    transport = DirectTransport(lambda: fixed_place(url, CANARY))
    assert transport.send(GET).document() == "securely"
    assert service.seen[0].headers["authorization"] == f"Bearer {CANARY}"
    transport.close()


def test_nonsense_instead_of_http_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"SSH-2.0-OpenSSH_9\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        transport = DirectTransport(
            lambda: ServerAddress(f"http://127.0.0.1:{server.getsockname()[1]}", None)
        )
        with pytest.raises(NoAnswer, match="no answer from"):
            transport.send(GET)
        thread.join()


def test_a_body_shorter_than_announced_ends_by_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
                over.wait(10)

        thread = threading.Thread(target=answer)
        thread.start()
        transport = DirectTransport(
            lambda: ServerAddress(f"http://127.0.0.1:{server.getsockname()[1]}", None)
        )
        with pytest.raises(NoAnswer, match="timed out"):
            transport.send(GET)
        over.set()
        thread.join()


def test_a_service_that_closes_after_each_answer(service: ScriptedService) -> None:
    service.on("GET /x", Reply(200, "bye", {"Connection": "close"}))
    transport = DirectTransport(lambda: ServerAddress(service.url, None))
    assert [transport.send(GET).document() for _ in range(2)] == ["bye", "bye"]
    assert len(transport._idle) == 0
