"""What tasks have printed, for those who come again and again to ask."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.pool.events import TaskEnded, WorkerView
from compute_executor.errors import NotFound
from compute_executor.protocol import frames
from compute_executor.protocol.frames import Written
from compute_executor.protocol.ids import task_uuid
from compute_executor.service.tasks import live_output
from compute_executor.service.tasks.live_output import LiveOutput
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
)

GROUP_ID = str(uuid.UUID(bytes=GROUP))


@pytest.fixture
def fixture(tmp_path: Path) -> ServiceFixture:
    return ServiceFixture(tmp_path)


def texts(answer: dict[str, Any]) -> dict[str, str]:
    return {
        part["task"]: (part["stdout"]["bytes"] + part["stderr"]["bytes"]).decode() for part in answer["parts"]
    }


@live
async def test_a_running_task_is_heard_and_then_an_ended_one(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        one = batch([b"1", b"2"])
        await service.submit(ALICE, one)
        task = task_uuid(one.prefix, 0)
        from_now = service.printed.of_group(ALICE, GROUP, None)
        assert (from_now["parts"], from_now["open"]) == ([], 2)
        ((number, position, attempt, *_), _) = fixture.engine.events.take(DEFAULT_POOL, 2)
        fixture.engine.events.began(DEFAULT_POOL, [(number, position, attempt, 5.0)])
        fixture.engine.views = [WorkerView(4711, DEFAULT_POOL, "running", (number, 0))]
        for start, text in ((0, b"one\n"), (4, b"two\n")):
            part = Written(text, b"", b"", (start, 0, 0), 1)
            fixture.engine.events.output(DEFAULT_POOL, number, 0, part)
        heard = service.printed.of_group(ALICE, GROUP, from_now["after"])
        assert texts(heard) == {task: "one\ntwo\n"} == texts(service.printed.of_task(ALICE, one.prefix, 0))
        running = service.listing.task(ALICE, one.prefix, 0)
        assert (running["output"], running["worker"], running["state"]) == ("one\ntwo\n", 4711, "running")
        end = TaskEnded(
            number, 0, 1, frames.VALUE, b"", 5.0, 6.0, Written(b"two\n", b"oh", b"", (4, 0, 0), 1), 4711
        )
        fixture.engine.events.ended(DEFAULT_POOL, [end])
        await fixture.parts.outcomes.all_stored()
        heard = service.printed.of_group(ALICE, GROUP, from_now["after"])
        assert texts(heard) == {task: "two\noh"}
        assert heard["parts"][0]["stdout"]["start"] == 4
        assert heard["open"] == 1
        assert service.printed.of_group(ALICE, GROUP, heard["after"])["parts"] == []
        ended = service.listing.task(ALICE, one.prefix, 0)
        assert (ended["worker"], ended["state"]) == (4711, "succeeded")
        assert service.printed.of_task(ALICE, one.prefix, 0)["open"] == 0


@live
async def test_what_a_lost_task_printed_is_not_taken_for_that_of_a_running_one(
    fixture: ServiceFixture,
) -> None:
    async with serving(fixture) as service:
        await register(service)
        one = batch([b"1"])
        await service.submit(ALICE, one)
        ((number, *_),) = fixture.engine.events.take(DEFAULT_POOL, 1)
        part = Written(b"last words", b"", b"", (0, 0, 0), 1)
        fixture.engine.events.output(DEFAULT_POOL, number, 0, part)
        reason = frames.Reason("the worker died", -9, True, 1)
        fixture.engine.events.lost(DEFAULT_POOL, number, 0, 1, reason, output=part, worker=99)
        await fixture.parts.outcomes.all_stored()
        assert service.listing.task(ALICE, one.prefix, 0)["worker"] == 99
        assert texts(service.printed.of_group(ALICE, GROUP, 0)) == {task_uuid(one.prefix, 0): "last words"}


@live
async def test_strangers_hear_nothing(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        one = batch([b"1"])
        await service.submit(ALICE, one)
        for who, group in ((BOB, GROUP), (ALICE, b"x" * 16)):
            with pytest.raises(NotFound):
                service.printed.of_group(who, group, None)
        for who, position in ((BOB, 0), (ALICE, 7)):
            with pytest.raises(NotFound):
                service.printed.of_task(who, one.prefix, position)


def test_output_is_kept_of_so_many_tasks_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_output, "MOST", 2)
    kept = LiveOutput()
    for number in range(3):
        kept.add(number, 0, Written(b"x", attempt=1))
    assert [one[0] for one in kept.all()] == [1, 2]
    kept.add(1, 0, Written(b"y", starts=(1, 0, 0), attempt=1))
    assert kept.of(1, 0) == Written(b"xy", attempt=1)
    kept.add(1, 0, Written(b"z", attempt=2))
    assert kept.of(1, 0) == Written(b"z", attempt=2), "another attempt begins anew"
    now = time.time()
    kept.ended([TaskEnded(1, 0, 1, frames.VALUE, b"", now, now)])
    kept.forget(2, 0)
    assert kept.all() == []
