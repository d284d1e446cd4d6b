"""Each pool belongs to one engine, which is found by the kind of the endpoint that the pool is on."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, cast

import pytest

from compute_executor.protocol.frames import Options
from compute_executor.service.access import Identity
from compute_executor.service.endpoints.engines import Engines
from compute_executor.service.endpoints.registry import EndpointRegistration
from compute_executor.service.endpoints.rows import EndpointRow
from tests.service.fixture import (
    ALICE,
    DEFAULT_POOL,
    SPEC,
    FakeEngine,
    ServiceFixture,
    batch,
    live,
    register,
    serving,
    turn,
)

HERE, THERE = b"h" * 16, b"t" * 16


class ToyKind:
    """A kind of endpoints whose pool has the endpoint's own id."""

    takes_shared = False

    def __init__(self, engine: FakeEngine, name: str = "toy") -> None:
        self.name = name
        self.engine = engine
        self.pools: set[bytes] = {THERE}
        self.calls: list[str] = []
        self.finished: list[int] = []

    async def start(self) -> None:
        self.calls.append("start")

    async def close(self) -> None:
        self.calls.append("close")
        await self.engine.close()

    def restore(self) -> None:
        self.calls.append("restore")

    def place(self, who: Identity, endpoint: EndpointRow, options: Options) -> bytes:
        self.pools.add(endpoint.id.bytes)
        return endpoint.id.bytes

    def endpoint_of(self, pool: bytes) -> uuid.UUID | None:
        return uuid.UUID(bytes=pool) if pool in self.pools else None

    def online(self, endpoint: EndpointRow) -> bool:
        return endpoint.seen > 0

    def versions(self, endpoint: EndpointRow) -> dict[str, str]:
        return {"python_version": "3.12.1"}

    def worker_details(self, pool: bytes) -> dict[str, Any] | None:
        return {"pool": pool}

    def batch_finished(self, pool: bytes, batch: int) -> None:
        self.finished.append(batch)

    async def recalled(self, pool: bytes) -> None:
        self.calls.append("recalled")

    def bodies_deleted(self, names: list[str]) -> None:
        self.calls += names

    def outcomes_stored(self) -> None:
        self.calls.append("outcomes_stored")

    async def deleted(self, endpoint: EndpointRow) -> None:
        self.calls.append("deleted")
        self.engine.events.broken(endpoint.id.bytes, f"endpoint {endpoint.id} was deleted")


def both() -> tuple[Engines, FakeEngine, ToyKind]:
    engines, own = Engines(), FakeEngine(cast(Any, None))
    toy = ToyKind(FakeEngine(cast(Any, None)))
    engines.add_built_in(own)
    engines.add(toy)
    return engines, own, toy


@pytest.mark.parametrize("pool", [HERE, THERE])
def test_a_pool_is_spoken_of_to_its_engine_alone(pool: bytes) -> None:
    engines, own, toy = both()
    mine, other = (own, toy.engine) if pool == HERE else (toy.engine, own)
    mine.withdrawable, mine.running = {(1, 2)}, {(1, 3)}
    engines.open(pool, SPEC)
    engines.wake(pool)
    assert engines.withdraw(pool, [(1, 2), (1, 3)]) == {(1, 2)}
    assert engines.stop_tasks(pool, [(1, 2), (1, 3)]) == {(1, 3)}
    engines.close_pool(pool)
    engines.batch_finished(pool, 7)
    assert (list(mine.opened), mine.woken, mine.closed) == ([pool], [pool], [pool])
    assert (list(other.opened), other.woken, other.closed) == ([], [], [])
    assert toy.finished == ([7] if pool == THERE else [])
    assert engines.worker_details(pool) == ({"pool": pool} if pool == THERE else None)


def test_all_are_listed_started_and_closed() -> None:
    engines, own, toy = both()
    own.views, toy.engine.views = [cast(Any, "a")], [cast(Any, "b")]
    assert engines.workers() == ["a", "b"]
    engines.restore()
    asyncio.run(engines.start())
    asyncio.run(engines.close())
    assert toy.calls == ["restore", "start", "close"]
    assert own.ended
    assert toy.engine.ended


@live
async def test_another_kind_of_endpoints_needs_nothing_but_its_engine_and_one_line(
    fixture: ServiceFixture,
) -> None:
    async with serving(fixture) as service:
        parts = fixture.parts
        toy = ToyKind(FakeEngine(parts.reports))
        parts.engines.add(toy)
        await register(service)
        row = await service.endpoints.register(ALICE, toy.name, EndpointRegistration("e"), None)
        assert service.is_online(row)
        assert service.worker_versions(row) == {"python_version": "3.12.1"}
        there, here = batch([b"1", b"2"], endpoint=row.id.bytes), batch([b"3"])
        await service.submit(ALICE, there)
        await service.submit(ALICE, here)
        assert (toy.engine.woken, fixture.engine.woken) == ([row.id.bytes], [DEFAULT_POOL])
        first, _ = toy.engine.events.take(row.id.bytes, 5)
        toy.engine.end(row.id.bytes, [first])
        await turn(20)
        assert service.task(ALICE, there.prefix, 0).status == "success"
        outcome = service.task(ALICE, there.prefix, 0).outcome
        assert outcome is not None
        assert service.task_details(outcome)["pool"] == row.id.bytes
        toy.engine.events.returned(row.id.bytes, [(first.batch, 1, 1)])
        await service.delete_endpoint(ALICE, row.id)
        await turn(20)
        assert service.task(ALICE, there.prefix, 1).status == "failed"
        assert toy.finished == [first.batch]
        assert service.task(ALICE, here.prefix, 0).status == "waiting-for-ep"
