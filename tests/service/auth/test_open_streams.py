"""Streams whose user or token changes while they are open."""

from __future__ import annotations

import uuid

from compute_executor.protocol import frames
from compute_executor.service.access import Identity
from compute_executor.service.api.stream import UNAUTHENTICATED
from compute_executor.service.auth.authenticators import token_digest
from compute_executor.service.auth.open_streams import TOKEN_DEAD, USER_GONE
from tests.service.api.test_stream import Client, connected
from tests.service.fixture import BOB, CODE, DIGEST, GROUP, ServiceFixture, batch, live, serving, turn

TEAM = str(uuid.UUID(int=7))
MEMBER = Identity("bob", "Bob", frozenset({TEAM}))


@live
async def test_a_stream_goes_on_with_the_new_identity(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service, connected(service, BOB) as bob:
        owner = Identity("alice", "Alice", frozenset({TEAM}))
        function = await service.register(owner, DIGEST, "f", CODE, group=TEAM)
        bob.say(frames.Subscribe(GROUP), batch([b"a"], functions=[function]))
        assert isinstance(await bob.frame(), frames.Refused)
        service.reconsider("bob", MEMBER)
        bob.say(batch([b"a"], functions=[function]))
        assert isinstance(await bob.frame(), frames.Accepted)
        service.reconsider("bob", BOB)
        (refused,) = await bob.results(1)
        assert refused.status == frames.REFUSED


@live
async def test_streams_of_a_user_who_is_gone_are_closed(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service, connected(service) as other:
        bob, guide, silent = Client(service, BOB), Client(service, BOB), Client(service, BOB)
        await bob.hello()
        await guide.message()
        guide.say(str(uuid.uuid4()))
        await turn()
        service.reconsider("bob", None)
        for client in (bob, guide, silent):
            assert await client.closed() == (UNAUTHENTICATED, USER_GONE)
        other.say(frames.Cancel(1, []))
        assert isinstance(await other.frame(), frames.Cancelled)
        service.reconsider("bob", None)  # nobody is left to be told


@live
async def test_streams_of_a_dead_token_are_closed(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        old, new = Client(service, BOB, token_digest("old")), Client(service, BOB, token_digest("new"))
        await old.hello()
        await new.hello()
        service.token_died(token_digest("old"))
        service.token_died(token_digest("old"))
        assert await old.closed() == (UNAUTHENTICATED, TOKEN_DEAD)
        new.say(frames.Cancel(1, []))
        assert isinstance(await new.frame(), frames.Cancelled)
        await new.leave()
        assert not service.busy()


@live
async def test_a_function_is_registered_for_everybody(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service, connected(service, BOB) as bob:
        bob.say(frames.Register(DIGEST, "f", CODE, public=True), frames.Register(DIGEST, "f", CODE))
        public, private = [(await bob.frame()).function for _ in range(2)]
        stranger = Identity("eve", "Eve")
        assert service.function(stranger, public).public
        assert public != private
        assert [row.id for row in service.find_functions(stranger)] == [public]
