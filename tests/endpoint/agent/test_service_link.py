"""The connection of an endpoint, to services that are none."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from compute_executor.endpoint.agent import service_link
from compute_executor.endpoint.agent.service_link import OpenLink, ServiceLink, ServicePlace
from compute_executor.endpoint.leases import frames
from compute_executor.endpoint.leases.hello import hello_of
from compute_executor.endpoint.leases.holder import LeaseHolder
from compute_executor.errors import ComputeError, NotAuthorized, VersionMismatch
from compute_executor.local.state import state_folder
from compute_executor.protocol.frames import Blob
from tests.sdk.http.test_direct import self_signed

TIMES = 4
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


async def tried(answer: bytes, blobs: Path) -> tuple[int, ServiceLink]:
    """How often an endpoint connects to something that says this and closes, until it has done so `TIMES` times."""
    connections = 0
    enough = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if answer:
            await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        if connections == TIMES:
            enough.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    place = ServicePlace(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    nothing: Any = lambda *_: None  # noqa: E731
    link = ServiceLink(
        locate=lambda: place,
        token="token",
        hello=lambda: hello_of("0" * 32, 1, "host", "process", join=False, replace=False),
        holder=cast(LeaseHolder, SimpleNamespace(connected=nothing, disconnected=nothing)),
        blobs=blobs,
        state=dict,
        first=nothing,
        lost=nothing,
        told_to_end=nothing,
    )
    running = asyncio.ensure_future(link.run())
    waiting = asyncio.ensure_future(enough.wait())
    try:
        await asyncio.wait([running, waiting], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for one in (running, waiting):
            one.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
        server.close()
        await server.wait_closed()
    return connections, link


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\xff\xff",
    ],
)
def test_a_connection_that_ends_at_once_does_not_end_the_endpoint(
    answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_link, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(service_link, "NEARBY_PAUSE", 0.01)
    connections, link = asyncio.run(tried(answer, tmp_path))
    assert connections >= TIMES
    assert link.trouble
    assert not link.connected


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (REFUSED, NotAuthorized),
        (REFUSED.replace(b"401 Unauthorized", b"404 Not Found"), VersionMismatch),
    ],
)
def test_an_answer_that_stays_ends_it(answer: bytes, error: type[ComputeError], tmp_path: Path) -> None:
    with pytest.raises(error):
        asyncio.run(tried(answer, tmp_path))


def test_an_error_of_its_own_is_logged_and_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service_link, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(service_link, "NEARBY_PAUSE", 0.01)
    seen = 0

    async def once(_: ServiceLink) -> None:
        nonlocal seen
        seen += 1
        if seen == TIMES:
            raise NotAuthorized("enough")
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(ServiceLink, "_once", once)
    with pytest.raises(NotAuthorized):
        asyncio.run(tried(b"", tmp_path))
    assert "nobody thought of this" in caplog.text


@pytest.mark.parametrize("whose", ["its own", "another"])
def test_a_pinned_certificate_is_trusted_whatever_host_it_names_and_no_other(
    whose: str, tmp_path: Path
) -> None:
    """`self_signed` names localhost; the connection is to 127.0.0.1."""

    async def connect(certificate: Path, key: Path, pinned: str) -> bytes:
        served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        served.load_cert_chain(certificate, key)

        async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"x")
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=served) as server:
            host, port = server.sockets[0].getsockname()
            place = ServicePlace(f"https://{host}:{port}", pinned=pinned)
            reader, writer = await asyncio.open_connection(host, port, ssl=place.tls())
            said = await reader.read(1)
            writer.close()
            return said

    (tmp_path / "other").mkdir()
    certificate, key = self_signed(tmp_path)
    pinned = certificate if whose == "its own" else self_signed(tmp_path / "other")[0]
    if whose == "its own":
        assert asyncio.run(connect(certificate, key, pinned.read_text())) == b"x"
    else:
        with pytest.raises(ssl.SSLCertVerificationError):
            asyncio.run(connect(certificate, key, pinned.read_text()))


@pytest.mark.parametrize(
    ("local", "durable", "there"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_results_are_put_into_the_folder_of_this_users_own_service(
    tmp_path: Path, local: bool, durable: bool, there: bool
) -> None:
    """Not into that of another one, which may be another machine's, nor past one that flushes them to the disk."""
    name, theirs = "0" * 32, state_folder() / "blobs"
    theirs.mkdir(parents=True)
    (tmp_path / name).write_bytes(b"result")
    welcome = frames.GrantorWelcome(frames.PROTOCOL, "1", 0.0, str(theirs), durable)
    OpenLink(tmp_path, welcome, 0.0, local=local).bodies.announce(Blob(name, 6))
    assert (theirs / name).exists() is there
