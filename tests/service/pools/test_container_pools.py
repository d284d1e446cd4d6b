"""Pools in containers: opened when those are ready, tasks wait, and one that never will be ends what waits for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from compute_executor.endpoint.environments.environment import Environment
from compute_executor.errors import InvalidRequest, NotFound, PoolBroken
from compute_executor.protocol import frames
from compute_executor.protocol.frames import Options
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.pools.container_pools import container_pool_id
from compute_executor.service.pools.pools import default_pool_id
from compute_executor.service.service import Service
from tests.service.fixture import (
    ALICE,
    BOB,
    CODE,
    DEFAULT_POOL,
    DIGEST,
    GROUP,
    POOL,
    SPEC,
    FakeEngine,
    Listener,
    ServiceFixture,
    batch,
    live,
    reason,
    register,
    serving,
    turn,
)
from tests.service.pools.test_containers import READY_ONE, SIX, Builder, environments, until


class Engine(FakeEngine):
    """Remembers in which environment a pool was opened."""

    def open(self, pool: bytes, spec: frames.PoolSpec, environment: Environment | None = None) -> None:  # type: ignore[override]
        super().open(pool, spec)
        self.places = {**getattr(self, "places", {}), pool: environment}


@pytest.fixture
def fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceFixture:
    monkeypatch.setattr("tests.service.fixture.FakeEngine", Engine)
    return ServiceFixture(tmp_path)


def opened(fixture: ServiceFixture) -> dict[bytes, Environment | None]:
    return getattr(fixture.engine, "places", {})


async def prepared(service: Service) -> bytes:
    """A container, a function, an open pool, a listener's group."""
    await register(service)
    await service.open_pool(ALICE, POOL, SPEC)
    return await service.containers.build(ALICE, SIX)


@live
async def test_tasks_wait_until_their_container_is_ready(fixture: ServiceFixture) -> None:
    builder = Builder()
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        container = await prepared(service)
        await service.submit(ALICE, batch([b"a"], pool=POOL, options=Options(container=container)))
        await turn(20)
        place = container_pool_id(POOL, container)
        assert opened(fixture).keys() == {POOL}
        assert service.overview()["tasks"]["queued"] == 1
        builder.let.set()
        await until(lambda: place in opened(fixture))
        assert opened(fixture)[place] == READY_ONE
        assert fixture.engine.opened[place] == msgspec.structs.replace(SPEC, container=container)
        assert place in fixture.engine.woken
        assert len(fixture.engine.events.take(place, 5)) == 1
        assert fixture.engine.events.take(POOL, 5) == []


@live
async def test_a_function_for_a_container_runs_in_it_wherever_it_is_submitted(
    fixture: ServiceFixture,
) -> None:
    builder = Builder()
    builder.let.set()
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        container = await prepared(service)
        inside = await service.register(ALICE, DIGEST, "f", CODE, public=True, container=container)
        await service.submit(ALICE, batch([b"a"], functions=[inside]))
        await service.submit(BOB, batch([b"b"], functions=[inside], group=b"b" * 16))
        mine, bobs = (container_pool_id(default_pool_id(who.id), container) for who in (ALICE, BOB))
        await until(lambda: opened(fixture).keys() >= {mine, bobs})
        assert [one.body for one in fixture.engine.events.take(mine, 5)] == [b"a"]
        assert [one.body for one in fixture.engine.events.take(bobs, 5)] == [b"b"]
        await service.submit(ALICE, batch([b"c"]))  # the same code by its digest: for no container
        assert [one.body for one in fixture.engine.events.take(DEFAULT_POOL, 5)] == [b"c"]
        with pytest.raises(NotFound):
            await service.submit(BOB, batch([b"d"], functions=[inside], options=Options(container=container)))
        with pytest.raises(InvalidRequest, match="submit them apart"):
            await service.submit(ALICE, batch([b"e"], functions=[inside, DIGEST]))


@live
async def test_one_that_cannot_be_built_ends_what_waits_and_breaks_nothing_else(
    fixture: ServiceFixture,
) -> None:
    builder = Builder()
    builder.trouble = "No matching distribution found"
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        container = await prepared(service)
        client = Listener()
        service.subscribe(ALICE, client, GROUP)
        await service.open_pool(ALICE, POOL, SPEC, client)
        inside = Options(container=container)
        await service.submit(ALICE, batch([b"a", b"b"], pool=POOL, options=inside))
        builder.let.set()
        results = await client.heard(2)
        for result in results:
            told = reason(result.body)  # type: ignore[arg-type]
            assert (result.status, told.container) == (frames.BROKEN, container)
            assert "No matching distribution found" in told.message
        assert client.failures == []
        with pytest.raises(PoolBroken, match="No matching distribution"):
            await service.submit(ALICE, batch([b"c"], pool=POOL, options=inside))
        await service.submit(ALICE, batch([b"d"], pool=POOL))
        assert fixture.engine.events.take(POOL, 5)[0].body == b"d"
        builder.trouble = ""
        await service.containers.build(ALICE, SIX)
        await service.submit(ALICE, batch([b"e"], pool=POOL, options=inside))
        await until(lambda: container_pool_id(POOL, container) in opened(fixture))
        assert fixture.engine.events.take(container_pool_id(POOL, container), 5)[0].body == b"e"


@live
async def test_it_ends_with_the_pool_it_is_like(fixture: ServiceFixture) -> None:
    builder = Builder()
    builder.let.set()
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        container = await prepared(service)
        await service.submit(ALICE, batch([b"a"], pool=POOL, options=Options(container=container)))
        place = container_pool_id(POOL, container)
        await until(lambda: place in opened(fixture))
        service.close_pool(ALICE, POOL)
        assert fixture.engine.closed == [POOL]
        fixture.engine.end(place, fixture.engine.events.take(place, 5))
        assert fixture.engine.closed == [POOL, place]


@live
async def test_it_ends_some_time_after_it_was_last_submitted_to(fixture: ServiceFixture) -> None:
    builder = Builder()
    builder.let.set()
    limits = ServiceLimits(pool_grace=0.05)
    async with serving(fixture, environments=environments(fixture, builder), limits=limits) as service:
        container = await prepared(service)
        await service.submit(ALICE, batch([b"a"], options=Options(container=container)))
        place = container_pool_id(DEFAULT_POOL, container)
        await until(lambda: place in opened(fixture))
        fixture.engine.end(place, fixture.engine.events.take(place, 5))
        await until(lambda: place in fixture.engine.closed)
        await service.submit(ALICE, batch([b"b"], options=Options(container=container)))
        assert fixture.engine.events.take(place, 5)[0].body == b"b"


@live
async def test_a_pool_that_is_closed_while_its_container_is_built_is_not_opened(
    fixture: ServiceFixture,
) -> None:
    builder = Builder()
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        container = await prepared(service)
        sent = batch([b"a"], pool=POOL, options=Options(container=container))
        await service.submit(ALICE, sent)
        service.close_pool(ALICE, POOL)
        await service.cancel(ALICE, [(sent.prefix, [0])])
        builder.let.set()
        await until(lambda: builder.built)
        await turn(20)
        assert opened(fixture).keys() == {POOL}


@live
async def test_a_restart_waits_for_the_container_again(fixture: ServiceFixture) -> None:
    async with serving(fixture, environments=environments(fixture, Builder())) as service:
        container = await prepared(service)
        await service.submit(ALICE, batch([b"a"], pool=POOL, options=Options(container=container)))
    builder = Builder()
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        place = container_pool_id(POOL, container)
        await turn(20)
        assert place not in opened(fixture)
        builder.let.set()
        await until(lambda: place in opened(fixture))
        assert fixture.engine.events.take(place, 5)[0].body == b"a"


@live
async def test_a_pool_may_be_opened_in_a_container(fixture: ServiceFixture) -> None:
    builder = Builder()
    builder.let.set()
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        container = await service.containers.build(ALICE, SIX)
        spec = msgspec.structs.replace(SPEC, container=container)
        with pytest.raises(NotFound):
            await service.open_pool(BOB, POOL, spec)
        await service.open_pool(ALICE, POOL, spec)
        await until(lambda: POOL in opened(fixture))
        assert opened(fixture)[POOL] == READY_ONE


def test_its_id_follows_from_both() -> None:
    ids: set[Any] = {container_pool_id(a * 16, b * 16) for a in (b"a", b"b") for b in (b"c", b"d")}
    assert len(ids) == 4
    assert {len(one) for one in ids} == {16}


@pytest.mark.parametrize(
    "asked", [{"devices": [frames.WorkerDevices(["0"], {"CUDA_VISIBLE_DEVICES": "0"})]}, {"threads": 2}]
)
@live
async def test_what_would_not_reach_the_workers_of_an_image_is_refused(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    image = Environment("python", "", image="sha256:1", runtime="/bin/podman")
    monkeypatch.setattr("tests.service.pools.test_containers.READY_ONE", image)
    builder = Builder()
    builder.let.set()
    async with serving(fixture, environments=environments(fixture, builder)) as service:
        container = await prepared(service)
        await service.open_pool(ALICE, b"q" * 16, msgspec.structs.replace(SPEC, **asked))
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([b"a"], pool=b"q" * 16, options=Options(container=container)))
        (result,) = await listener.heard(1)
        assert "gpus and threads_per_worker set environment variables" in reason(result.body).message  # type: ignore[arg-type]
