"""Results in queues of the broker: each that is stored, after it is stored, once; and none is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pika
import pytest

from compute_executor.errors import BrokerUnconfirmed, BrokerUnroutable, NotFound, ServiceUnavailable
from compute_executor.protocol.ids import task_uuid
from compute_executor.serialization import native
from compute_executor.service.globus_compute import names
from compute_executor.service.globus_compute import result_queues as module
from compute_executor.session.hosted import messages as read
from tests.service.fixture import (
    ALICE,
    BOB,
    DEFAULT_POOL,
    GROUP,
    ServiceFixture,
    batch,
    live,
    register,
    serving,
    take,
    turn,
)

QUEUE = names.result_queue(ALICE.id, GROUP)


class FakeLink:
    """Takes what is published, unless ``fails`` says how it fails."""

    def __init__(self) -> None:
        self.open = True
        self.declared: list[tuple[str, dict[str, Any]]] = []
        self.published: list[tuple[str, bytes]] = []
        self.fails: Callable[[], Exception] | None = None
        self.missing: Exception | None = None

    async def declare(self, queue: str, arguments: dict[str, Any]) -> None:
        if self.missing is not None:
            raise self.missing
        self.declared.append((queue, arguments))

    def publish(
        self, exchange: str, key: str, body: bytes, properties: pika.BasicProperties
    ) -> asyncio.Future[None]:
        assert exchange == ""
        assert properties.timestamp
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.fails is not None:
            future.set_exception(self.fails())
        else:
            self.published.append((key, body))
            future.set_result(None)
        return future

    def values(self) -> list[Any]:
        return [native.loads(read.read(body).body) for _, body in self.published]


@pytest.fixture
def fixture(tmp_path: Path) -> ServiceFixture:
    return ServiceFixture(tmp_path, echo=True)


def connected(service: Any) -> FakeLink:
    link = FakeLink()
    service.globus_compute.queues.connect(cast(Any, link))
    return link


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), 5)


async def submit(service: Any, count: int, first: int = 0) -> Any:
    one = batch([native.dumps(number) for number in range(first, first + count)])
    async with service.globus_compute.queues.wanted(ALICE, GROUP):
        await service.submit(ALICE, one)
    return one


def known(fixture: ServiceFixture) -> list[Any]:
    return fixture.parts.store.read.rows("all_result_queues")


@live
async def test_each_result_is_published_as_stock_sdks_read_it(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        link = connected(service)
        await register(service)
        one = await submit(service, 3)
        await until(lambda: len(link.published) == 3)
        assert link.declared == [(QUEUE, {"x-expires": module.UNUSED * 1000})]
        assert {key for key, _ in link.published} == {QUEUE}
        assert {read.read(body).task_id for _, body in link.published} == {
            task_uuid(one.prefix, position) for position in range(3)
        }
        assert sorted(link.values()) == [0, 1, 2]


@live
async def test_a_group_without_open_tasks_is_forgotten(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        link = connected(service)
        await register(service)
        await submit(service, 1)
        await until(lambda: not service.globus_compute.queues._queues)
        await until(lambda: not known(fixture))
        await submit(service, 1, first=7)
        await until(lambda: len(link.published) == 2)
        assert link.values() == [0, 7]


@live
async def test_many_are_published_in_parts(fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1)
    async with serving(fixture) as service:
        link = connected(service)
        await register(service)
        await submit(service, 20)
        await until(lambda: len(link.published) == 20)
        assert sorted(link.values()) == list(range(20))


@live
async def test_while_the_broker_is_away_results_wait(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        link = connected(service)
        await register(service)
        link.open = False
        await submit(service, 2)
        await until(lambda: fixture.parts.outcomes.stored_count == 2)
        await turn()
        assert link.published == []
        link.open = True
        service.globus_compute.queues.opened()
        await until(lambda: len(link.published) == 2)


@live
async def test_what_was_not_confirmed_is_published_again(
    fixture: ServiceFixture, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(fixture) as service:
        link = connected(service)
        await register(service)
        link.fails = lambda: BrokerUnconfirmed("the broker was lost")
        await submit(service, 2)
        await until(lambda: "wait: the broker was lost" in caplog.text)
        link.fails = None
        service.globus_compute.queues.opened()
        await until(lambda: sorted(link.values()) == [0, 1])


@pytest.mark.parametrize("makes", [True, False])
@live
async def test_a_queue_that_is_gone_is_made_again(
    fixture: ServiceFixture, makes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(fixture) as service:
        link = connected(service)
        await register(service)
        link.fails = lambda: BrokerUnroutable("there is no queue")
        one = batch([native.dumps(1)])
        async with service.globus_compute.queues.wanted(ALICE, GROUP):
            await service.submit(ALICE, one)
            if not makes:
                link.missing = ServiceUnavailable("no broker")
        await until(lambda: len(link.declared) == 2 if makes else "no broker" in caplog.text)
        link.fails = link.missing = None
        service.globus_compute.queues.opened()
        await until(lambda: link.values() == [1])


@live
async def test_an_error_of_ours_costs_one_round(
    fixture: ServiceFixture, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(fixture) as service:
        link = connected(service)
        await register(service)
        link.fails = lambda: RuntimeError("a bug")
        await submit(service, 1)
        await until(lambda: "a bug" in caplog.text)
        link.fails = None
        service.globus_compute.queues.opened()
        await until(lambda: link.values() == [0])


@live
async def test_the_next_service_goes_on_where_this_one_ended(fixture: ServiceFixture) -> None:
    fixture.echo = False
    async with serving(fixture) as service:
        link = connected(service)
        await register(service)
        await submit(service, 3)
        first, second, _ = take(fixture)
        fixture.engine.end(DEFAULT_POOL, [first])
        await until(lambda: len(link.published) == 1)
        await until(lambda: known(fixture)[0][2] > 0)
        link.open = False
        fixture.engine.end(DEFAULT_POOL, [second])
        await until(lambda: fixture.parts.outcomes.stored_count == 2)
    async with serving(fixture) as service:
        link = connected(service)
        service.globus_compute.queues.opened()
        await until(lambda: len(link.published) == 1)
        assert link.values() == [1]


@live
async def test_the_group_of_somebody_else_is_refused(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        connected(service)
        await register(service)
        await submit(service, 1)
        with pytest.raises(NotFound):
            async with service.globus_compute.queues.wanted(BOB, GROUP):
                pytest.fail("it is not his")


@live
async def test_while_the_broker_is_away_a_batch_is_stored_and_its_queue_made_later(
    fixture: ServiceFixture,
) -> None:
    async with serving(fixture) as service:
        link = connected(service)
        await register(service)
        link.open, link.missing = False, ServiceUnavailable("no broker")
        await submit(service, 2)
        assert link.declared == []
        link.open, link.missing = True, None
        service.globus_compute.queues.opened()
        await until(lambda: len(link.published) == 2)
        assert [queue for queue, _ in link.declared] == [QUEUE]
        await until(lambda: not service.globus_compute.queues._queues)


@live
async def test_who_lists_open_tasks_gets_a_queue_for_their_results(fixture: ServiceFixture) -> None:
    fixture.echo = False
    async with serving(fixture) as service:
        link, queues = connected(service), service.globus_compute.queues
        await register(service)
        await queues.listened(ALICE, GROUP)
        assert link.declared == []  # there is nothing to come
        await service.submit(ALICE, batch([native.dumps(1)]))
        await queues.listened(ALICE, GROUP)
        await queues.listened(ALICE, GROUP)
        assert {queue for queue, _ in link.declared} == {QUEUE}
        with pytest.raises(NotFound):
            await queues.listened(BOB, GROUP)
        fixture.engine.end(DEFAULT_POOL, take(fixture))
        await until(lambda: link.values() == [1])


@live
async def test_without_a_broker_nothing_is_made(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await submit(service, 1)
        assert service.globus_compute.queues._queues == {}


def test_other_news_are_none_for_a_queue() -> None:
    pumped: list[Any] = []
    queue = module.ResultQueue(GROUP, "alice", 0, pumped.append)
    queue.began([(b"", 0, 1.0)])
    queue.pool_failed(b"", "why")
    asyncio.run(queue.goodbye("bye"))
    queue.results(GROUP, [])
    assert pumped == []
    queue.stored(GROUP)
    assert pumped == [queue]
