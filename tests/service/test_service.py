"""The coordinator as its peers see it: everything through the public methods, with an engine that obeys."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from compute_executor.endpoint.events import WorkerView
from compute_executor.errors import (
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    PoolBroken,
    ServiceUnavailable,
)
from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix, task_uuid
from compute_executor.service.limits import Limits
from compute_executor.service.pools import DEFAULT_POOL
from tests.service.house import (
    ALICE,
    BOB,
    CODE,
    DIGEST,
    GROUP,
    POOL,
    SPEC,
    House,
    Listener,
    batch,
    live,
    register,
    serving,
    turn,
)

reason = msgspec.msgpack.Decoder(frames.Reason).decode


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def take(house: House, limit: int = 100, pool: bytes = DEFAULT_POOL) -> Any:
    return house.engine.events.take(pool, limit)


# -- the way of most tasks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
@live
async def test_tasks_in_results_out(tmp_path: Path, durable: bool) -> None:
    house = House(tmp_path, durable=durable, echo=True)
    async with serving(house) as service:
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
        assert service.group_tasks(ALICE, GROUP) == [(sent[0].prefix, 2), (sent[1].prefix, 1)]
        assert service.overview()["tasks"]["ended_since_start"] == 3


@live
async def test_assignments_say_what_to_run(house: House) -> None:
    async with serving(house) as service:
        function = await register(service)
        options = frames.Options(walltime=5.0)
        await service.submit(ALICE, batch([b"a", b"b", b"c"], functions=[function], options=options))
        assert house.engine.woken == [DEFAULT_POOL]
        first, second = take(house, 2)
        assert (first.position, first.attempt, first.body, first.walltime) == (0, 1, b"a", 5.0)
        assert second.position == 1
        assert house.engine.events.function_code(first.function) == CODE


@live
async def test_states_have_words(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        sent = batch([b"a", b"b", b"c", b"d"])
        await service.submit(ALICE, sent)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        tasks = take(house, 3)
        house.engine.events.began(DEFAULT_POOL, [(*tasks[0][:3], 7.0), (*tasks[2][:3], 8.0)])
        house.engine.end(DEFAULT_POOL, [tasks[2]], frames.EXCEPTION)
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
    async with serving(House(tmp_path, echo=True)) as service:
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
    async with serving(House(tmp_path, echo=True)) as service:
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


# -- idempotence --------------------------------------------------------------------------------------------


@live
async def test_the_same_batch_again_runs_nothing(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        sent = batch([b"a"])
        together = await asyncio.gather(service.submit(ALICE, sent), service.submit(ALICE, sent))
        await service.submit(ALICE, sent)
        assert together == [None, None]
        tasks = take(house)
        assert len(tasks) == 1
        house.engine.end(DEFAULT_POOL, tasks)
        await turn(20)
        await service.submit(ALICE, sent)
        assert take(house) == []


@live
async def test_anothers_prefix_is_refused(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        await register(service, BOB)
        sent = batch([b"a"])
        first = service.submit_soon(ALICE, sent)
        theirs = batch([b"a"], prefix=sent.prefix, group=b"b" * 16)
        for _ in ("on its way", "open", "finished"):
            with pytest.raises(InvalidRequest, match="taken"):
                await service.submit(BOB, theirs)
            await first
            house.engine.end(DEFAULT_POOL, take(house))
            await turn(20)


@live
async def test_a_commit_that_failed_and_is_there_all_the_same(house: House) -> None:
    """After an fsync error a batch may be in the file although its client heard of a failure."""
    async with serving(house) as service:
        await register(service)
        sent = batch([b"a"])
        await service.submit(ALICE, sent)
        (task,) = take(house)
        service._batches.finish(service._dispatch.by_prefix(sent.prefix))  # type: ignore[arg-type]
        await service.submit(ALICE, sent)
        assert take(house) == [task]


@live
async def test_idempotency_keys(house: House) -> None:
    async with serving(house) as service:
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
        ({"options": frames.Options(container=b"c" * 16)}, InvalidRequest, "no containers"),
    ],
)
@live
async def test_what_is_wrong_is_named_and_nothing_is_kept(
    house: House, changed: dict[str, Any], error: type[Exception], says: str
) -> None:
    async with serving(house, limits=Limits(batch=50)) as service:
        await register(service)
        with pytest.raises(error, match=says):
            await service.submit(ALICE, batch([b"a"], **changed))
        assert list(house.store.read.open_batches()) == []
        assert not service.busy()


@live
async def test_too_many_open_tasks_are_refused_for_now(house: House) -> None:
    async with serving(house, limits=Limits(open_tasks=3)) as service:
        await register(service)
        await service.submit(ALICE, batch([b"a", b"b"]))
        with pytest.raises(ServiceUnavailable, match="limit of 3"):
            await service.submit(ALICE, batch([b"c", b"d"]))
        await service.submit(ALICE, batch([b"c"]))


@live
async def test_foreign_things_do_not_exist(house: House) -> None:
    async with serving(house) as service:
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
            lambda: service.close_pool(BOB, POOL),
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
async def test_absent_things_do_not_exist_either(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        sent = batch([b"a"])
        await service.submit(ALICE, sent)
        for prefix, position in ((new_prefix(), 0), (sent.prefix, 1)):
            with pytest.raises(NotFound):
                service.task(ALICE, prefix, position)
        with pytest.raises(NotFound):
            service.group_tasks(ALICE, b"u" * 16)
        assert await service.cancel(ALICE, [(new_prefix(), [0])]) == []


# -- cancelling ---------------------------------------------------------------------------------------------


@live
async def test_cancelling(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        sent = batch([b"0", b"1", b"2", b"3"])
        await service.submit(ALICE, sent)
        tasks = take(house, 3)
        house.engine.events.began(DEFAULT_POOL, [(*tasks[0][:3], 1.0)])
        house.engine.withdrawable = {(tasks[1].batch, 1)}
        cancelled = await service.cancel(ALICE, [(sent.prefix, [0, 1, 2, 3])])
        assert [(prefix, sorted(positions)) for prefix, positions in cancelled] == [(sent.prefix, [1, 3])]
        results = await listener.heard(2)
        assert {(result.position, result.status) for result in results} == {
            (1, frames.CANCELLED),
            (3, frames.CANCELLED),
        }
        assert reason(results[0].body).began is False  # type: ignore[arg-type]
        assert service.task(ALICE, sent.prefix, 3).status == "failed"
        house.engine.end(DEFAULT_POOL, tasks)
        assert len(await listener.heard(4)) == 4


@live
async def test_what_is_just_being_accepted_can_be_cancelled(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        sent = batch([b"a"])
        service.submit_soon(ALICE, sent)
        assert await service.cancel(ALICE, [(sent.prefix, [0])]) == [(sent.prefix, [0])]
        assert take(house) == []


# -- trouble with workers -----------------------------------------------------------------------------------


@live
async def test_a_lost_worker_ends_its_task(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([b"a"]))
        (task,) = take(house)
        house.engine.events.lost(DEFAULT_POOL, *task[:3], frames.Reason("killed", -9))
        house.engine.events.lost(DEFAULT_POOL, *task[:3], frames.Reason("killed", -9))
        house.engine.end(DEFAULT_POOL, [task])
        (result,) = await listener.heard(1)
        assert result.status == frames.LOST
        assert reason(result.body) == frames.Reason("killed", -9, True, 1)  # type: ignore[arg-type]
        await turn(20)
        assert not house.store.read.ended_positions(99)
        assert len(listener.got) == 1


@live
async def test_retries_are_for_lost_workers(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([b"a"], options=frames.Options(retries=1)))
        (first,) = take(house)
        house.engine.events.lost(DEFAULT_POOL, *first[:3], frames.Reason("killed", -9))
        assert house.engine.woken == [DEFAULT_POOL] * 2
        (second,) = take(house)
        assert second.attempt == 2
        house.engine.end(DEFAULT_POOL, [first])
        await turn(20)
        assert listener.got == []
        assert list(house.store.read.attempts_due()) == [(first.batch, 0, 2)]
        house.engine.events.lost(DEFAULT_POOL, *second[:3], frames.Reason("killed", -9))
        (result,) = await listener.heard(1)
        assert reason(result.body).attempts == 2  # type: ignore[arg-type]


@live
async def test_returned_tasks_are_given_again(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        await service.submit(ALICE, batch([b"a", b"b"]))
        tasks = take(house, 1)
        house.engine.events.returned(DEFAULT_POOL, [tasks[0][:3]])
        assert take(house, 1) == tasks


@live
async def test_output_reaches_the_log_harmless(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "compute_executor.task")
    async with serving(house) as service:
        await register(service)
        sent = batch([b"a"])
        await service.submit(ALICE, sent)
        (task,) = take(house)
        house.engine.events.output(task.batch, 0, b"hello\n\x1b[31mred\xff")
        house.engine.events.output(77, 3, b"late")
    texts = [record.getMessage() for record in caplog.records if record.name == "compute_executor.task"]
    name = task_uuid(sent.prefix, 0)
    assert texts == [f"task {name}: hello", f"task {name}: \\x1b[31mred\\xff", "task 77/3: late"]


# -- functions ----------------------------------------------------------------------------------------------


@live
async def test_functions_are_known_by_content(house: House) -> None:
    async with serving(house) as service:
        first, again = await register(service), await register(service)
        assert first == again
        assert service.function(ALICE, first).name == "f"
        assert service.function_body(ALICE, first) == CODE
        shared = await service.register(ALICE, DIGEST, "f", CODE, "", None, True)
        assert shared != first
        assert service.function(BOB, shared).public
        await service.submit(BOB, batch([b"a"], functions=[shared]))
        assert len(take(house)) == 1


@live
async def test_a_wrong_digest_and_too_much_code_are_refused(house: House) -> None:
    async with serving(house, limits=Limits(function=100_000)) as service:
        with pytest.raises(InvalidRequest, match="sha256"):
            await service.register(ALICE, b"d" * 32, "f", CODE)
        with pytest.raises(PayloadTooLarge, match="limit is 100000"):
            await service.register(ALICE, DIGEST, "f", bytes(100_001))


@live
async def test_large_code_is_a_file_once(house: House) -> None:
    import hashlib

    code = bytes(80_000)
    async with serving(house) as service:
        for _ in range(2):
            function = await service.register(ALICE, hashlib.sha256(code).digest(), "f", code)
        assert len(list(house.blobs.folder.iterdir())) == 1
        body = service.function_body(ALICE, function)
        assert house.blobs.read(body) == code
        assert await service.register(ALICE, hashlib.sha256(code).digest(), "f", body) == function
        assert house.blobs.read(body) == code


@live
async def test_a_deleted_function_is_gone_but_its_open_tasks_run(house: House) -> None:
    async with serving(house) as service:
        function = await register(service)
        await service.submit(ALICE, batch([b"a"]))
        await service.delete_function(ALICE, function)
        with pytest.raises(NotFound):
            service.function(ALICE, function)
        with pytest.raises(NotFound):
            await service.submit(ALICE, batch([b"a"]))
        (task,) = take(house)
        assert house.engine.events.function_code(task.function) == CODE


@live
async def test_few_functions_are_remembered_and_all_are_found(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute_executor.service.functions.CACHED", 1)
    async with serving(house) as service:
        first = await register(service)
        shared = await service.register(ALICE, DIGEST, "f", CODE, public=True)
        for function in (first, shared, first):
            assert service.function(ALICE, function).id == function
        await register(service, BOB)
        await service.submit(ALICE, batch([b"a"]))


@live
async def test_notes_that_cannot_be_stored_are_logged(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    async with serving(house) as service:
        await register(service)
        await service.open_pool(ALICE, POOL, SPEC)
        await service.submit(ALICE, batch([b"a"], options=frames.Options(retries=1)))
        monkeypatch.setattr("compute_executor.service.writer.Writer.next_attempts", full)
        monkeypatch.setattr("compute_executor.service.writer.Writer.drop_pool", full)
        (task,) = take(house)
        house.engine.events.lost(DEFAULT_POOL, *task[:3], frames.Reason("killed", -9))
        service.close_pool(ALICE, POOL)
        await turn(20)
        assert "runs again could not be stored" in caplog.text
        assert "stays in the store" in caplog.text


# -- blobs --------------------------------------------------------------------------------------------------


@live
async def test_arguments_in_blobs_go_when_their_batch_is_finished(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        blob = frames.Blob("a" * 32, 5)
        (house.blobs.folder / blob.name).write_bytes(b"12345")
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([blob, b"b"]))
        tasks = take(house)
        assert tasks[0].body == blob
        house.engine.end(DEFAULT_POOL, tasks[1:])
        await listener.heard(1)
        assert (house.blobs.folder / blob.name).exists()
        house.engine.end(DEFAULT_POOL, [tasks[0]._replace(body=b"value")])
        await listener.heard(2)
        assert not (house.blobs.folder / blob.name).exists()


# -- pools --------------------------------------------------------------------------------------------------


@live
async def test_a_pool_lives_until_it_is_closed_and_empty(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        await service.open_pool(ALICE, POOL, SPEC)
        await service.open_pool(ALICE, POOL, SPEC)
        assert house.engine.opened == {POOL: SPEC}
        await service.submit(ALICE, batch([b"a"], pool=POOL))
        service.close_pool(ALICE, POOL)
        assert house.engine.closed == []
        with pytest.raises(NotFound):
            await service.submit(ALICE, batch([b"b"], pool=POOL))
        house.engine.end(POOL, take(house, pool=POOL))
        assert house.engine.closed == [POOL]
        service.close_pool(ALICE, POOL)
        await turn(20)
        assert house.store.read.pools() == []


@live
async def test_cancelling_the_last_task_empties_a_pool(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        await service.open_pool(ALICE, POOL, SPEC)
        sent = batch([b"a"], pool=POOL)
        await service.submit(ALICE, sent)
        service.close_pool(ALICE, POOL)
        await service.cancel(ALICE, [(sent.prefix, [0])])
        assert house.engine.closed == [POOL]


@live
async def test_a_pool_waits_for_its_client_to_come_back(house: House) -> None:
    async with serving(house, limits=Limits(pool_grace=0.02)) as service:
        await register(service)
        client = Listener()
        await service.open_pool(ALICE, POOL, SPEC, client)
        await asyncio.sleep(0.05)
        assert house.engine.closed == []
        await service.submit(ALICE, batch([b"a"], pool=POOL))
        service.unsubscribe(client)
        await service.open_pool(ALICE, POOL, SPEC, client)
        await asyncio.sleep(0.05)
        await service.submit(ALICE, batch([b"b"], pool=POOL))
        service.unsubscribe(client)
        while service.overview()["pools"][0]["state"] == "open":
            await asyncio.sleep(0.01)
        assert house.engine.closed == []
        house.engine.end(POOL, take(house, pool=POOL))
        assert house.engine.closed == [POOL]


@pytest.mark.parametrize(
    ("pool", "changed"),
    [(b"short", {}), (DEFAULT_POOL, {}), (POOL, {"max_workers": 0}), (POOL, {"container": b"c" * 16})],
)
@live
async def test_pools_that_cannot_be(house: House, pool: bytes, changed: dict[str, Any]) -> None:
    async with serving(house) as service:
        with pytest.raises(InvalidRequest):
            await service.open_pool(ALICE, pool, msgspec.structs.replace(SPEC, **changed))


@live
async def test_a_broken_pool_ends_what_waits_and_refuses_what_comes(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        client = Listener()
        service.subscribe(ALICE, client, GROUP)
        await service.open_pool(ALICE, POOL, SPEC, client)
        await service.submit(ALICE, batch([b"a", b"b", b"c"], pool=POOL, options=frames.Options(retries=5)))
        running, given = take(house, 2, POOL)
        house.engine.events.returned(POOL, [given[:3]])
        house.engine.events.broken(POOL, "initializer raised")
        house.engine.events.broken(POOL, "again")
        results = await client.heard(2)
        assert [(result.position, result.status) for result in results] == [
            (1, frames.BROKEN),
            (2, frames.BROKEN),
        ]
        assert client.failures == [(POOL, "initializer raised")]
        with pytest.raises(PoolBroken, match="initializer raised"):
            await service.submit(ALICE, batch([b"d"], pool=POOL))
        with pytest.raises(PoolBroken):
            await service.open_pool(ALICE, POOL, SPEC, client)
        house.engine.events.lost(POOL, *running[:3], frames.Reason("killed", -9))
        results = await client.heard(3)
        assert {result.status for result in results} == {frames.BROKEN}
        assert service.overview()["pools"][0]["state"] == "failed"


@live
async def test_a_service_without_workers_says_so(house: House) -> None:
    async with serving(house, default_pool=None) as service:
        await register(service)
        with pytest.raises(NotFound, match="no workers of its own"):
            await service.submit(ALICE, batch([b"a"]))


@live
async def test_a_broken_default_pool_refuses(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        await service.submit(ALICE, batch([b"a"]))
        house.engine.events.broken(DEFAULT_POOL, "no interpreter")
        house.engine.events.broken(POOL, "unknown")
        with pytest.raises(PoolBroken, match="no interpreter"):
            await service.submit(ALICE, batch([b"a"]))


# -- the store in trouble -----------------------------------------------------------------------------------


@live
async def test_a_full_disk_is_survived(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        sent = batch([b"x" * 200] * 2000)
        await service.submit(ALICE, sent)
        tasks = take(house, 1000)
        connection = house.store._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        house.engine.end(DEFAULT_POOL, tasks)
        await turn(20)
        assert service.overview()["storing"] == "stalled"
        assert take(house) == [], "no new work while outcomes cannot be stored"
        with pytest.raises(ServiceUnavailable, match="full"):
            await service.submit(ALICE, batch([b"y" * 60_000]))
        house.engine.woken.clear()
        connection.execute("PRAGMA max_page_count = 1000000")
        assert len(await listener.heard(1000)) == 1000
        assert house.engine.woken == [DEFAULT_POOL]
        house.engine.end(DEFAULT_POOL, take(house, 5000))
        await listener.heard(2000)


@live
async def test_arguments_that_cannot_be_read_wait(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute_executor.service.service.READ_AGAIN", 0.001)
    async with serving(house, limits=Limits(decoded_tasks=0)) as service:
        await register(service)
        await service.submit(ALICE, batch([b"a", b"b"]))
        await service.submit(ALICE, batch([b"c"]))
        good = service._batches._bodies._load
        service._batches._bodies._load = lambda _number: b""
        assert take(house) == []
        assert "cannot be read" in caplog.text
        service._batches._bodies._load = good
        house.engine.woken.clear()
        while not house.engine.woken:
            await asyncio.sleep(0.001)
        assert [task.body for task in take(house)] == [b"a", b"b", b"c"]


# -- looks --------------------------------------------------------------------------------------------------


@live
async def test_busy_is_open_or_connected(house: House) -> None:
    async with serving(house) as service:
        assert not service.busy()
        client = Listener()
        service.connect(client)
        assert service.busy()
        service.unsubscribe(client)
        assert not service.busy()
        await register(service)
        await service.submit(ALICE, batch([b"a"]))
        assert service.busy()
        house.engine.end(DEFAULT_POOL, take(house))
        assert service.busy()
        await turn(20)
        assert not service.busy()


@live
async def test_the_overview_is_plain(house: House) -> None:
    async with serving(house) as service:
        await register(service)
        sent = batch([b"a"])
        await service.submit(ALICE, sent)
        (task,) = take(house)
        house.engine.views = [
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
async def test_farewell_reaches_who_listens(house: House) -> None:
    class Deaf(Listener):
        async def goodbye(self, reason: str) -> None:
            await asyncio.Event().wait()

    async with serving(house) as service:
        await service.farewell("nobody there")
        listener = Listener()
        service.connect(listener)
        service.connect(Deaf())
        import compute_executor.service.service as module

        module_farewell, module.FAREWELL = module.FAREWELL, 0.01
        try:
            await service.farewell("the end")
        finally:
            module.FAREWELL = module_farewell
        assert listener.goodbyes == ["the end"]
