"""After kill -9: what is stored stays, what has begun is lost or run again, everything else runs once."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest

from compute_executor.endpoint.pool import leftovers
from compute_executor.endpoint.pool.result_files import ResultRingFile
from compute_executor.endpoint.worker import result_ring
from compute_executor.endpoint.worker.begun_log import BegunLog
from compute_executor.errors import ServiceUnavailable
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix
from compute_executor.service import service as service_module
from compute_executor.service.service import Service
from tests.service.fixture import (
    ALICE,
    DEFAULT_POOL,
    GROUP,
    POOL,
    SPEC,
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


async def kill(fixture: ServiceFixture, service: Service) -> None:
    """As kill -9 leaves it: nothing is said to anybody, files are closed by the kernel."""
    await turn(20)
    fixture.parts.pools.stop()
    fixture.store.close()


def begin(fixture: ServiceFixture, *tasks: tuple[int, int, int], name: str = "1") -> None:
    """What workers write just before user code runs."""
    ring = BegunLog(str(fixture.rings / f"{name}.ring"))
    for task in tasks:
        ring.mark(*task)


def finish(fixture: ServiceFixture, *outcomes: result_ring.Outcome, name: str = "1") -> None:
    """What workers write when user code has returned."""
    ring_file = ResultRingFile(str(fixture.rings / f"{name}.outbox"))
    writer = result_ring.ResultRing(ring_file.file)
    for outcome in outcomes:
        assert writer.put(outcome)
    del writer  # and dies
    ring_file.inbox.close()
    os.close(ring_file.file)


def value(task: tuple[int, int, int], body: bytes, *, in_file: bool = False) -> result_ring.Outcome:
    return (*task, frames.VALUE, in_file, 1.0, 2.0, body)


async def outcomes(service: Service, count: int) -> dict[int, frames.Result]:
    """The first ``count`` outcomes of the group, by position."""
    found, after, complete = service.replay(GROUP, 0, 1_000_000)
    while not complete:
        more, after, complete = service.replay(GROUP, after, 1_000_000)
        found += more
    assert len(found) == count
    return {result.position: result for result in found}


@live
async def test_open_tasks_go_on(fixture: ServiceFixture) -> None:
    service = await fixture.start()
    await register(service)
    sent = batch([b"0", b"1", b"2", b"3"], options=frames.Options(walltime=3.0))
    await service.submit(ALICE, sent)
    tasks = fixture.engine.events.take(DEFAULT_POOL, 3)
    begin(fixture, *[task[:3] for task in tasks[:2]])
    fixture.engine.end(DEFAULT_POOL, tasks[:1])
    await kill(fixture, service)

    async with serving(fixture) as service:
        assert list(fixture.rings.iterdir()) == []
        assert DEFAULT_POOL in fixture.engine.opened
        assert fixture.engine.woken == [DEFAULT_POOL]
        found = await outcomes(service, 2)
        assert found[0].body == b"0"
        assert found[1].status == frames.LOST
        assert "service ended" in reason(found[1].body).message  # type: ignore[arg-type]
        again = fixture.engine.events.take(DEFAULT_POOL, 9)
        assert [(task.position, task.attempt, task.body, task.walltime) for task in again] == [
            (2, 1, b"2", 3.0),
            (3, 1, b"3", 3.0),
        ]
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        fixture.engine.end(DEFAULT_POOL, again)
        await listener.heard(2)
        assert not list(fixture.store.read.open_batches())
        await service.submit(ALICE, sent)
        assert fixture.engine.events.take(DEFAULT_POOL, 9) == []


@live
async def test_what_had_finished_is_an_outcome_whether_it_was_stored_or_not(fixture: ServiceFixture) -> None:
    service = await fixture.start()
    await register(service)
    await service.submit(ALICE, batch([b"0", b"1", b"2", b"3"]))
    tasks = fixture.engine.events.take(DEFAULT_POOL, 3)
    begin(fixture, *[task[:3] for task in tasks])
    fixture.engine.end(DEFAULT_POOL, tasks[:1])
    await kill(fixture, service)
    finish(fixture, value(tasks[0][:3], b"another"), value(tasks[1][:3], b"one"))
    async with serving(fixture) as service:
        found = await outcomes(service, 3)
        assert found[0].body == b"0", "the first that was stored counts"
        assert (found[1].status, found[1].body, found[1].ended) == (frames.VALUE, b"one", 2.0)
        assert found[2].status == frames.LOST
        assert [task.position for task in fixture.engine.events.take(DEFAULT_POOL, 9)] == [3]
        assert list(fixture.rings.iterdir()) == []
    assert list(fixture.rings.iterdir()) == []


@live
async def test_what_was_told_before_it_was_stored_is_told_again_under_a_number_of_its_own(
    fixture: ServiceFixture,
) -> None:
    service = await fixture.start()
    await register(service)
    listener = Listener()
    service.subscribe(ALICE, listener, GROUP)
    await service.submit(ALICE, batch([b"0", b"1"]))
    tasks = fixture.engine.events.take(DEFAULT_POOL, 2)
    begin(fixture, *[task[:3] for task in tasks])
    fixture.lock_store()  # killed before the commit
    fixture.engine.end(DEFAULT_POOL, tasks[:1], kept=True)
    (told,) = listener.got
    assert fixture.store.read.last_seq() < told.seq
    await kill(fixture, service)
    finish(fixture, value(tasks[0][:3], b"0"), value(tasks[1][:3], b"1"))
    async with serving(fixture) as service:
        listener = Listener()
        after = service.subscribe(ALICE, listener, GROUP, after=told.seq)
        found, seen = [], False
        while not seen:
            results, after, seen = service.replay(GROUP, after, 1_000_000)
            found += results
        assert [(one.position, one.body) for one in found] == [(0, b"0"), (1, b"1")]
        assert told.seq < found[0].seq < found[1].seq


@live
async def test_a_batch_whose_last_outcomes_are_found_is_finished(fixture: ServiceFixture) -> None:
    service = await fixture.start()
    await register(service)
    await service.submit(ALICE, batch([b"0", b"1"]))
    tasks = fixture.engine.events.take(DEFAULT_POOL, 9)
    begin(fixture, *[task[:3] for task in tasks])
    await kill(fixture, service)
    finish(fixture, *[value(task[:3], b"x") for task in tasks])
    async with serving(fixture) as service:
        await outcomes(service, 2)
        assert not list(fixture.store.read.open_batches())


@live
async def test_results_of_attempts_that_do_not_count_are_none(fixture: ServiceFixture) -> None:
    service = await fixture.start()
    await register(service)
    await service.submit(ALICE, batch([b"0", b"1"], options=frames.Options(retries=1)))
    tasks = fixture.engine.events.take(DEFAULT_POOL, 9)
    number = tasks[0].batch
    fixture.store.run([lambda writer: writer.next_attempts([(number, 0, 2)])])
    begin(fixture, *[task[:3] for task in tasks])
    await kill(fixture, service)
    finish(fixture, value((number, 0, 1), b"void"), value((number, 1, 1), b"early"), name="1")
    finish(fixture, value((number, 1, 2), b"late"), value((number, 7, 1), b"no task"), name="2")
    finish(fixture, value((number + 1, 0, 1), b"no batch"), name="3")
    async with serving(fixture) as service:
        found = await outcomes(service, 1)
        assert found[1].body == b"late"
        (task,) = fixture.engine.events.take(DEFAULT_POOL, 9)
        assert task[:3] == (number, 0, 2)


@live
async def test_a_result_in_a_file_needs_its_file(fixture: ServiceFixture) -> None:
    service = await fixture.start()
    await register(service)
    await service.submit(ALICE, batch([b"0", b"1", b"2"]))
    tasks = [task[:3] for task in fixture.engine.events.take(DEFAULT_POOL, 9)]
    begin(fixture, *tasks)
    await kill(fixture, service)
    (fixture.blobs.folder / ("a" * 32)).write_bytes(b"12345")
    names = (b"a" * 32 + b" 5", b"a" * 32 + b" 6", b"../store.sqlite 5")
    finish(fixture, *[value(task, name, in_file=True) for task, name in zip(tasks, names, strict=True)])
    async with serving(fixture) as service:
        found = await outcomes(service, 3)
        assert found[0].body == frames.Blob("a" * 32, 5)
        assert [found[position].status for position in (1, 2)] == [frames.LOST] * 2


@live
async def test_workers_of_the_service_before_are_gone_before_anything_is_concluded(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that still runs puts down its result and begins another task."""
    service = await fixture.start()
    await register(service)
    await service.submit(ALICE, batch([b"0", b"1"]))
    tasks = fixture.engine.events.take(DEFAULT_POOL, 9)
    await kill(fixture, service)
    waited: list[object] = []

    async def wait_until_gone(folder: object) -> None:
        waited.append(folder)
        begin(fixture, *[task[:3] for task in tasks])
        finish(fixture, value(tasks[0][:3], b"zero"))

    monkeypatch.setattr(leftovers, "wait_until_gone", wait_until_gone)
    async with serving(fixture) as service:
        found = await outcomes(service, 2)
        assert waited == [fixture.rings]
        assert (found[0].body, found[1].status) == (b"zero", frames.LOST)
        assert fixture.engine.events.take(DEFAULT_POOL, 9) == []


@live
async def test_retries_are_counted_over_restarts(fixture: ServiceFixture) -> None:
    service = await fixture.start()
    await register(service)
    await service.submit(ALICE, batch([b"0"], options=frames.Options(retries=2)))
    for attempt in (1, 2):
        (task,) = fixture.engine.events.take(DEFAULT_POOL, 9)
        assert task.attempt == attempt
        begin(fixture, task[:3])
        await kill(fixture, service)
        service = await fixture.start()
    await kill(fixture, service)
    service = await fixture.start()
    (task,) = fixture.engine.events.take(DEFAULT_POOL, 9)
    assert task.attempt == 3, "a restart in which it did not begin costs no retry"
    begin(fixture, (task.batch, 0, 1), name="old")
    begin(fixture, task[:3], name="new")
    await kill(fixture, service)
    async with serving(fixture) as service:
        found = await outcomes(service, 1)
        assert reason(found[0].body).attempts == 3  # type: ignore[arg-type]
        assert not list(fixture.store.read.attempts_due())


@live
async def test_a_retry_whose_store_was_lost_is_told_by_the_ring(fixture: ServiceFixture) -> None:
    service = await fixture.start()
    await register(service)
    await service.submit(ALICE, batch([b"0"], options=frames.Options(retries=1)))
    (task,) = fixture.engine.events.take(DEFAULT_POOL, 9)
    begin(fixture, task[:3])
    await kill(fixture, service)
    begin(fixture, task[:3])
    async with serving(fixture):
        (task,) = fixture.engine.events.take(DEFAULT_POOL, 9)
        assert task.attempt == 2


@live
async def test_pools_come_back_with_their_tasks(fixture: ServiceFixture) -> None:
    service = await fixture.start()
    await register(service)
    await service.open_pool(ALICE, POOL, SPEC)
    await service.open_pool(ALICE, b"e" * 16, SPEC)
    await service.submit(ALICE, batch([b"0"], pool=POOL))
    await kill(fixture, service)
    async with serving(fixture) as service:
        assert fixture.engine.opened == {POOL: SPEC}
        await service.open_pool(ALICE, b"e" * 16, SPEC)
        assert set(fixture.engine.opened) == {POOL, b"e" * 16}
        assert len(fixture.engine.events.take(POOL, 9)) == 1


@live
async def test_an_unused_pool_that_came_back_ends_without_having_run(fixture: ServiceFixture) -> None:
    service = await fixture.start()
    await service.open_pool(ALICE, POOL, SPEC)
    await kill(fixture, service)
    async with serving(fixture) as service:
        service.close_pool(ALICE, POOL)
        await turn(20)
        assert (fixture.engine.opened, fixture.engine.closed) == ({}, [])
        assert fixture.store.read.pools() == []


@live
async def test_tasks_of_a_pool_that_is_gone_end(fixture: ServiceFixture) -> None:
    service = await fixture.start()
    await register(service)
    await service.open_pool(ALICE, POOL, SPEC)
    await service.submit(ALICE, batch([b"0"], pool=POOL))
    fixture.store.run([lambda writer: writer.drop_pool(POOL)])
    await kill(fixture, service)
    async with serving(fixture) as service:
        await turn(20)
        found = await outcomes(service, 1)
        assert found[0].status == frames.BROKEN


@live
async def test_numbers_of_outcomes_go_on(fixture: ServiceFixture) -> None:
    fixture.echo = True
    async with serving(fixture) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([b"0", b"1"]))
        await listener.heard(2)
    async with serving(fixture) as service:
        listener = Listener()
        assert service.subscribe(ALICE, listener, GROUP, after=1) == 1
        assert [result.seq for result in service.replay(GROUP, 1, 1000)[0]] == [2]
        await service.submit(ALICE, batch([b"2"]))
        assert [result.seq for result in await listener.heard(1)] == [3]


@live
async def test_a_start_that_cannot_store_what_it_found_is_an_error(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await fixture.start()
    await register(service)
    await service.submit(ALICE, batch([b"0"]))
    (task,) = fixture.engine.events.take(DEFAULT_POOL, 9)
    begin(fixture, task[:3])
    finish(fixture, value(task[:3], b"0"))
    await kill(fixture, service)
    monkeypatch.setattr(service_module, "START_PATIENCE", 0.05)
    monkeypatch.setattr("compute_executor.service.store.writer.Writer.add_outcomes", _full)
    with pytest.raises(ServiceUnavailable, match="disk full"):
        await fixture.start()
    fixture.store.close()
    assert len(list(fixture.rings.iterdir())) == 2, "what ring and outbox say is still needed"


def _full(*_: object) -> None:
    raise OSError("no space left")


@live
async def test_closing_waits_for_no_full_disk(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await fixture.start()
    await register(service)
    await service.submit(ALICE, batch([b"0"]))
    monkeypatch.setattr(service_module, "CLOSE_PATIENCE", 0.05)
    monkeypatch.setattr("compute_executor.service.store.writer.Writer.add_outcomes", _full)
    fixture.engine.end(DEFAULT_POOL, fixture.engine.events.take(DEFAULT_POOL, 9))
    await service.close()
    assert fixture.engine.ended


@live
async def test_blobs_that_nothing_refers_to_are_swept(fixture: ServiceFixture) -> None:
    await kill(fixture, await fixture.start())
    for name in ("a" * 32, "b" * 32):
        (fixture.blobs.folder / name).write_bytes(b"12345")
        os.utime(fixture.blobs.folder / name, (1.0, 1.0))
    service = await fixture.start()
    assert list(fixture.blobs.folder.iterdir()) == []
    (fixture.blobs.folder / ("a" * 32)).write_bytes(b"12345")
    await register(service)
    await service.submit(ALICE, batch([frames.Blob("a" * 32, 5)], prefix=new_prefix()))
    os.utime(fixture.blobs.folder / ("a" * 32), (1.0, 1.0))
    await kill(fixture, service)
    async with serving(fixture):
        assert [path.name for path in fixture.blobs.folder.iterdir()] == ["a" * 32]
        (task,) = fixture.engine.events.take(DEFAULT_POOL, 9)
        assert task.body == frames.Blob("a" * 32, 5)


SPOILT = [
    "UPDATE groups SET program = x'00'",
    "UPDATE groups SET program = 7",
    "UPDATE outcomes SET blob = 'f', size = 'large'",
]


@pytest.mark.parametrize("spoil", SPOILT)
@live
async def test_a_row_of_one_user_that_cannot_be_read_keeps_no_service_from_starting(
    fixture: ServiceFixture, spoil: str
) -> None:
    service = await fixture.start()
    await register(service)
    await service.submit(ALICE, batch([b"a", b"b"]))
    (first, _) = take(fixture)
    fixture.engine.end(DEFAULT_POOL, [first])
    await kill(fixture, service)
    with closing(sqlite3.connect(fixture.path)) as connection, connection:
        connection.execute("INSERT INTO blobs (name, batch, kind, owner) VALUES ('f', 1, 'outcome', 'alice')")
        assert connection.execute(spoil).rowcount == 1
    async with serving(fixture) as again:
        await register(again)
        await again.submit(ALICE, batch([b"c"]))
