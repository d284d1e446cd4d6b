"""A login that is refused is renewed once, whatever was asked by it; and an Executor whose token dies midway."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from compute_executor import peer as module
from compute_executor.errors import ComputeError, NotAuthorized, ServiceUnavailable
from compute_executor.executor import Executor
from compute_executor.peer import EmbeddedLocator
from compute_executor.protocol.frames import INLINE_LIMIT, Blob
from compute_executor.protocol.ids import new_prefix
from compute_executor.sdk import ending
from compute_executor.sdk.http import direct
from compute_executor.sdk.http.direct import ServerAddress
from compute_executor.sdk.http.transport import Request
from compute_executor.serialization import native
from compute_executor.session.storage import Storage
from compute_executor.session.stream import http_fallback, loop, protocol
from compute_executor.session.stream.protocol import StreamProtocol
from tests.login import api_of
from tests.sdk.conftest import Reply, ScriptedService, Seen
from tests.service.server_fixture import Town, running

PATIENCE = 20.0
NAME = "0" * 32
LARGE = b"x" * (INLINE_LIMIT + 1)


class Tokens(EmbeddedLocator):
    """A locator with one token after the other, and no more when they are used up."""

    def __init__(self, url: str, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.renewals = 0
        self._api = api_of(lambda: ServerAddress(url, self.tokens[0]), self._renew)

    def _renew(self) -> None:
        self.renewals += 1
        if len(self.tokens) > 1:
            del self.tokens[0]


# -- all that is asked by it ----------------------------------------------------------------------------------


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    scripted = ScriptedService()
    yield scripted
    scripted.close()


def guarded(service: ScriptedService, route: str, answer: bytes = b"") -> None:
    def look(seen: Seen) -> Reply:
        right = seen.headers["authorization"] == "Bearer two"
        return Reply(200, body=answer) if right else Reply(401, NotAuthorized("who are you?").document())

    service.on(route, look)


def test_large_bodies_are_put_and_fetched_by_the_renewed_login(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute_executor.session.storage.secrets.token_hex", lambda _: NAME)
    guarded(service, f"PUT /v3/blobs/{NAME}")
    guarded(service, f"GET /v3/blobs/{NAME}", LARGE)
    peer = Tokens(service.url, "one", "two")
    storage = Storage(peer.api())
    blob = storage.store(LARGE, "it")
    assert isinstance(blob, Blob)
    assert storage.fetch(blob) == LARGE
    assert peer.renewals == 1
    assert [seen.headers["authorization"][7:] for seen in service.seen] == ["one", "two", "two"]
    with pytest.raises(NotAuthorized, match="who are you"):
        Storage(Tokens(service.url, "one", "three").api()).store(LARGE, "it")


def test_a_cancel_by_http_is_asked_by_the_renewed_login(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix, withdrawn = new_prefix(), []
    guarded(service, "POST /v3/tasks/cancel", msgspec.msgpack.encode([(prefix, [1])]))
    talk = StreamProtocol(b"g" * 16, None, None, lambda _: None)
    talk.reached(Tokens(service.url, "one", "two").api())
    monkeypatch.setattr(talk, "open_tasks", lambda _: [(prefix, [0, 1])])
    monkeypatch.setattr(talk, "withdrawn", lambda prefix, positions: withdrawn.append((prefix, positions)))
    http_fallback.withdraw(talk, None)
    assert withdrawn == [(prefix, [1])]


@pytest.mark.parametrize("route", ["functions", "taskgroup"])
def test_what_is_asked_beside_the_stream_is_asked_by_the_renewed_login(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    monkeypatch.setattr(module, "EmbeddedLocator", lambda: Tokens(service.url, "one", "two"))
    group = "00000000-0000-4000-8000-000000000001"
    guarded(service, "POST /v3/functions", msgspec.msgpack.encode(["registered", b"d" * 32, b"f" * 16, None]))
    guarded(service, f"GET /v2/taskgroup/{group}", b'{"tasks": []}')
    with Executor() as executor:
        with contextlib.suppress(ComputeError, msgspec.MsgspecError):
            executor.register_function(abs) if route == "functions" else executor.reload_tasks(group)
        asked = [seen.headers["authorization"][7:] for seen in service.seen if route in seen.path]
    assert asked == ["one", "two"]


# -- a token that dies midway ---------------------------------------------------------------------------------


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with running(tmp_path) as town:
        yield town


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's folder is on another machine: large bodies go by HTTP."""
    monkeypatch.setattr(protocol, "usable", lambda _: None)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens with which streams are asked for, which a proxy does not let through."""
    asked: list[str] = []

    def refuse(_: str, authorization: str) -> Any:
        asked.append(authorization.removeprefix("Bearer "))
        raise ServiceUnavailable("a proxy does not like WebSockets")

    monkeypatch.setattr(loop, "connect", refuse)
    monkeypatch.setattr("compute_executor.session.reconnect.POLL_PAUSE", 0.02)
    return asked


def executor_of(peer: Tokens, monkeypatch: pytest.MonkeyPatch) -> Executor:
    """Whose futures have their own arguments for a value."""
    reading = ending.Reading(native.loads_call, ending.exception_of)
    monkeypatch.setattr("compute_executor.session.stream.loop.reading_of", lambda _: reading)
    monkeypatch.setattr(module, "EmbeddedLocator", lambda: peer)
    return Executor(max_workers=1)


def test_large_bodies_go_on_when_the_token_is_another(
    town: Town, elsewhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream that the old token opened is closed, and the side requests do not wait for the next."""
    (first, first_id), (second, _) = town.token(), town.token()
    peer = Tokens(town.url, first, second)
    with executor_of(peer, monkeypatch) as executor:
        assert executor.submit(len, b"a").result(PATIENCE) == ((b"a",), {})
        town.revoke(first_id)
        assert executor.submit(len, LARGE).result(PATIENCE) == ((LARGE,), {})
        assert executor.submit(len, b"b").result(PATIENCE) == ((b"b",), {})
    assert (peer.renewals, peer.tokens) == (1, [second])


def test_polling_goes_on_when_the_token_is_another(
    town: Town, streams: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, first_id), (second, _) = town.token(), town.token()
    peer = Tokens(town.url, first, second)
    with executor_of(peer, monkeypatch) as executor:
        assert executor.submit(len, b"a").result(PATIENCE) == ((b"a",), {})
        town.revoke(first_id)
        assert executor.submit(len, LARGE).result(PATIENCE) == ((LARGE,), {})
    assert (peer.renewals, peer.tokens) == (1, [second])
    assert streams[0] == first


@pytest.mark.parametrize("by_stream", [True, False])
def test_a_token_without_another_ends_the_futures_at_once(
    town: Town, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, by_stream: bool
) -> None:
    if not by_stream:
        request.getfixturevalue("streams")
    first, first_id = town.token()
    with executor_of(Tokens(town.url, first), monkeypatch) as executor:
        assert executor.submit(len, b"a").result(PATIENCE) == ((b"a",), {})
        town.revoke(first_id)
        with pytest.raises(NotAuthorized):
            executor.submit(len, b"b").result(PATIENCE)


def test_what_is_said_by_http_is_said_with_the_login_that_the_stream_was_refused_for(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first token is refused on the stream, the second finds no stream: what follows is asked with the second."""
    second, _ = town.token()

    def refuse(_: str, authorization: str) -> Any:
        raise ServiceUnavailable("no stream") if second in authorization else NotAuthorized("who are you?")

    asked: list[str] = []
    headers = direct._headers

    def noted(place: ServerAddress, call: Request) -> dict[str, str]:
        found = headers(place, call)
        asked.append(found["Authorization"])
        return found

    monkeypatch.setattr(loop, "connect", refuse)
    monkeypatch.setattr(direct, "_headers", noted)
    peer = Tokens(town.url, "old", second)
    with executor_of(peer, monkeypatch) as executor:
        assert executor.submit(len, b"a").result(PATIENCE) == ((b"a",), {})
    assert set(asked) == {f"Bearer {second}"}
    assert peer.renewals == 1
