"""Tasks of a program that has gone run after those that a client waits for, and all of them run."""

from __future__ import annotations

from compute_executor.protocol.frames import ProgramInfo
from compute_executor.service.service import Service
from tests.service.fixture import (
    ALICE,
    BOB,
    SPEC,
    House,
    Listener,
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
async def test_a_program_that_has_gone_makes_room_for_the_next(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        old = await executor(service, OLD, 5)
        service.unsubscribe(old)
        await executor(service, NEW, 2)
        assert take(house, pool=OLD) == []
        house.engine.woken.clear()
        newer = take(house, pool=NEW)
        assert len(newer) == 2
        await turn()
        assert house.engine.woken == [OLD]
        assert len(take(house, pool=OLD)) == 5


@live
async def test_it_need_not_wait_for_work_that_is_cancelled_or_whose_client_goes(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        service.unsubscribe(await executor(service, OLD, 5))
        newer = await executor(service, NEW, 2)
        assert take(house, pool=OLD) == []
        house.engine.woken.clear()
        service.unsubscribe(newer)
        assert house.engine.woken == [OLD]
        sent = batch([b"y"], group=NEW, pool=NEW)
        await service.submit(ALICE, sent)
        service.subscribe(ALICE, newer, NEW)
        assert take(house, pool=OLD) == []
        await service.cancel_group(ALICE, NEW, running=False)
        assert house.engine.woken[-1] == OLD
        assert len(take(house, pool=OLD)) == 5


@live
async def test_a_client_that_comes_back_for_it_has_it_run(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        service.unsubscribe(await executor(service, OLD, 5))
        await executor(service, NEW, 2)
        assert take(house, pool=OLD) == []
        house.engine.woken.clear()
        service.subscribe(ALICE, Listener(), OLD)
        assert house.engine.woken == [OLD]
        assert len(take(house, pool=OLD)) == 5


@live
async def test_another_user_is_not_held_up(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        await register(service, BOB)
        service.unsubscribe(await executor(service, OLD, 5))
        await executor(service, NEW, 2, who=BOB)
        assert len(take(house, pool=OLD)) == 5


@live
async def test_after_a_restart_nobody_waits_for_it_until_its_client_is_back(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        await executor(service, OLD, 5)
        polled = batch([b"p"])
        await service.submit(ALICE, polled)
    async with serving(house) as service:
        await executor(service, NEW, 1)
        assert take(house, pool=OLD) == []
        assert len(take(house)) == 1, "a group that never had a subscriber may be polled"
        assert len(take(house, pool=NEW)) == 1
        await turn()
        assert len(take(house, pool=OLD)) == 5
