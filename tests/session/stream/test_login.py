"""A login that is refused is renewed once, whatever was asked by it; and an Executor whose token dies midway."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from compute_executor import executor as module
from compute_executor.errors import ComputeError, NotAuthorized, NotFound, ServiceUnavailable
from compute_executor.executor import Executor
from compute_executor.peer import EmbeddedLocator, ServiceEndpoint
from compute_executor.protocol.frames import INLINE_LIMIT, Blob
from compute_executor.protocol.ids import new_prefix
from compute_executor.serialization import native
from compute_executor.session.stream import by_http, http_fallback, loop, protocol
from compute_executor.session.stream.login import StreamLogin
from compute_executor.session.stream.polling import poll
from compute_executor.session.stream.protocol import StreamProtocol
from compute_executor.session.stream.storage import Storage
from tests.sdk.conftest import Reply, ScriptedService, Seen
from tests.service.server_fixture import Town, running

PATIENCE = 20.0
LARGE = b"x" * (INLINE_LIMIT + 1)


class Tokens(EmbeddedLocator):
    """A peer with one login after the other, and nobody to ask for more when they are used up."""

    def __init__(self, url: str, *tokens: str) -> None:
        self.url = url
        self.tokens = list(tokens)
        self.renewals = 0

    def address(self) -> ServiceEndpoint:
        return ServiceEndpoint(self.url, f"Bearer {self.tokens[0]}")

    def renewed(self, refused: ServiceEndpoint) -> ServiceEndpoint | None:
        self.renewals += 1
        if len(self.tokens) == 1:
            return None
        del self.tokens[0]
        return self.address()

    def login(self) -> StreamLogin:
        return StreamLogin(self, self.address())


def good(*tokens: str) -> Callable[[ServiceEndpoint], str]:
    """A question that is answered to whoever has one of these tokens."""

    def question(address: ServiceEndpoint) -> str:
        if address.authorization.removeprefix("Bearer ") not in tokens:
            raise NotAuthorized("who are you?")
        return address.authorization

    return question


# -- the login ----------------------------------------------------------------------------------------------


def test_a_good_login_is_not_renewed() -> None:
    peer = Tokens("http://x", "one", "two")
    assert peer.login().ask(good("one")) == "Bearer one"
    assert peer.renewals == 0


def test_a_refused_login_is_renewed_and_kept() -> None:
    peer = Tokens("http://x", "one", "two", "three")
    login = peer.login()
    assert [login.ask(good("two")), login.ask(good("two"))] == ["Bearer two"] * 2
    assert peer.renewals == 1
    assert login.address == ServiceEndpoint("http://x", "Bearer two")


def test_a_second_refusal_is_the_answer() -> None:
    peer = Tokens("http://x", "one", "two", "three")
    with pytest.raises(NotAuthorized, match="who are you"):
        peer.login().ask(good("three"))
    assert peer.renewals == 1


def test_without_another_login_the_refusal_is_the_answer() -> None:
    login = Tokens("http://x", "one").login()
    with pytest.raises(NotAuthorized, match="who are you"):
        login.ask(good("two"))
    assert login.address.authorization == "Bearer one"


@pytest.mark.parametrize("error", [NotFound("no such thing"), ServiceUnavailable("gone")])
def test_other_errors_are_no_matter_of_the_login(error: ComputeError) -> None:
    peer = Tokens("http://x", "one", "two")

    def question(_: ServiceEndpoint) -> None:
        raise error

    with pytest.raises(type(error)):
        peer.login().ask(question)
    assert peer.renewals == 0


def test_threads_that_are_refused_together_renew_once() -> None:
    peer = Tokens("http://x", "one", "two", "three")
    login, together = peer.login(), threading.Barrier(4)
    answers: list[str] = []

    def question(address: ServiceEndpoint) -> str:
        if address.authorization == "Bearer one":
            together.wait(10)
        return good("two")(address)

    threads = [
        threading.Thread(target=lambda: answers.append(login.ask(question))) for _ in range(together.parties)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert answers == ["Bearer two"] * 4
    assert peer.renewals == 1


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
    monkeypatch.setattr("compute_executor.session.stream.storage.secrets.token_hex", lambda _: "name")
    guarded(service, "PUT /v3/blobs/name")
    guarded(service, "GET /v3/blobs/name", LARGE)
    peer = Tokens(service.url, "one", "two")
    storage = Storage(peer.login())
    blob = storage.store(LARGE, "it")
    assert isinstance(blob, Blob)
    assert storage.fetch(blob) == LARGE
    assert peer.renewals == 1
    assert [seen.headers["authorization"][7:] for seen in service.seen] == ["one", "two", "two"]
    with pytest.raises(NotAuthorized, match="who are you"):
        Storage(Tokens(service.url, "one", "three").login()).store(LARGE, "it")


def test_a_cancel_by_http_is_asked_by_the_renewed_login(
    service: ScriptedService, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix, withdrawn = new_prefix(), []
    guarded(service, "POST /v3/tasks/cancel", msgspec.msgpack.encode([(prefix, [1])]))
    talk = StreamProtocol(b"g" * 16, None, None, lambda _: None)
    talk.reached(Tokens(service.url, "one", "two").login())
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
    monkeypatch.setattr("compute_executor.session.outcomes.value_of", native.loads_call)
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
    request = by_http.request  # type: ignore[attr-defined]

    def noted(address: ServiceEndpoint, *args: Any, **kwargs: Any) -> bytes:
        asked.append(address.authorization)
        return request(address, *args, **kwargs)

    monkeypatch.setattr(loop, "connect", refuse)
    monkeypatch.setattr(by_http, "request", noted)
    peer = Tokens(town.url, "old", second)
    with executor_of(peer, monkeypatch) as executor:
        assert executor.submit(len, b"a").result(PATIENCE) == ((b"a",), {})
    assert set(asked) == {f"Bearer {second}"}
    assert peer.renewals == 1


def test_asking_for_outcomes_takes_what_it_is_given(service: ScriptedService) -> None:
    guarded(service, "POST /v2/batch_status", msgspec.msgpack.encode([]))
    assert Tokens(service.url, "one", "two").login().ask(poll, []) == []
