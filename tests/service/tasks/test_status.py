"""How the service says that it is doing."""

from __future__ import annotations

import asyncio

import msgspec

from compute_executor.endpoint.pool.events import WorkerView
from compute_executor.protocol.ids import task_uuid
from tests.service.fixture import (
    ALICE,
    DEFAULT_POOL,
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
async def test_busy_is_open_or_connected(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        assert not service.busy()
        client = Listener()
        service.connect(client)
        assert service.busy()
        service.unsubscribe(client)
        assert not service.busy()
        await register(service)
        await service.submit(ALICE, batch([b"a"]))
        assert service.busy()
        fixture.engine.end(DEFAULT_POOL, take(fixture))
        assert service.busy()
        await turn(20)
        assert not service.busy()


@live
async def test_the_overview_is_plain(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        sent = batch([b"a"])
        await service.submit(ALICE, sent)
        (task,) = take(fixture)
        fixture.engine.views = [
            WorkerView(11, DEFAULT_POOL, "running", (task.batch, 0)),
            WorkerView(12, DEFAULT_POOL, "idle", None),
            WorkerView(13, DEFAULT_POOL, "running", (99, 0)),
        ]
        overview = service.overview()
        msgspec.json.encode(overview)
        assert [worker["task"] for worker in overview["workers"]] == [task_uuid(sent.prefix, 0), None, None]
        assert (overview["durability"], overview["connections"]) == ("process", 0)
        assert overview["pools"][0]["max_workers"] == 2


@live
async def test_goodbye_reaches_who_listens(fixture: ServiceFixture) -> None:
    class Deaf(Listener):
        async def goodbye(self, reason: str) -> None:
            await asyncio.Event().wait()

    async with serving(fixture) as service:
        await service.say_goodbye("nobody there")
        listener = Listener()
        service.connect(listener)
        service.connect(Deaf())
        import compute_executor.service.service as module

        patience, module.GOODBYE_PATIENCE = module.GOODBYE_PATIENCE, 0.01
        try:
            await service.say_goodbye("the end")
        finally:
            module.GOODBYE_PATIENCE = patience
        assert listener.goodbyes == ["the end"]
