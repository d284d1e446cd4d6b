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
    House,
    Listener,
    batch,
    live,
    reason,
    register,
    serving,
    take,
    turn,
)


async def kill(house: House, service: Service) -> None:
    """As kill -9 leaves it: nothing is said to anybody, files are closed by the kernel."""
    await turn(20)
    house.parts.pools.stop()
    house.store.close()


def begin(house: House, *tasks: tuple[int, int, int], name: str = "1") -> None:
    """What workers write just before user code runs."""
    ring = BegunLog(str(house.rings / f"{name}.ring"))
    for task in tasks:
        ring.mark(*task)


def finish(house: House, *outcomes: result_ring.Outcome, name: str = "1") -> None:
    """What workers write when user code has returned."""
    box = ResultRingFile(str(house.rings / f"{name}.outbox"))
    writer = result_ring.ResultRing(box.file)
    for outcome in outcomes:
        assert writer.put(outcome)
    del writer  # and dies
    box.inbox.close()
    os.close(box.file)


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
async def test_open_tasks_go_on(house: House) -> None:
    service = await house.start()
    await register(service)
    sent = batch([b"0", b"1", b"2", b"3"], options=frames.Options(walltime=3.0))
    await service.submit(ALICE, sent)
    tasks = house.engine.events.take(DEFAULT_POOL, 3)
    begin(house, *[task[:3] for task in tasks[:2]])
    house.engine.end(DEFAULT_POOL, tasks[:1])
    await kill(house, service)

    async with serving(house) as service:
        assert list(house.rings.iterdir()) == []
        assert DEFAULT_POOL in house.engine.opened
        assert house.engine.woken == [DEFAULT_POOL]
        found = await outcomes(service, 2)
        assert found[0].body == b"0"
        assert found[1].status == frames.LOST
        assert "service ended" in reason(found[1].body).message  # type: ignore[arg-type]
        again = house.engine.events.take(DEFAULT_POOL, 9)
        assert [(task.position, task.attempt, task.body, task.walltime) for task in again] == [
            (2, 1, b"2", 3.0),
            (3, 1, b"3", 3.0),
        ]
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        house.engine.end(DEFAULT_POOL, again)
        await listener.heard(2)
        assert not list(house.store.read.open_batches())
        await service.submit(ALICE, sent)
        assert house.engine.events.take(DEFAULT_POOL, 9) == []


@live
async def test_what_had_finished_is_an_outcome_whether_it_was_stored_or_not(house: House) -> None:
    service = await house.start()
    await register(service)
    await service.submit(ALICE, batch([b"0", b"1", b"2", b"3"]))
    tasks = house.engine.events.take(DEFAULT_POOL, 3)
    begin(house, *[task[:3] for task in tasks])
    house.engine.end(DEFAULT_POOL, tasks[:1])
    await kill(house, service)
    finish(house, value(tasks[0][:3], b"another"), value(tasks[1][:3], b"one"))
    async with serving(house) as service:
        found = await outcomes(service, 3)
        assert found[0].body == b"0", "the first that was stored counts"
        assert (found[1].status, found[1].body, found[1].ended) == (frames.VALUE, b"one", 2.0)
        assert found[2].status == frames.LOST
        assert [task.position for task in house.engine.events.take(DEFAULT_POOL, 9)] == [3]
        assert list(house.rings.iterdir()) == []
    assert list(house.rings.iterdir()) == []


@live
async def test_what_was_told_before_it_was_stored_is_told_again_under_a_number_of_its_own(
    house: House,
) -> None:
    service = await house.start()
    await register(service)
    listener = Listener()
    service.subscribe(ALICE, listener, GROUP)
    await service.submit(ALICE, batch([b"0", b"1"]))
    tasks = house.engine.events.take(DEFAULT_POOL, 2)
    begin(house, *[task[:3] for task in tasks])
    house.lock_store()  # killed before the commit
    house.engine.end(DEFAULT_POOL, tasks[:1], kept=True)
    (told,) = listener.got
    assert house.store.read.last_seq() < told.seq
    await kill(house, service)
    finish(house, value(tasks[0][:3], b"0"), value(tasks[1][:3], b"1"))
    async with serving(house) as service:
        listener = Listener()
        after = service.subscribe(ALICE, listener, GROUP, after=told.seq)
        found, seen = [], False
        while not seen:
            results, after, seen = service.replay(GROUP, after, 1_000_000)
            found += results
        assert [(one.position, one.body) for one in found] == [(0, b"0"), (1, b"1")]
        assert told.seq < found[0].seq < found[1].seq


@live
async def test_a_batch_whose_last_outcomes_are_found_is_finished(house: House) -> None:
    service = await house.start()
    await register(service)
    await service.submit(ALICE, batch([b"0", b"1"]))
    tasks = house.engine.events.take(DEFAULT_POOL, 9)
    begin(house, *[task[:3] for task in tasks])
    await kill(house, service)
    finish(house, *[value(task[:3], b"x") for task in tasks])
    async with serving(house) as service:
        await outcomes(service, 2)
        assert not list(house.store.read.open_batches())


@live
async def test_results_of_attempts_that_do_not_count_are_none(house: House) -> None:
    service = await house.start()
    await register(service)
    await service.submit(ALICE, batch([b"0", b"1"], options=frames.Options(retries=1)))
    tasks = house.engine.events.take(DEFAULT_POOL, 9)
    number = tasks[0].batch
    house.store.run([lambda writer: writer.next_attempts([(number, 0, 2)])])
    begin(house, *[task[:3] for task in tasks])
    await kill(house, service)
    finish(house, value((number, 0, 1), b"void"), value((number, 1, 1), b"early"), name="1")
    finish(house, value((number, 1, 2), b"late"), value((number, 7, 1), b"no task"), name="2")
    finish(house, value((number + 1, 0, 1), b"no batch"), name="3")
    async with serving(house) as service:
        found = await outcomes(service, 1)
        assert found[1].body == b"late"
        (task,) = house.engine.events.take(DEFAULT_POOL, 9)
        assert task[:3] == (number, 0, 2)


@live
async def test_a_result_in_a_file_needs_its_file(house: House) -> None:
    service = await house.start()
    await register(service)
    await service.submit(ALICE, batch([b"0", b"1", b"2"]))
    tasks = [task[:3] for task in house.engine.events.take(DEFAULT_POOL, 9)]
    begin(house, *tasks)
    await kill(house, service)
    (house.blobs.folder / ("a" * 32)).write_bytes(b"12345")
    names = (b"a" * 32 + b" 5", b"a" * 32 + b" 6", b"../store.sqlite 5")
    finish(house, *[value(task, name, in_file=True) for task, name in zip(tasks, names, strict=True)])
    async with serving(house) as service:
        found = await outcomes(service, 3)
        assert found[0].body == frames.Blob("a" * 32, 5)
        assert [found[position].status for position in (1, 2)] == [frames.LOST] * 2


@live
async def test_workers_of_the_service_before_are_gone_before_anything_is_concluded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that still runs puts down its result and begins another task."""
    service = await house.start()
    await register(service)
    await service.submit(ALICE, batch([b"0", b"1"]))
    tasks = house.engine.events.take(DEFAULT_POOL, 9)
    await kill(house, service)
    waited: list[object] = []

    async def wait_until_gone(folder: object) -> None:
        waited.append(folder)
        begin(house, *[task[:3] for task in tasks])
        finish(house, value(tasks[0][:3], b"zero"))

    monkeypatch.setattr(leftovers, "wait_until_gone", wait_until_gone)
    async with serving(house) as service:
        found = await outcomes(service, 2)
        assert waited == [house.rings]
        assert (found[0].body, found[1].status) == (b"zero", frames.LOST)
        assert house.engine.events.take(DEFAULT_POOL, 9) == []


@live
async def test_retries_are_counted_over_restarts(house: House) -> None:
    service = await house.start()
    await register(service)
    await service.submit(ALICE, batch([b"0"], options=frames.Options(retries=2)))
    for attempt in (1, 2):
        (task,) = house.engine.events.take(DEFAULT_POOL, 9)
        assert task.attempt == attempt
        begin(house, task[:3])
        await kill(house, service)
        service = await house.start()
    await kill(house, service)
    service = await house.start()
    (task,) = house.engine.events.take(DEFAULT_POOL, 9)
    assert task.attempt == 3, "a restart in which it did not begin costs no retry"
    begin(house, (task.batch, 0, 1), name="old")
    begin(house, task[:3], name="new")
    await kill(house, service)
    async with serving(house) as service:
        found = await outcomes(service, 1)
        assert reason(found[0].body).attempts == 3  # type: ignore[arg-type]
        assert not list(house.store.read.attempts_due())


@live
async def test_a_retry_whose_store_was_lost_is_told_by_the_ring(house: House) -> None:
    service = await house.start()
    await register(service)
    await service.submit(ALICE, batch([b"0"], options=frames.Options(retries=1)))
    (task,) = house.engine.events.take(DEFAULT_POOL, 9)
    begin(house, task[:3])
    await kill(house, service)
    begin(house, task[:3])
    async with serving(house):
        (task,) = house.engine.events.take(DEFAULT_POOL, 9)
        assert task.attempt == 2


@live
async def test_pools_come_back_with_their_tasks(house: House) -> None:
    service = await house.start()
    await register(service)
    await service.open_pool(ALICE, POOL, SPEC)
    await service.open_pool(ALICE, b"e" * 16, SPEC)
    await service.submit(ALICE, batch([b"0"], pool=POOL))
    await kill(house, service)
    async with serving(house) as service:
        assert house.engine.opened == {POOL: SPEC}
        await service.open_pool(ALICE, b"e" * 16, SPEC)
        assert set(house.engine.opened) == {POOL, b"e" * 16}
        assert len(house.engine.events.take(POOL, 9)) == 1


@live
async def test_an_unused_pool_that_came_back_ends_without_having_run(house: House) -> None:
    service = await house.start()
    await service.open_pool(ALICE, POOL, SPEC)
    await kill(house, service)
    async with serving(house) as service:
        service.close_pool(ALICE, POOL)
        await turn(20)
        assert (house.engine.opened, house.engine.closed) == ({}, [])
        assert house.store.read.pools() == []


@live
async def test_tasks_of_a_pool_that_is_gone_end(house: House) -> None:
    service = await house.start()
    await register(service)
    await service.open_pool(ALICE, POOL, SPEC)
    await service.submit(ALICE, batch([b"0"], pool=POOL))
    house.store.run([lambda writer: writer.drop_pool(POOL)])
    await kill(house, service)
    async with serving(house) as service:
        await turn(20)
        found = await outcomes(service, 1)
        assert found[0].status == frames.BROKEN


@live
async def test_numbers_of_outcomes_go_on(house: House) -> None:
    house.echo = True
    async with serving(house) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([b"0", b"1"]))
        await listener.heard(2)
    async with serving(house) as service:
        listener = Listener()
        assert service.subscribe(ALICE, listener, GROUP, after=1) == 1
        assert [result.seq for result in service.replay(GROUP, 1, 1000)[0]] == [2]
        await service.submit(ALICE, batch([b"2"]))
        assert [result.seq for result in await listener.heard(1)] == [3]


@live
async def test_a_start_that_cannot_store_what_it_found_is_an_error(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await house.start()
    await register(service)
    await service.submit(ALICE, batch([b"0"]))
    (task,) = house.engine.events.take(DEFAULT_POOL, 9)
    begin(house, task[:3])
    finish(house, value(task[:3], b"0"))
    await kill(house, service)
    monkeypatch.setattr(service_module, "START_PATIENCE", 0.05)
    monkeypatch.setattr("compute_executor.service.store.writer.Writer.add_outcomes", _full)
    with pytest.raises(ServiceUnavailable, match="disk full"):
        await house.start()
    house.store.close()
    assert len(list(house.rings.iterdir())) == 2, "what ring and outbox say is still needed"


def _full(*_: object) -> None:
    raise OSError("no space left")


@live
async def test_closing_does_not_wait_for_a_full_disk(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await house.start()
    await register(service)
    await service.submit(ALICE, batch([b"0"]))
    monkeypatch.setattr(service_module, "CLOSE_PATIENCE", 0.05)
    monkeypatch.setattr("compute_executor.service.store.writer.Writer.add_outcomes", _full)
    house.engine.end(DEFAULT_POOL, house.engine.events.take(DEFAULT_POOL, 9))
    await service.close()
    assert house.engine.ended


@live
async def test_blobs_that_nothing_refers_to_are_swept(house: House) -> None:
    await kill(house, await house.start())
    for name in ("a" * 32, "b" * 32):
        (house.blobs.folder / name).write_bytes(b"12345")
        os.utime(house.blobs.folder / name, (1.0, 1.0))
    service = await house.start()
    assert list(house.blobs.folder.iterdir()) == []
    (house.blobs.folder / ("a" * 32)).write_bytes(b"12345")
    await register(service)
    await service.submit(ALICE, batch([frames.Blob("a" * 32, 5)], prefix=new_prefix()))
    os.utime(house.blobs.folder / ("a" * 32), (1.0, 1.0))
    await kill(house, service)
    async with serving(house):
        assert [path.name for path in house.blobs.folder.iterdir()] == ["a" * 32]
        (task,) = house.engine.events.take(DEFAULT_POOL, 9)
        assert task.body == frames.Blob("a" * 32, 5)


SPOILT = [
    "UPDATE groups SET program = x'00'",
    "UPDATE groups SET program = 7",
    "UPDATE outcomes SET blob = 'f', size = 'large'",
]


@pytest.mark.parametrize("spoil", SPOILT)
@live
async def test_a_row_of_one_user_that_cannot_be_read_keeps_no_service_from_starting(
    house: House, spoil: str
) -> None:
    service = await house.start()
    await register(service)
    await service.submit(ALICE, batch([b"a", b"b"]))
    (first, _) = take(house)
    house.engine.end(DEFAULT_POOL, [first])
    await kill(house, service)
    with closing(sqlite3.connect(house.path)) as connection, connection:
        connection.execute("INSERT INTO blobs (name, batch, kind, owner) VALUES ('f', 1, 'outcome', 'alice')")
        assert connection.execute(spoil).rowcount == 1
    async with serving(house) as again:
        await register(again)
        await again.submit(ALICE, batch([b"c"]))
