"""What engines report: lost workers, returned tasks, output; and outcomes when the disk is full."""

from __future__ import annotations

import asyncio

import pytest

from compute_executor.errors import (
    ServiceUnavailable,
)
from compute_executor.protocol import frames
from compute_executor.protocol.frames import Written
from compute_executor.protocol.ids import task_uuid
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.store.reader import Reader
from tests.service.fixture import (
    ALICE,
    DEFAULT_POOL,
    GROUP,
    Listener,
    ServiceFixture,
    batch,
    live,
    reason,
    register,
    serving,
    take,
    turn,
)

# -- trouble with workers -----------------------------------------------------------------------------------


@live
async def test_a_lost_worker_ends_its_task(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([b"a"]))
        (task,) = take(fixture)
        fixture.engine.events.lost(DEFAULT_POOL, *task[:3], frames.Reason("killed", -9))
        fixture.engine.events.lost(DEFAULT_POOL, *task[:3], frames.Reason("killed", -9))
        fixture.engine.end(DEFAULT_POOL, [task])
        (result,) = await listener.heard(1)
        assert result.status == frames.LOST
        assert reason(result.body) == frames.Reason("killed", -9, True, 1)  # type: ignore[arg-type]
        await turn(20)
        assert not fixture.store.read.ended_positions(99)
        assert len(listener.got) == 1


@live
async def test_retries_are_for_lost_workers(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([b"a"], options=frames.Options(retries=1)))
        (first,) = take(fixture)
        fixture.engine.events.lost(DEFAULT_POOL, *first[:3], frames.Reason("killed", -9))
        assert fixture.engine.woken == [DEFAULT_POOL] * 2
        (second,) = take(fixture)
        assert second.attempt == 2
        fixture.engine.end(DEFAULT_POOL, [first])
        await turn(20)
        assert listener.got == []
        assert list(fixture.store.read.attempts_due()) == [(first.batch, 0, 2)]
        fixture.engine.events.lost(DEFAULT_POOL, *second[:3], frames.Reason("killed", -9))
        (result,) = await listener.heard(1)
        assert reason(result.body).attempts == 2  # type: ignore[arg-type]


@live
async def test_when_a_lost_task_began_is_kept_if_it_was_told(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        one = batch([b"a", b"b"])
        await service.submit(ALICE, one)
        told, quick = take(fixture)
        fixture.engine.events.began(DEFAULT_POOL, [(*told[:3], 5.0)])
        for lost in (told, quick):
            fixture.engine.events.lost(DEFAULT_POOL, *lost[:3], frames.Reason("killed", -9))
        await fixture.parts.outcomes.all_stored()
        found = [service.listing.task(ALICE, one.prefix, position) for position in (0, 1)]
        assert [(task["state"], task["began"]) for task in found] == [("lost", 5.0), ("lost", None)]


@live
async def test_returned_tasks_are_given_again(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch([b"a", b"b"]))
        tasks = take(fixture, 1)
        fixture.engine.events.returned(DEFAULT_POOL, [tasks[0][:3]])
        assert take(fixture, 1) == tasks


@live
async def test_output_reaches_the_log_harmless(
    fixture: ServiceFixture, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "compute_executor.task")
    async with serving(fixture) as service:
        await register(service)
        sent = batch([b"a"])
        await service.submit(ALICE, sent)
        (task,) = take(fixture)
        text = b"hello\n\x1b[31mred\xff"
        fixture.engine.events.output(DEFAULT_POOL, task.batch, 0, Written(text, starts=(7, 0, 0)))
        fixture.engine.events.output(DEFAULT_POOL, 77, 3, Written(b"late"))
    texts = [record.getMessage() for record in caplog.records if record.name == "compute_executor.task"]
    name = task_uuid(sent.prefix, 0)
    assert texts == [
        f"task {name}: [7 bytes before]",
        f"task {name}: hello",
        f"task {name}: \\x1b[31mred\\xff",
    ]


# -- the store in trouble -----------------------------------------------------------------------------------


@live
async def test_a_full_disk_is_survived(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        sent = batch([b"x" * 200] * 2000)
        await service.submit(ALICE, sent)
        tasks = take(fixture, 1000)
        connection = fixture.store._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        fixture.engine.end(DEFAULT_POOL, tasks)
        await turn(20)
        assert service.overview()["storing"] == "stalled"
        assert take(fixture) == [], "no new work while outcomes cannot be stored"
        with pytest.raises(ServiceUnavailable, match="full"):
            await service.submit(ALICE, batch([b"y" * 60_000]))
        fixture.engine.woken.clear()
        connection.execute("PRAGMA max_page_count = 1000000")
        assert len(await listener.heard(1000)) == 1000
        assert fixture.engine.woken == [DEFAULT_POOL]
        fixture.engine.end(DEFAULT_POOL, take(fixture, 5000))
        await listener.heard(2000)


@live
async def test_arguments_that_cannot_be_read_wait(
    fixture: ServiceFixture, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute_executor.service.tasks.open_batches.READ_AGAIN", 0.001)
    read, broken = Reader.batch_tasks, list[bool]()
    monkeypatch.setattr(Reader, "batch_tasks", lambda reader, number: b"" if broken else read(reader, number))
    async with serving(fixture, limits=ServiceLimits(decoded_tasks=0)) as service:
        await register(service)
        await service.submit(ALICE, batch([b"a", b"b"]))
        await service.submit(ALICE, batch([b"c"]))
        broken.append(True)
        assert take(fixture) == []
        assert "cannot be read" in caplog.text
        broken.clear()
        fixture.engine.woken.clear()
        while not fixture.engine.woken:
            await asyncio.sleep(0.001)
        assert [task.body for task in take(fixture)] == [b"a", b"b", b"c"]
