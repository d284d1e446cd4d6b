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
    House,
    Listener,
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
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr("tests.service.fixture.FakeEngine", Engine)
    return House(tmp_path)


def opened(house: House) -> dict[bytes, Environment | None]:
    return getattr(house.engine, "places", {})


async def prepared(service: Service) -> bytes:
    """A container, a function, an open pool, a listener's group."""
    await register(service)
    await service.open_pool(ALICE, POOL, SPEC)
    return await service.containers.build(ALICE, SIX)


@live
async def test_tasks_wait_until_their_container_is_ready(house: House) -> None:
    builder = Builder()
    async with serving(house, environments=environments(house, builder)) as service:
        container = await prepared(service)
        await service.submit(ALICE, batch([b"a"], pool=POOL, options=Options(container=container)))
        await turn(20)
        place = container_pool_id(POOL, container)
        assert opened(house).keys() == {POOL}
        assert service.overview()["tasks"]["queued"] == 1
        builder.let.set()
        await until(lambda: place in opened(house))
        assert opened(house)[place] == READY_ONE
        assert house.engine.opened[place] == msgspec.structs.replace(SPEC, container=container)
        assert place in house.engine.woken
        assert len(house.engine.events.take(place, 5)) == 1
        assert house.engine.events.take(POOL, 5) == []


@live
async def test_a_function_for_a_container_runs_in_it_wherever_it_is_submitted(house: House) -> None:
    builder = Builder()
    builder.let.set()
    async with serving(house, environments=environments(house, builder)) as service:
        container = await prepared(service)
        inside = await service.register(ALICE, DIGEST, "f", CODE, public=True, container=container)
        await service.submit(ALICE, batch([b"a"], functions=[inside]))
        await service.submit(BOB, batch([b"b"], functions=[inside], group=b"b" * 16))
        mine, bobs = (container_pool_id(default_pool_id(who.id), container) for who in (ALICE, BOB))
        await until(lambda: opened(house).keys() >= {mine, bobs})
        assert [one.body for one in house.engine.events.take(mine, 5)] == [b"a"]
        assert [one.body for one in house.engine.events.take(bobs, 5)] == [b"b"]
        await service.submit(ALICE, batch([b"c"]))  # the same code by its digest: for no container
        assert [one.body for one in house.engine.events.take(DEFAULT_POOL, 5)] == [b"c"]
        with pytest.raises(NotFound):
            await service.submit(BOB, batch([b"d"], functions=[inside], options=Options(container=container)))
        with pytest.raises(InvalidRequest, match="submit them apart"):
            await service.submit(ALICE, batch([b"e"], functions=[inside, DIGEST]))


@live
async def test_one_that_cannot_be_built_ends_what_waits_and_breaks_nothing_else(house: House) -> None:
    builder = Builder()
    builder.trouble = "No matching distribution found"
    async with serving(house, environments=environments(house, builder)) as service:
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
        assert house.engine.events.take(POOL, 5)[0].body == b"d"
        builder.trouble = ""
        await service.containers.build(ALICE, SIX)
        await service.submit(ALICE, batch([b"e"], pool=POOL, options=inside))
        await until(lambda: container_pool_id(POOL, container) in opened(house))
        assert house.engine.events.take(container_pool_id(POOL, container), 5)[0].body == b"e"


@live
async def test_it_ends_with_the_pool_it_is_like(house: House) -> None:
    builder = Builder()
    builder.let.set()
    async with serving(house, environments=environments(house, builder)) as service:
        container = await prepared(service)
        await service.submit(ALICE, batch([b"a"], pool=POOL, options=Options(container=container)))
        place = container_pool_id(POOL, container)
        await until(lambda: place in opened(house))
        service.close_pool(ALICE, POOL)
        assert house.engine.closed == [POOL]
        house.engine.end(place, house.engine.events.take(place, 5))
        assert house.engine.closed == [POOL, place]


@live
async def test_it_ends_some_time_after_it_was_last_submitted_to(house: House) -> None:
    builder = Builder()
    builder.let.set()
    limits = ServiceLimits(pool_grace=0.05)
    async with serving(house, environments=environments(house, builder), limits=limits) as service:
        container = await prepared(service)
        await service.submit(ALICE, batch([b"a"], options=Options(container=container)))
        place = container_pool_id(DEFAULT_POOL, container)
        await until(lambda: place in opened(house))
        house.engine.end(place, house.engine.events.take(place, 5))
        await until(lambda: place in house.engine.closed)
        await service.submit(ALICE, batch([b"b"], options=Options(container=container)))
        assert house.engine.events.take(place, 5)[0].body == b"b"


@live
async def test_a_pool_that_is_closed_while_its_container_is_built_is_not_opened(house: House) -> None:
    builder = Builder()
    async with serving(house, environments=environments(house, builder)) as service:
        container = await prepared(service)
        sent = batch([b"a"], pool=POOL, options=Options(container=container))
        await service.submit(ALICE, sent)
        service.close_pool(ALICE, POOL)
        await service.cancel(ALICE, [(sent.prefix, [0])])
        builder.let.set()
        await until(lambda: builder.built)
        await turn(20)
        assert opened(house).keys() == {POOL}


@live
async def test_a_restart_waits_for_the_container_again(house: House) -> None:
    async with serving(house, environments=environments(house, Builder())) as service:
        container = await prepared(service)
        await service.submit(ALICE, batch([b"a"], pool=POOL, options=Options(container=container)))
    builder = Builder()
    async with serving(house, environments=environments(house, builder)) as service:
        place = container_pool_id(POOL, container)
        await turn(20)
        assert place not in opened(house)
        builder.let.set()
        await until(lambda: place in opened(house))
        assert house.engine.events.take(place, 5)[0].body == b"a"


@live
async def test_a_pool_may_be_opened_in_a_container(house: House) -> None:
    builder = Builder()
    builder.let.set()
    async with serving(house, environments=environments(house, builder)) as service:
        container = await service.containers.build(ALICE, SIX)
        spec = msgspec.structs.replace(SPEC, container=container)
        with pytest.raises(NotFound):
            await service.open_pool(BOB, POOL, spec)
        await service.open_pool(ALICE, POOL, spec)
        await until(lambda: POOL in opened(house))
        assert opened(house)[POOL] == READY_ONE


def test_its_id_follows_from_both() -> None:
    ids: set[Any] = {container_pool_id(a * 16, b * 16) for a in (b"a", b"b") for b in (b"c", b"d")}
    assert len(ids) == 4
    assert {len(one) for one in ids} == {16}


@pytest.mark.parametrize(
    "asked", [{"devices": [frames.WorkerDevices(["0"], {"CUDA_VISIBLE_DEVICES": "0"})]}, {"threads": 2}]
)
@live
async def test_what_would_not_reach_the_workers_of_an_image_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    image = Environment("python", "", image="sha256:1", runtime="/bin/podman")
    monkeypatch.setattr("tests.service.pools.test_containers.READY_ONE", image)
    builder = Builder()
    builder.let.set()
    async with serving(house, environments=environments(house, builder)) as service:
        container = await prepared(service)
        await service.open_pool(ALICE, b"q" * 16, msgspec.structs.replace(SPEC, **asked))
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([b"a"], pool=b"q" * 16, options=Options(container=container)))
        (result,) = await listener.heard(1)
        assert "gpus and threads_per_worker set environment variables" in reason(result.body).message  # type: ignore[arg-type]
