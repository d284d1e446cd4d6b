from __future__ import annotations

import asyncio

import pytest

from compute_executor.service.auth import clients
from compute_executor.service.auth.authenticators import AuthenticatorChain, LocalToken
from compute_executor.service.auth.clients import LIFE, ConfiguredClient

CLIENT = ConfiguredClient("id", "secret")
BOTH = AuthenticatorChain(CLIENT, LocalToken("local token"))


def test_the_right_secret_of_the_right_client() -> None:
    async def scenario() -> None:
        who = await CLIENT.check_client("id", "secret")
        assert who is not None
        assert (who.id, who.admin) == ("id", False)
        assert await CLIENT.check_client("id", "Secret") is None
        assert await CLIENT.check_client("other", "secret") is None

    asyncio.run(scenario())


def test_its_tokens_are_good_until_they_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        now = 1000.0
        monkeypatch.setattr(clients.time, "time", lambda: now)  # type: ignore[attr-defined]
        who = await CLIENT.check_client("id", "secret")
        assert who is not None
        issued = await CLIENT.issue_token(who)
        assert await CLIENT.identify(issued.token) == who
        now += LIFE + 1
        assert await CLIENT.identify(issued.token) is None

    asyncio.run(scenario())


def test_other_tokens_are_somebody_elses_business() -> None:
    found = asyncio.run(BOTH.identify("local token"))
    assert found is not None
    assert found.admin
    assert asyncio.run(BOTH.identify("nonsense")) is None


def test_what_the_others_remember_is_forgotten() -> None:
    class Others(LocalToken):
        forgotten = ""

        def forget(self, token: str) -> None:
            self.forgotten = token

    others = Others("local token")
    AuthenticatorChain(CLIENT, others).forget("theirs")
    assert others.forgotten == "theirs"
    BOTH.forget("theirs")  # these need no memory


def test_further_clients_are_asked_for_what_is_not_its_own() -> None:
    further = ConfiguredClient("other", "its secret")
    both = ConfiguredClient("id", "secret", further)

    async def scenario() -> None:
        who = await both.check_client("other", "its secret")
        assert who is not None
        assert await both.check_client("other", "secret") is None
        issued = await both.issue_token(who)
        assert await further.identify(issued.token) == who
        assert await AuthenticatorChain(both, further).identify(issued.token) == who

    asyncio.run(scenario())
