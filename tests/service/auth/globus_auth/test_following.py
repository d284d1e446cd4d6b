"""Streams end with their tokens; whoever comes is known by the groups of today."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from compute_executor.service.access import Identity
from compute_executor.service.auth.authenticators import token_digest
from compute_executor.service.auth.globus_auth.authenticator import GlobusAuthenticator
from compute_executor.service.auth.globus_auth.following import TokenFollower
from compute_executor.service.auth.open_streams import OpenStreams, StreamRevoked
from compute_executor.service.limits import ServiceLimits
from tests.service.auth.globus_auth.conftest import ALICE, ALICES, BOBS, OURS, TEAM, Fauxbus


class Service:
    """What of a service is told."""

    def __init__(self) -> None:
        self.open_streams = OpenStreams(ServiceLimits())
        self.reconsidered: list[Identity] = []

    def token_died(self, digest: bytes) -> None:
        self.open_streams.token_died(digest)

    def reconsider(self, user: str, identity: Identity) -> None:
        self.reconsidered.append(identity)
        self.open_streams.changed(user, identity)

    def stream_tokens(self) -> set[bytes]:
        return self.open_streams.tokens()


class Town:
    """A service with a stream of Alice's and one of Bob's; the time is ours."""

    def __init__(self) -> None:
        self.now = time.time()
        self.service = Service()
        self.globus = GlobusAuthenticator(OURS, clock=lambda: self.now)
        self.following = TokenFollower(self.globus, cast(Any, self.service), clock=lambda: self.now)

    async def open(self, token: str) -> Any:
        who = await self.globus.identify(token)
        assert who is not None
        return self.service.open_streams.enter(who, token_digest(token))

    async def look(self, later: float) -> None:
        self.now += later
        await self.following.look()


async def ended(session: Any) -> bool:
    try:
        await session.during(asyncio.sleep(0))
    except StreamRevoked:
        return True
    return False


def test_a_revoked_token_ends_its_streams_and_no_other(fauxbus: Fauxbus) -> None:
    async def scenario() -> None:
        town = Town()
        alices, bobs = await town.open(ALICES), await town.open(BOBS)
        fauxbus.world.tokens[ALICES].revoked = True
        await town.look(31)
        assert [await ended(alices), await ended(bobs)] == [True, False]
        town.globus.close()

    asyncio.run(scenario())


def test_changed_groups_reach_the_stream(fauxbus: Fauxbus) -> None:
    async def scenario() -> None:
        town = Town()
        session = await town.open(ALICES)
        assert session.who.groups == {TEAM}
        fauxbus.world.groups[TEAM].memberships[ALICE].status = "removed"
        await town.look(31)
        assert [who.groups for who in town.service.reconsidered] == [frozenset()]
        assert session.who.groups == frozenset()
        assert not await ended(session)
        town.globus.close()

    asyncio.run(scenario())


def test_trouble_over_there_does_not_end_a_stream_but_its_tokens_end_does(
    fauxbus: Fauxbus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute_executor.service.auth.globus_auth.introspection.REPETITIONS", 0)

    async def scenario() -> None:
        town = Town()
        session = await town.open(ALICES)
        fauxbus.fail("/v2/oauth2/token/introspect", 500)
        await town.look(31)
        assert not await ended(session)
        await town.look(3600)
        assert await ended(session)
        town.globus.close()

    asyncio.run(scenario())


def test_tokens_that_nobody_uses_are_forgotten(fauxbus: Fauxbus) -> None:
    async def scenario() -> None:
        town = Town()
        await town.open(ALICES)
        await town.globus.identify(BOBS)
        everything = {token_digest(ALICES), token_digest(BOBS)}
        await town.look(1)
        assert set(town.globus.shown(everything)) == everything
        await town.look(31)
        found = town.globus.shown(everything)
        assert set(found) == {token_digest(ALICES)}
        assert "canary" not in repr(found)
        town.globus.close()

    asyncio.run(scenario())


def test_it_looks_again_and_again_whatever_happens(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("compute_executor.service.auth.globus_auth.following.LIFE", 0.001)

    async def scenario() -> None:
        town, twice, looks = Town(), asyncio.Event(), 0

        async def look() -> None:
            nonlocal looks
            looks += 1
            if looks == 1:
                raise ZeroDivisionError
            twice.set()

        monkeypatch.setattr(town.following, "look", look)
        running = asyncio.ensure_future(town.following.run())
        await asyncio.wait_for(twice.wait(), 5)
        running.cancel()
        town.globus.close()

    asyncio.run(scenario())
    assert "could not be looked at" in caplog.text
