"""The coordinator as its peers see it: everything through the public methods, with an engine that obeys."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from compute_executor.protocol import frames
from compute_executor.protocol.resources import Resources
from tests.service.fixture import (
    ALICE,
    CODE,
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
)

# -- the way of most tasks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
@live
async def test_tasks_in_results_out(tmp_path: Path, durable: bool) -> None:
    fixture = ServiceFixture(tmp_path, durable=durable, echo=True)
    async with serving(fixture) as service:
        await register(service)
        listener = Listener()
        assert service.subscribe(ALICE, listener, GROUP) == 0
        sent = [batch([b"a", b"b"]), batch([b"c"])]
        await asyncio.gather(*(service.submit(ALICE, one) for one in sent))
        results = await listener.heard(3)
        assert [result.seq for result in results] == [1, 2, 3]
        assert {(result.prefix, result.position, result.body) for result in results} == {
            (sent[0].prefix, 0, b"a"),
            (sent[0].prefix, 1, b"b"),
            (sent[1].prefix, 0, b"c"),
        }
        view = service.task(ALICE, sent[0].prefix, 1)
        assert (view.status, view.outcome) == ("success", results[1])
        batches = service.group_tasks(ALICE, GROUP)
        assert [batch[:2] for batch in batches] == [(sent[0].prefix, 2), (sent[1].prefix, 1)]
        assert service.overview()["tasks"]["ended_since_start"] == 3


@live
async def test_assignments_say_what_to_run(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        function = await register(service)
        options = frames.Options(walltime=5.0, cores=2, memory=7)
        await service.submit(ALICE, batch([b"a", b"b", b"c"], functions=[function], options=options))
        assert fixture.engine.woken == [DEFAULT_POOL]
        first, second = take(fixture, 2)
        assert (first.position, first.attempt, first.body, first.walltime) == (0, 1, b"a", 5.0)
        assert first.needs == second.needs == Resources(cores=2, memory=7)
        assert second.position == 1
        assert fixture.engine.events.function_code(first.function) == CODE


@live
async def test_states_have_words(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        sent = batch([b"a", b"b", b"c", b"d"])
        await service.submit(ALICE, sent)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        tasks = take(fixture, 3)
        fixture.engine.events.began(DEFAULT_POOL, [(*tasks[0][:3], 7.0), (*tasks[2][:3], 8.0)])
        fixture.engine.end(DEFAULT_POOL, [tasks[2]], frames.EXCEPTION)
        assert service.task(ALICE, sent.prefix, 2).status == "running"
        await listener.heard(1)
        words = [service.task(ALICE, sent.prefix, position).status for position in range(4)]
        assert words == ["running", "waiting-for-launch", "failed", "waiting-for-ep"]
        assert listener.begun == [(sent.prefix, 0, 7.0), (sent.prefix, 2, 8.0)]
        assert service.overview()["tasks"] == {
            "queued": 1,
            "leased": 1,
            "began": 1,
            "done": 1,
            "ended_since_start": 1,
        }


@live
async def test_the_second_subscriber_gets_everything_too(tmp_path: Path) -> None:
    async with serving(ServiceFixture(tmp_path, echo=True)) as service:
        await register(service)
        one, two = Listener(), Listener()
        service.subscribe(ALICE, one, GROUP)
        service.subscribe(ALICE, one, GROUP)
        service.subscribe(ALICE, two, GROUP)
        await service.submit(ALICE, batch([b"a", b"b"]))
        assert await one.heard(2) == await two.heard(2)
        assert len(one.got) == 2
        service.unsubscribe(one)
        await service.submit(ALICE, batch([b"c"]))
        await two.heard(3)
        assert len(one.got) == 2


@live
async def test_replay_gives_what_was_missed(tmp_path: Path) -> None:
    async with serving(ServiceFixture(tmp_path, echo=True)) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, b"o" * 16)
        await service.submit(ALICE, batch([b"x"] * 3, group=b"o" * 16))
        await service.submit(ALICE, batch([b"x"] * 5))
        await service.submit(ALICE, batch([b"x"] * 2, group=b"o" * 16))
        await listener.heard(5)
        after = service.subscribe(ALICE, Listener(), GROUP)
        results, upto, complete = service.replay(GROUP, after, 1_000_000)
        assert ([result.seq for result in results], upto, complete) == ([4, 5, 6, 7, 8], 10, True)
        results, upto, complete = service.replay(GROUP, 5, 1)
        assert ([result.seq for result in results], upto, complete) == ([6], 6, False)
        assert service.replay(GROUP, 10, 1_000) == ([], 10, True)


# -- cancelling ---------------------------------------------------------------------------------------------


@live
async def test_cancelling(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        sent = batch([b"0", b"1", b"2", b"3"])
        await service.submit(ALICE, sent)
        tasks = take(fixture, 3)
        fixture.engine.events.began(DEFAULT_POOL, [(*tasks[0][:3], 1.0)])
        fixture.engine.withdrawable = {(tasks[1].batch, 1)}
        cancelled = await service.cancel(ALICE, [(sent.prefix, [0, 1, 2, 3])])
        assert [(prefix, sorted(positions)) for prefix, positions in cancelled] == [(sent.prefix, [1, 3])]
        results = await listener.heard(2)
        assert {(result.position, result.status) for result in results} == {
            (1, frames.CANCELLED),
            (3, frames.CANCELLED),
        }
        assert reason(results[0].body).began is False  # type: ignore[arg-type]
        assert service.task(ALICE, sent.prefix, 3).status == "failed"
        fixture.engine.end(DEFAULT_POOL, tasks)
        assert len(await listener.heard(4)) == 4


@live
async def test_what_is_just_being_accepted_can_be_cancelled(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        sent = batch([b"a"])
        service.submit_soon(ALICE, sent)
        assert await service.cancel(ALICE, [(sent.prefix, [0])]) == [(sent.prefix, [0])]
        assert take(fixture) == []


# -- blobs --------------------------------------------------------------------------------------------------


@live
async def test_arguments_in_blobs_go_when_their_batch_is_finished(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        blob = frames.Blob("a" * 32, 5)
        (fixture.blobs.folder / blob.name).write_bytes(b"12345")
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([blob, b"b"]))
        tasks = take(fixture)
        assert tasks[0].body == blob
        fixture.engine.end(DEFAULT_POOL, tasks[1:])
        await listener.heard(1)
        assert (fixture.blobs.folder / blob.name).exists()
        fixture.engine.end(DEFAULT_POOL, [tasks[0]._replace(body=b"value")])
        await listener.heard(2)
        assert not (fixture.blobs.folder / blob.name).exists()
