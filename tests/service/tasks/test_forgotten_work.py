"""Tasks of a program that has gone run after those that a client waits for, and all of them run."""

from __future__ import annotations

from compute_executor.protocol.frames import ProgramInfo
from compute_executor.service.service import Service
from tests.service.fixture import (
    ALICE,
    BOB,
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

OLD, NEW = b"o" * 16, b"n" * 16
PROGRAM = ProgramInfo("", "script.py", "host", 7)


async def executor(service: Service, name: bytes, count: int, *, who: object = ALICE) -> Listener:
    """A program with a pool and a task group of this name, and so many tasks queued."""
    client = Listener()
    service.subscribe(who, client, name, program=PROGRAM)  # type: ignore[arg-type]
    await service.open_pool(who, name, SPEC, client)  # type: ignore[arg-type]
    await service.submit(who, batch([b"x"] * count, pool=name, group=name))  # type: ignore[arg-type]
    return client


@live
async def test_a_program_that_has_gone_makes_room_for_the_next(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        old = await executor(service, OLD, 5)
        service.unsubscribe(old)
        await executor(service, NEW, 2)
        assert take(fixture, pool=OLD) == []
        fixture.engine.woken.clear()
        newer = take(fixture, pool=NEW)
        assert len(newer) == 2
        await turn()
        assert fixture.engine.woken == [OLD]
        assert len(take(fixture, pool=OLD)) == 5


@live
async def test_it_need_not_wait_for_work_that_is_cancelled_or_whose_client_goes(
    fixture: ServiceFixture,
) -> None:
    async with serving(fixture) as service:
        await register(service)
        service.unsubscribe(await executor(service, OLD, 5))
        newer = await executor(service, NEW, 2)
        assert take(fixture, pool=OLD) == []
        fixture.engine.woken.clear()
        service.unsubscribe(newer)
        assert fixture.engine.woken == [OLD]
        sent = batch([b"y"], group=NEW, pool=NEW)
        await service.submit(ALICE, sent)
        service.subscribe(ALICE, newer, NEW)
        assert take(fixture, pool=OLD) == []
        await service.cancel_group(ALICE, NEW, running=False)
        assert fixture.engine.woken[-1] == OLD
        assert len(take(fixture, pool=OLD)) == 5


@live
async def test_a_client_that_comes_back_for_it_has_it_run(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        service.unsubscribe(await executor(service, OLD, 5))
        await executor(service, NEW, 2)
        assert take(fixture, pool=OLD) == []
        fixture.engine.woken.clear()
        service.subscribe(ALICE, Listener(), OLD)
        assert fixture.engine.woken == [OLD]
        assert len(take(fixture, pool=OLD)) == 5


@live
async def test_another_user_is_not_held_up(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await register(service, BOB)
        service.unsubscribe(await executor(service, OLD, 5))
        await executor(service, NEW, 2, who=BOB)
        assert len(take(fixture, pool=OLD)) == 5


@live
async def test_after_a_restart_nobody_waits_for_it_until_its_client_is_back(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await executor(service, OLD, 5)
        polled = batch([b"p"])
        await service.submit(ALICE, polled)
    async with serving(fixture) as service:
        await executor(service, NEW, 1)
        assert take(fixture, pool=OLD) == []
        assert len(take(fixture)) == 1, "a group that never had a subscriber may be polled"
        assert len(take(fixture, pool=NEW)) == 1
        await turn()
        assert len(take(fixture, pool=OLD)) == 5
