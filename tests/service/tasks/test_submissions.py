"""A batch is stored once, whole, or refused with a reason that names what is wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from compute_executor.errors import (
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    ResourcesNotOffered,
    ServiceUnavailable,
)
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix
from compute_executor.service.limits import ServiceLimits
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

# -- idempotence --------------------------------------------------------------------------------------------


@live
async def test_the_same_batch_again_runs_nothing(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        sent = batch([b"a"])
        together = await asyncio.gather(service.submit(ALICE, sent), service.submit(ALICE, sent))
        await service.submit(ALICE, sent)
        assert together == [None, None]
        tasks = take(fixture)
        assert len(tasks) == 1
        fixture.engine.end(DEFAULT_POOL, tasks)
        await turn(20)
        await service.submit(ALICE, sent)
        assert take(fixture) == []


@live
async def test_anothers_prefix_is_refused(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await register(service, BOB)
        sent = batch([b"a"])
        first = service.submit_soon(ALICE, sent)
        theirs = batch([b"a"], prefix=sent.prefix, group=b"b" * 16)
        for _ in ("on its way", "open", "finished"):
            with pytest.raises(NotFound, match=f"(?m)^there is no batch {sent.prefix.hex()} for you$"):
                await service.submit(BOB, theirs)
            await first
            fixture.engine.end(DEFAULT_POOL, take(fixture))
            await turn(20)


@live
async def test_a_batch_that_is_stored_and_cannot_be_read_is_not_absent(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client sends tasks whose batch is refused as absent in another one: they would run twice."""
    async with serving(fixture) as service:
        await register(service)
        sent = batch([b"a"])
        await service.submit(ALICE, sent)
        fixture.engine.end(DEFAULT_POOL, take(fixture))
        await turn(20)
        monkeypatch.setattr(fixture.store.read, "batch", lambda _: None)
        with pytest.raises(ServiceUnavailable, match="cannot be read there now"):
            await service.submit(ALICE, sent)


@live
async def test_a_commit_that_failed_and_is_there_all_the_same(fixture: ServiceFixture) -> None:
    """After an fsync error a batch may be in the file although its client heard of a failure."""
    async with serving(fixture) as service:
        await register(service)
        sent = batch([b"a"])
        await service.submit(ALICE, sent)
        (task,) = take(fixture)
        fixture.parts.batches.finish(fixture.parts.dispatch.by_prefix(sent.prefix))  # type: ignore[arg-type]
        await service.submit(ALICE, sent)
        assert take(fixture) == [task]


@live
async def test_idempotency_keys(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        sent, key = batch([b"a"]), ("key", b"digest of the body")
        assert service.known_submit(ALICE, key) is None
        await service.submit(ALICE, sent, key)
        known = service.known_submit(ALICE, key)
        assert known is not None
        assert (known.prefix, known.group) == (sent.prefix, GROUP)
        assert service.known_submit(BOB, key) is None
        with pytest.raises(InvalidRequest, match="new one"):
            service.known_submit(ALICE, ("key", b"another body"))


# -- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"prefix": b"x" * 12}, InvalidRequest, "version 8"),
        ({"prefix": b"x"}, InvalidRequest, "12 bytes"),
        ({"group": b"x"}, InvalidRequest, "16 bytes"),
        ({"endpoint": b"e" * 16}, NotFound, "no endpoint"),
        ({"count": 0}, InvalidRequest, "1 to"),
        ({"count": 3}, InvalidRequest, "has 1 tasks, not 3"),
        ({"count": 51}, InvalidRequest, "1 to 50"),
        ({"functions": []}, InvalidRequest, "names 1 to"),
        ({"functions": [b"short"]}, InvalidRequest, "16 bytes"),
        ({"functions": [b"u" * 32]}, NotFound, "register it first"),
        ({"functions": [b"u" * 16]}, NotFound, "no function"),
        ({"pool": b"u" * 16}, NotFound, "open it"),
        ({"tasks": msgspec.Raw(b"\xc1")}, InvalidRequest, "cannot be read"),
        ({"tasks": msgspec.Raw(msgspec.msgpack.encode([(1, b"")]))}, InvalidRequest, "function 1 of 1"),
        ({"tasks": msgspec.Raw(msgspec.msgpack.encode([(-1, b"")]))}, InvalidRequest, "function -1"),
        ({"tasks": msgspec.Raw(msgspec.msgpack.encode([(0, bytes(70_000))]))}, PayloadTooLarge, "65536"),
        ({"tasks": msgspec.Raw(msgspec.msgpack.encode([(0, ["a" * 32, 5])]))}, InvalidRequest, "not there"),
        ({"tasks": msgspec.Raw(msgspec.msgpack.encode([(0, ["../x", 5])]))}, InvalidRequest, "no blob name"),
        ({"options": frames.Options(container=b"c" * 16)}, NotFound, "no container 63636363-"),
        ({"options": frames.Options(retries=-1)}, InvalidRequest, "retries"),
        ({"options": frames.Options(retries=10**6)}, InvalidRequest, "retries"),
        ({"options": frames.Options(walltime=0.0)}, InvalidRequest, "0 seconds"),
        ({"options": frames.Options(walltime=float("nan"))}, InvalidRequest, "0 seconds"),
        ({"options": frames.Options(cores=-3)}, InvalidRequest, "cores may be 1 to 1000000, not -3"),
        ({"options": frames.Options(ranks=0)}, InvalidRequest, "ranks may be"),
        ({"options": frames.Options(cores=3)}, ResourcesNotOffered, "cores=3, and 2 workers are there"),
        ({"options": frames.Options(memory=1 << 60)}, ResourcesNotOffered, "memory="),
        ({"options": frames.Options(gpus=1)}, ResourcesNotOffered, "gpus=1, and no devices"),
        ({"options": frames.Options(nodes=2)}, ResourcesNotOffered, "nodes=2, and a call runs on 1 machine"),
    ],
)
@live
async def test_what_is_wrong_is_named_and_nothing_is_kept(
    fixture: ServiceFixture, changed: dict[str, Any], error: type[Exception], says: str
) -> None:
    async with serving(fixture, limits=ServiceLimits(batch=50)) as service:
        await register(service)
        with pytest.raises(error, match=says):
            await service.submit(ALICE, batch([b"a"], **changed))
        assert list(fixture.store.read.open_batches()) == []
        assert not service.busy()


@live
async def test_too_many_open_tasks_are_refused_for_now(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=ServiceLimits(open_tasks=3)) as service:
        await register(service)
        await service.submit(ALICE, batch([b"a", b"b"]))
        with pytest.raises(ServiceUnavailable, match="limit of 3"):
            await service.submit(ALICE, batch([b"c", b"d"]))
        await service.submit(ALICE, batch([b"c"]))


@live
async def test_foreign_things_do_not_exist(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        function = await register(service)
        sent = batch([b"a"])
        await service.submit(ALICE, sent)
        await service.open_pool(ALICE, POOL, SPEC)
        for deny in (
            lambda: service.function(BOB, function),
            lambda: service.function_body(BOB, function),
            lambda: service.task(BOB, sent.prefix, 0),
            lambda: service.group_tasks(BOB, GROUP),
            lambda: service.subscribe(BOB, Listener(), GROUP),
            lambda: service.ack(BOB, GROUP, 1),
            lambda: service.submit_soon(BOB, batch([b"b"], functions=[function], group=b"b" * 16)),
            lambda: service.submit_soon(ALICE, batch([b"b"], functions=[b"u" * 16])),
        ):
            with pytest.raises(NotFound):
                deny()
        await register(service, BOB)
        for theirs in (batch([b"b"]), batch([b"b"], pool=POOL, group=b"b" * 16)):
            with pytest.raises(NotFound):
                await service.submit(BOB, theirs)
        assert await service.cancel(BOB, [(sent.prefix, [0])]) == []
        with pytest.raises(NotFound):
            await service.delete_function(BOB, function)


@live
async def test_absent_things_do_not_exist_either(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        sent = batch([b"a"])
        await service.submit(ALICE, sent)
        for prefix, position in ((new_prefix(), 0), (sent.prefix, 1)):
            with pytest.raises(NotFound):
                service.task(ALICE, prefix, position)
        with pytest.raises(NotFound):
            service.group_tasks(ALICE, b"u" * 16)
        assert await service.cancel(ALICE, [(new_prefix(), [0])]) == []


@pytest.mark.parametrize("finished", [False, True])
@live
async def test_another_batch_under_the_same_prefix_is_refused(
    fixture: ServiceFixture, finished: bool
) -> None:
    async with serving(fixture) as service:
        await register(service)
        first = batch([b"a"])
        await service.submit(ALICE, first)
        if finished:
            fixture.engine.end(DEFAULT_POOL, take(fixture))
            await turn(20)
        await service.submit(ALICE, first)  # the same again
        for other in (
            batch([b"a", b"b"], prefix=first.prefix),
            batch([b"a"], prefix=first.prefix, group=b"h" * 16),
            batch([b"a"], prefix=first.prefix, options=frames.Options(retries=1)),
        ):
            with pytest.raises(InvalidRequest, match="names another batch of yours"):
                await service.submit(ALICE, other)


@live
async def test_another_batch_under_the_prefix_of_one_on_its_way_is_refused(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        first = batch([b"a"])
        stored = service.submit_soon(ALICE, first)
        with pytest.raises(InvalidRequest, match="names another batch of yours"):
            service.submit_soon(ALICE, batch([b"b"], prefix=first.prefix))
        await stored
