"""Lists of groups and tasks: what they show of tasks of every ending, before and after they are stored."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import uuid
from typing import Any

import msgspec
import pytest

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.protocol import frames
from compute_executor.protocol.frames import ProgramInfo
from compute_executor.protocol.ids import split_task_id, task_uuid
from compute_executor.serialization import exceptions
from compute_executor.service.service import Service
from compute_executor.service.tasks import listing
from compute_executor.service.tasks.listing import TaskFilter, short_id, written_text
from compute_executor.service.tasks.task_states import QUEUED, STATES, SUCCEEDED
from tests.service.fixture import (
    ALICE,
    BOB,
    DEFAULT_POOL,
    DIGEST,
    GROUP,
    Listener,
    ServiceFixture,
    batch,
    live,
    register,
    serving,
    take,
)

PROGRAM = ProgramInfo("fit", "/home/ann/fit.py", "desk", 4711)
LOST = msgspec.msgpack.encode(frames.Reason("the worker died", -9))


def failure() -> bytes:
    try:
        raise ValueError("no root in this interval:\n0.5\n  to 2")
    except ValueError as error:
        return exceptions.encode(error)


async def of_every_ending(fixture: ServiceFixture, service: Service) -> frames.Submit:
    """A batch of seven: value, exception, lost, cancelled, running, leased, queued."""
    await register(service)
    service.subscribe(ALICE, Listener(), GROUP, program=PROGRAM)
    one = batch([b"%d" % number for number in range(7)])
    await service.submit(ALICE, one)
    leased = fixture.engine.events.take(DEFAULT_POOL, 6)
    fixture.engine.end(DEFAULT_POOL, leased[:1])
    fixture.engine.end(DEFAULT_POOL, [leased[1]._replace(body=failure())], frames.EXCEPTION)
    fixture.engine.events.lost(
        DEFAULT_POOL, leased[2].batch, 2, 1, frames.Reason("the worker died", -9, True, 1)
    )
    fixture.engine.withdrawable = {(leased[3].batch, 3)}
    await service.cancel(ALICE, [(one.prefix, [3])])
    fixture.engine.events.began(DEFAULT_POOL, [(leased[4].batch, 4, 1, 5.0)])
    return one


WANTED = ["succeeded", "failed", "lost", "cancelled", "running", "queued", "queued"]


async def states(service: Service, **wanted: Any) -> list[str]:
    found, _ = await service.listing.tasks(ALICE, TaskFilter(**wanted))
    return [one["state"] for one in found]


@live
async def test_a_task_of_every_ending_is_shown_newest_first(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        one = await of_every_ending(fixture, service)
        found, further = await service.listing.tasks(ALICE, TaskFilter())
        assert [task["state"] for task in found] == WANTED[::-1]
        assert further is None
        failed = found[5]
        assert failed["id"] == task_uuid(one.prefix, 1)
        assert failed["function"] == "f"
        assert failed["error"] == "ValueError: no root in this interval:\n0.5\n  to 2"
        assert found[4]["error"] == "the worker died"
        assert [task["began"] for task in found[:3]] == [None, None, 5.0], "queued, leased, running"
        assert found[6]["error"] is None


@live
async def test_counts_of_a_group_are_those_of_its_tasks(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await of_every_ending(fixture, service)
        (group,) = await service.listing.groups(ALICE, everybody=False, limit=10)
        assert {state: group[state] for state in STATES} == {state: WANTED.count(state) for state in STATES}
        shown = {name: group[name] for name in ("name", "label", "program", "host", "pid", "clients", "id")}
        assert shown == {
            "name": "fit",
            "label": "fit",
            "program": "/home/ann/fit.py",
            "host": "desk",
            "pid": 4711,
            "clients": 1,
            "id": str(uuid.UUID(bytes=GROUP)),
        }


@live
async def test_counts_stay_when_everything_has_ended_and_after_a_restart(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        one = await of_every_ending(fixture, service)
    async with serving(fixture) as service:  # what ran is lost, what waited goes on
        for assignment in take(fixture):
            fixture.engine.end(DEFAULT_POOL, [assignment])
        await service.cancel(ALICE, [(one.prefix, list(range(7)))])
        (group,) = await service.listing.groups(ALICE, everybody=False, limit=10)
        found = await states(service)
        assert {state: group[state] for state in STATES} == {state: found.count(state) for state in STATES}
        assert sum(group[state] for state in STATES) == 7
        assert group["failed"] == group["cancelled"] == 1
        assert (group["label"], group["clients"]) == ("fit", 0)


@pytest.mark.parametrize("state", STATES)
@live
async def test_tasks_in_one_state(fixture: ServiceFixture, state: str) -> None:
    async with serving(fixture) as service:
        await of_every_ending(fixture, service)
        assert await states(service, state=state) == [state] * WANTED.count(state)


@live
async def test_a_list_in_parts_is_the_whole_list(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await of_every_ending(fixture, service)
        await service.submit(ALICE, batch([b"x"] * 3))
        whole, _ = await service.listing.tasks(ALICE, TaskFilter())
        parts, before = [], None
        while True:
            part, further = await service.listing.tasks(ALICE, TaskFilter(limit=4, before=before))
            parts += part
            if further is None:
                break
            number, _, position = further.partition(".")
            before = int(number), int(position)
        assert parts == whole
        assert len(whole) == 10


@live
async def test_a_list_is_the_same_whatever_one_query_looks_at(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(fixture) as service:
        await of_every_ending(fixture, service)
        other = batch([b"x"] * 3)
        await service.submit(ALICE, other)
        for number in range(4):
            await service.submit(ALICE, batch([b"x"], group=bytes([number]) * 16))
        await service.cancel(ALICE, [(other.prefix, [1])])
        wanted = [TaskFilter(state=state) for state in (None, *STATES)] + [TaskFilter(group=GROUP)]
        whole = [await service.listing.tasks(ALICE, one) for one in wanted]
        for numbers, batches in ((1, 1), (2, 1), (2, 3), (100, 2)):
            monkeypatch.setattr(listing, "NUMBERS", numbers)
            monkeypatch.setattr(listing, "BATCHES", batches)
            assert [await service.listing.tasks(ALICE, one) for one in wanted] == whole


@live
async def test_batches_without_a_task_in_the_state_are_passed_over(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(fixture) as service:
        one = await of_every_ending(fixture, service)
        quiet, ended = batch([b"x"] * 2), batch([b"x"])
        await service.submit(ALICE, quiet)
        await service.submit(ALICE, ended)
        await service.cancel(ALICE, [(ended.prefix, [0])])
        looked_at: list[bytes] = []
        of_batch = service.listing._of_batch

        def noted(batch: Any, below: int, wanted: TaskFilter) -> Any:
            looked_at.append(batch.prefix)
            return of_batch(batch, below, wanted)

        monkeypatch.setattr(service.listing, "_of_batch", noted)
        assert await states(service, state="failed") == ["failed"]
        assert looked_at == [one.prefix]
        assert await states(service, state="cancelled") == ["cancelled"] * 2
        assert looked_at[1:] == [ended.prefix, one.prefix]


@live
async def test_by_group_function_and_time(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await of_every_ending(fixture, service)
        other = await service.register(ALICE, hashlib.sha256(b"g").digest(), "g", b"g")
        mixed = msgspec.Raw(msgspec.msgpack.encode([(1, b""), (0, b""), (1, b"")]))
        second = batch([b""] * 3, group=b"2" * 16, functions=[DIGEST, other], tasks=mixed)
        await service.submit(ALICE, second)
        found, _ = await service.listing.tasks(ALICE, TaskFilter(function="g"))
        assert [task["id"] for task in found] == [task_uuid(second.prefix, 2), task_uuid(second.prefix, 0)]
        assert len(await states(service, group=b"2" * 16)) == 3
        assert len(await states(service, group=GROUP)) == 7
        assert await states(service, since=4e9) == []
        assert await states(service, function="h") == []


@live
async def test_others_see_nothing_of_it(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        one = await of_every_ending(fixture, service)
        assert await service.listing.tasks(BOB, TaskFilter()) == ([], None)
        assert await service.listing.groups(BOB, everybody=False, limit=5) == []
        for ask in (
            lambda: service.listing.task(BOB, one.prefix, 0),
            lambda: service.listing.resolve(BOB, short_id(one.prefix, 1)),
        ):
            with pytest.raises(NotFound, match="for you"):
                ask()
        with pytest.raises(NotFound, match="for you"):
            await service.listing.group(BOB, GROUP)
        with pytest.raises(NotFound, match="for you"):
            await service.listing.tasks(BOB, TaskFilter(group=GROUP))


@live
async def test_the_loop_does_not_wait_for_the_counts_of_groups(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that ends while they are read is counted once, and so is one that only comes meanwhile."""
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch([b""] * 3))
        counts, loop = fixture.parts.finished_counts, asyncio.get_running_loop()
        read, threads = counts._rows, []

        async def end_all() -> None:
            await service.submit(ALICE, batch([b""] * 2))
            fixture.engine.end(DEFAULT_POOL, fixture.engine.events.take(DEFAULT_POOL, 5))
            await fixture.parts.outcomes.all_stored()

        def rows(last: int, still_open: str) -> list[Any]:
            threads.append(threading.get_ident())
            asyncio.run_coroutine_threadsafe(end_all(), loop).result(30)
            return read(last, still_open)

        monkeypatch.setattr(counts, "_rows", rows)
        for _ in range(2):
            found = await service.listing.group(ALICE, GROUP)
            assert (found[QUEUED], found[SUCCEEDED]) == (0, 5)
            assert found["ended"] is not None
        (thread,) = threads  # and only the first time
        assert thread != threading.get_ident()


@live
async def test_everything_about_one_task(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        one = await of_every_ending(fixture, service)
        failed = service.listing.task(ALICE, one.prefix, 1)
        assert failed["traceback"].rstrip().endswith("ValueError: no root in this interval:\n0.5\n  to 2")
        assert "Traceback" in failed["traceback"]
        assert (failed["label"], failed["program"]) == ("fit", "/home/ann/fit.py")
        assert "traceback" not in service.listing.task(ALICE, one.prefix, 0)
        assert service.listing.task(ALICE, one.prefix, 2)["traceback"] == "the worker died"
        with pytest.raises(NotFound):
            service.listing.task(ALICE, one.prefix, 7)


@live
async def test_a_group_without_a_label_is_called_by_the_file_of_its_program(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        one = await of_every_ending(fixture, service)
        name = str(uuid.UUID(bytes=b"2" * 16))
        for group in (b"2" * 16, b"3" * 16):
            program = ProgramInfo("", "/home/ann/run.py", "desk", 4711)
            service.subscribe(ALICE, Listener(), group, program=program)
            lone = batch([b"x"], group=group)
            await service.submit(ALICE, lone)
            if group == b"2" * 16:
                assert service.listing.resolve(ALICE, "run.py") == {"group": name}
                assert service.listing.task(ALICE, lone.prefix, 0)["group_name"] == "run.py"
        found = await service.listing.groups(ALICE, everybody=False, limit=10)
        assert [group["name"] for group in found] == ["run.py", "run.py", "fit"]
        with pytest.raises(InvalidRequest, match=r"'run\.py' names more than one thing"):
            service.listing.resolve(ALICE, "run.py")
        with pytest.raises(NotFound):  # it has a label
            service.listing.resolve(ALICE, "fit.py")
        assert service.listing.task(ALICE, one.prefix, 0)["group_name"] == "fit"


@live
async def test_names_of_tasks_and_groups(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        one = await of_every_ending(fixture, service)
        lone = batch([b"x"], group=b"2" * 16)
        await service.submit(ALICE, lone)
        task = task_uuid(one.prefix, 3)
        for name in (task, task.upper(), task.replace("-", ""), short_id(one.prefix, 3)):
            assert service.listing.resolve(ALICE, name) == {"task": task}
        assert service.listing.resolve(ALICE, lone.prefix.hex()[:9]) == {"task": task_uuid(lone.prefix, 0)}
        for name in (str(uuid.UUID(bytes=GROUP)), GROUP.hex()[:7], "fit"):
            assert service.listing.resolve(ALICE, name) == {"group": str(uuid.UUID(bytes=GROUP))}
        with pytest.raises(InvalidRequest, match="more than one"):
            service.listing.resolve(ALICE, one.prefix.hex()[:8])
        for name in ("", "xyz", "fff", f"{one.prefix.hex()}.7", one.prefix.hex() + "00000009", "a.b", "fit2"):
            with pytest.raises(NotFound):
                service.listing.resolve(ALICE, name)


@live
async def test_wrong_questions(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        for wanted in (TaskFilter(limit=0), TaskFilter(limit=10_001), TaskFilter(state="done")):
            with pytest.raises(InvalidRequest):
                await service.listing.tasks(ALICE, wanted)
        with pytest.raises(NotFound):
            await service.listing.tasks(ALICE, TaskFilter(group=b"?" * 16))


@live
async def test_a_group_is_cancelled_and_what_runs_only_if_that_is_asked_for(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        one = await of_every_ending(fixture, service)
        assert await service.cancel_group(ALICE, GROUP, running=False) == (1, 0, 2)
        number = fixture.engine.events.take(DEFAULT_POOL, 1) or service.listing.task(ALICE, one.prefix, 4)
        assert number  # nothing is left to take
        fixture.engine.running = {(1, 4)}
        assert await service.cancel_group(ALICE, GROUP, running=True) == (0, 1, 1)
        fixture.engine.events.lost(DEFAULT_POOL, 1, 4, 1, frames.Reason("killed", -9, True, 1))
        stopped = service.listing.task(ALICE, one.prefix, 4)
        while stopped["state"] == "running":
            await service.cancel(ALICE, [])
            stopped = service.listing.task(ALICE, one.prefix, 4)
        assert (stopped["state"], stopped["error"]) == (
            "cancelled",
            "cancelled while it ran: its worker was ended",
        )


@live
async def test_a_task_that_is_stopped_does_not_run_again(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        one = batch([b"a"], options=frames.Options(retries=5))
        await service.submit(ALICE, one)
        (lease,) = take(fixture)
        fixture.engine.running = {(lease.batch, 0)}
        assert await service.cancel_task(ALICE, one.prefix, 0, running=True) == (0, 1, 0)
        fixture.engine.events.lost(DEFAULT_POOL, lease.batch, 0, 1, frames.Reason("killed", -9, True, 1))
        assert take(fixture) == []
        await service.cancel(ALICE, [])
        assert service.listing.task(ALICE, one.prefix, 0)["state"] == "cancelled"


@live
async def test_a_task_that_ends_before_it_can_be_stopped_has_its_own_outcome(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        one = batch([b"a"])
        await service.submit(ALICE, one)
        (lease,) = take(fixture)
        fixture.engine.running = {(lease.batch, 0)}
        await service.cancel_task(ALICE, one.prefix, 0, running=True)
        fixture.engine.end(DEFAULT_POOL, [lease])
        fixture.engine.events.lost(DEFAULT_POOL, lease.batch, 0, 1, frames.Reason("killed", -9, True, 1))
        await service.cancel(ALICE, [])
        assert service.listing.task(ALICE, one.prefix, 0)["state"] == "succeeded"
        assert await service.cancel_task(ALICE, one.prefix, 0, running=True) == (0, 0, 0)


def test_a_short_id_is_the_beginning_of_the_batch_and_the_position() -> None:
    prefix, position = split_task_id("01234567-89ab-8def-8123-beef00000102")
    assert short_id(prefix, position) == "01234567.258"


@live
async def test_work_whose_client_has_no_stream_yet_is_not_forgotten(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch([b"a"] * 3))
        assert service.listing.forgotten(ALICE) == []


@live
async def test_work_without_a_client_is_forgotten(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP, program=PROGRAM)
        await service.submit(ALICE, batch([b"a"] * 3))
        assert service.listing.forgotten(ALICE) == []
        service.unsubscribe(listener)
        (work,) = service.listing.forgotten(ALICE)
        assert (work.group, work.open, work.program) == (str(uuid.UUID(bytes=GROUP)), 3, PROGRAM)
        assert service.listing.forgotten(BOB) == []


@live
async def test_what_a_stopped_worker_had_not_begun_ends_too(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        one = batch([b"a", b"b"])
        await service.submit(ALICE, one)
        first, second = take(fixture)
        fixture.engine.running = {(first.batch, 0), (first.batch, 1)}
        assert await service.cancel_group(ALICE, GROUP, running=True) == (0, 2, 0)
        fixture.engine.events.lost(DEFAULT_POOL, first.batch, 0, 1, frames.Reason("killed", -9, True, 1))
        fixture.engine.events.returned(DEFAULT_POOL, [(second.batch, 1, 1)])
        assert take(fixture) == []
        await service.cancel(ALICE, [])
        assert await states(service) == ["cancelled", "cancelled"]


def test_what_was_cut_from_an_output_is_said() -> None:
    written = frames.Written(b"out\n", b"\xff", b"{}", (5, 0, 0))
    assert written_text(written) == "[5 bytes before this are not kept]\nout\n\ufffd"
