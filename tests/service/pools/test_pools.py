"""Pools live as long as somebody needs them, and say why when they cannot."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from compute_executor.errors import (
    EndpointNotShared,
    InvalidRequest,
    NotFound,
    PoolBroken,
)
from compute_executor.protocol import frames
from compute_executor.service.access import LOCAL_USER, Identity
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.pools.pools import NO_POOL, default_pool_id
from compute_executor.service.store.store import Store
from tests.service.fixture import (
    ALICE,
    BOB,
    DEFAULT_POOL,
    GROUP,
    POOL,
    SPEC,
    Listener,
    ServiceFixture,
    batch,
    live,
    register,
    serving,
    take,
    turn,
)


@live
async def test_a_pool_lives_until_it_is_closed_and_empty(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.open_pool(ALICE, POOL, SPEC)
        await service.open_pool(ALICE, POOL, SPEC)
        assert fixture.engine.opened == {POOL: SPEC}
        await service.submit(ALICE, batch([b"a"], pool=POOL))
        service.close_pool(ALICE, POOL)
        assert fixture.engine.closed == []
        with pytest.raises(NotFound):
            await service.submit(ALICE, batch([b"b"], pool=POOL))
        fixture.engine.end(POOL, take(fixture, pool=POOL))
        assert fixture.engine.closed == [POOL]
        service.close_pool(ALICE, POOL)
        await turn(20)
        assert fixture.store.read.pools() == []


@live
async def test_cancelling_the_last_task_empties_a_pool(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.open_pool(ALICE, POOL, SPEC)
        sent = batch([b"a"], pool=POOL)
        await service.submit(ALICE, sent)
        service.close_pool(ALICE, POOL)
        await service.cancel(ALICE, [(sent.prefix, [0])])
        assert fixture.engine.closed == [POOL]


@live
async def test_a_pool_waits_for_its_client_to_come_back(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=ServiceLimits(pool_grace=0.02)) as service:
        await register(service)
        client = Listener()
        await service.open_pool(ALICE, POOL, SPEC, client)
        await asyncio.sleep(0.05)
        assert fixture.engine.closed == []
        await service.submit(ALICE, batch([b"a"], pool=POOL))
        service.unsubscribe(client)
        await service.open_pool(ALICE, POOL, SPEC, client)
        await asyncio.sleep(0.05)
        await service.submit(ALICE, batch([b"b"], pool=POOL))
        service.unsubscribe(client)
        while service.overview()["pools"][0]["state"] == "open":
            await asyncio.sleep(0.01)
        assert fixture.engine.closed == []
        fixture.engine.end(POOL, take(fixture, pool=POOL))
        assert fixture.engine.closed == [POOL]


@pytest.mark.parametrize(
    ("pool", "changed"),
    [
        (b"short", {}),
        (NO_POOL, {}),
        (POOL, {"max_workers": 0}),
        (POOL, {"max_workers": 10**6}),
    ],
)
@live
async def test_pools_that_cannot_be(fixture: ServiceFixture, pool: bytes, changed: dict[str, Any]) -> None:
    async with serving(fixture) as service:
        with pytest.raises(InvalidRequest):
            await service.open_pool(ALICE, pool, msgspec.structs.replace(SPEC, **changed))


@live
async def test_a_broken_pool_ends_what_waits_and_refuses_what_comes(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        client = Listener()
        service.subscribe(ALICE, client, GROUP)
        await service.open_pool(ALICE, POOL, SPEC, client)
        await service.submit(ALICE, batch([b"a", b"b", b"c"], pool=POOL, options=frames.Options(retries=5)))
        running, given = take(fixture, 2, POOL)
        fixture.engine.events.returned(POOL, [given[:3]])
        fixture.engine.events.broken(POOL, "initializer raised")
        fixture.engine.events.broken(POOL, "again")
        results = await client.heard(2)
        assert [(result.position, result.status) for result in results] == [
            (1, frames.BROKEN),
            (2, frames.BROKEN),
        ]
        assert client.failures == [(POOL, "initializer raised")]
        with pytest.raises(PoolBroken, match="initializer raised"):
            await service.submit(ALICE, batch([b"d"], pool=POOL))
        with pytest.raises(PoolBroken):
            await service.open_pool(ALICE, POOL, SPEC, client)
        fixture.engine.events.lost(POOL, *running[:3], frames.Reason("killed", -9))
        results = await client.heard(3)
        assert {result.status for result in results} == {frames.BROKEN}
        assert service.overview()["pools"][0]["state"] == "failed"


@live
async def test_a_service_without_workers_says_so(fixture: ServiceFixture) -> None:
    async with serving(fixture, default_pool=None) as service:
        await register(service)
        with pytest.raises(NotFound, match="no workers of its own"):
            await service.submit(ALICE, batch([b"a"]))


@live
async def test_a_broken_default_pool_refuses(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch([b"a"]))
        fixture.engine.events.broken(DEFAULT_POOL, "no interpreter")
        fixture.engine.events.broken(POOL, "unknown")
        with pytest.raises(PoolBroken, match="no interpreter"):
            await service.submit(ALICE, batch([b"a"]))


@live
async def test_a_batch_that_comes_as_its_pool_fails_ends(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.open_pool(ALICE, POOL, SPEC)
        on_its_way = service.submit_soon(ALICE, batch([b"a"], pool=POOL))
        fixture.engine.events.broken(POOL, "no such interpreter")
        await on_its_way
        (result,) = await listener.heard(1)
        assert result.status == frames.BROKEN


@live
async def test_an_engine_that_cannot_open_a_pool_breaks_that_pool_alone(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(fixture) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        opened = fixture.engine.open

        def refuse(pool: bytes, spec: frames.PoolSpec, environment: object = None) -> None:
            if pool == POOL:
                raise ValueError("embedded null byte")
            opened(pool, spec, environment)

        monkeypatch.setattr(fixture.engine, "open", refuse)
        await service.open_pool(ALICE, POOL, SPEC, listener)
        assert "embedded null byte" in listener.failures[0][1]
        with pytest.raises(PoolBroken):
            await service.submit(ALICE, batch([b"a"], pool=POOL))
        await service.submit(ALICE, batch([b"a"]))
        assert len(take(fixture)) == 1


@live
async def test_a_start_sets_aside_a_pool_that_cannot_be_restored(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.open_pool(ALICE, POOL, SPEC)
        await service.submit(ALICE, batch([b"a"], pool=POOL))
        await service.submit(ALICE, batch([b"b"]))
    for spec in (b"nonsense", msgspec.msgpack.encode(msgspec.structs.replace(SPEC, max_workers=3))[:-4]):
        fixture.store = Store(fixture.path, durable=False)
        fixture.store.run([lambda writer, spec=spec: writer.add_pool(POOL, "alice", spec, 1.0)])  # type: ignore[misc]
        fixture.store.close()
        async with serving(fixture) as service:
            assert [one.body for one in take(fixture)] == [b"b"]
            await service.cancel(ALICE, [])
            (group,) = await service.listing.groups(ALICE, everybody=False, limit=1)
            assert (group["lost"], group["queued"] + group["running"]) == (1, 1)


# -- default pools ------------------------------------------------------------------------------------------


@live
async def test_users_share_no_worker(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        for who in (ALICE, BOB):
            await register(service, who)
            await service.submit(who, batch([b"x"], group=who.id.encode().ljust(16)))
        assert set(fixture.engine.opened) == {default_pool_id(who.id) for who in (ALICE, BOB)}
        assert [len(take(fixture, of=who)) for who in (ALICE, BOB)] == [1, 1]


@live
async def test_the_default_pool_of_a_guest_ends_after_a_while(fixture: ServiceFixture) -> None:
    host = Identity(LOCAL_USER, "host", admin=True)
    async with serving(fixture, limits=ServiceLimits(pool_grace=0.01)) as service:
        for who in (ALICE, host):
            await register(service, who)
            await service.submit(who, batch([b"x"], group=who.id.encode().ljust(16)))
            fixture.engine.end(default_pool_id(who.id), take(fixture, of=who))
        while not fixture.engine.closed:
            await asyncio.sleep(0.001)
        assert fixture.engine.closed == [default_pool_id(ALICE.id)]
        await service.submit(ALICE, batch([b"y"]))
        assert len(take(fixture)) == 1


@live
async def test_a_default_pool_is_there_again_after_a_restart_if_it_has_tasks(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch([b"x"]))
    async with serving(fixture) as service:
        assert list(fixture.engine.opened) == [DEFAULT_POOL]
        assert len(take(fixture)) == 1
    async with serving(fixture, default_pool=None) as service:
        await turn(30)
        assert service.overview()["tasks"]["queued"] == 0, "this service has no workers of its own"


OPERATOR_ONLY = frozenset({LOCAL_USER, BOB.id})


@live
async def test_on_a_shared_service_only_its_operator_is_served(fixture: ServiceFixture) -> None:
    async with serving(fixture, operators=OPERATOR_ONLY) as service:
        await register(service)
        with pytest.raises(EndpointNotShared, match="--trust-all-users"):
            await service.open_pool(ALICE, POOL, SPEC)
        with pytest.raises(EndpointNotShared, match="name an endpoint of your own"):
            await service.submit(ALICE, batch([b"a"]))
        with pytest.raises(EndpointNotShared):
            await service.submit(ALICE, batch([b"a"], pool=POOL))
        await service.open_pool(BOB, POOL, SPEC)
        assert fixture.engine.opened == {POOL: SPEC}


@live
async def test_what_was_accepted_when_it_was_open_to_all_is_not_run(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.open_pool(ALICE, POOL, SPEC)
        await service.submit(ALICE, batch([b"a"], pool=POOL))
        await service.submit(ALICE, batch([b"b"]))
    async with serving(fixture, operators=OPERATOR_ONLY):
        await turn()
        assert fixture.engine.opened == {}
