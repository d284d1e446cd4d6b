"""Figures of everything that is kept: they agree with the lists, whatever ends when, and after clean-ups."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.errors import NotFound
from compute_executor.protocol import frames
from compute_executor.service.access import LOCAL_USER, Identity
from compute_executor.service.service import Service
from compute_executor.service.tasks import figures as figures_module
from tests.service.fixture import (
    ALICE,
    BOB,
    DEFAULT_POOL,
    DIGEST,
    ServiceFixture,
    batch,
    live,
    register,
    serving,
    take,
)

OPERATOR = Identity(LOCAL_USER, "operator", admin=True)
OTHER = hashlib.sha256(b"another function").digest()


@pytest.fixture
def fixture(tmp_path: Path) -> ServiceFixture:
    return ServiceFixture(tmp_path)


def end(fixture: ServiceFixture, status: int, took: float) -> None:
    """One task ends so, after so many seconds."""
    ((number, position, attempt, *_),) = fixture.engine.events.take(DEFAULT_POOL, 1)
    now = time.time()
    ended = TaskEnded(number, position, attempt, status, b"x", now - took, now, None, 4711)
    fixture.engine.events.ended(DEFAULT_POOL, [ended])


async def of(service: Service, who: Identity = ALICE) -> dict[str, Any]:
    return await service.task_figures(who, everybody=False)


@live
async def test_tasks_by_state_and_times_by_function(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.register(ALICE, OTHER, "g", b"another function")
        await service.submit(ALICE, batch([b"1", b"2", b"3", b"4"]))
        tasks = msgspec.Raw(msgspec.msgpack.encode([(0, b"5"), (1, b"6")]))
        await service.submit(ALICE, batch([b"5", b"6"], functions=[DIGEST, OTHER], tasks=tasks))
        for status, took in (
            (frames.VALUE, 1.0),
            (frames.EXCEPTION, 3.0),
            (frames.LOST, 2.0),
            (frames.VALUE, 2.0),
        ):
            end(fixture, status, took)
        end(fixture, frames.VALUE, 10.0)
        await fixture.parts.outcomes.all_stored()
        found = await of(service)
        assert found["tasks"] == {
            "queued": 1,
            "running": 0,
            "succeeded": 3,
            "failed": 1,
            "lost": 1,
            "cancelled": 0,
        }
        (f,) = found["functions"]
        assert (f["function"], f["succeeded"], f["failed"], f["lost"]) == ("f", 3, 1, 1)
        assert (f["mean"], f["longest"]) == (pytest.approx(3.6), pytest.approx(10.0))
        assert found["rate"] == pytest.approx(5 / 60)
        end(fixture, frames.VALUE, 0.5)
        await fixture.parts.outcomes.all_stored()
        again = {one["function"]: one for one in (await of(service))["functions"]}
        assert again["f"]["succeeded"] == 3, "what was read is not read again"
        assert (again["g"]["succeeded"], again["g"]["mean"]) == (1, pytest.approx(0.5))


@live
async def test_counts_alone_are_the_same_and_read_no_outcomes(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch([b"1", b"2", b"3"]))
        await service.submit(ALICE, batch([b"4"], group=b"2" * 16))
        end(fixture, frames.EXCEPTION, 1.0)
        fixture.engine.events.began(
            DEFAULT_POOL, [(*fixture.engine.events.take(DEFAULT_POOL, 1)[0][:3], 5.0)]
        )
        await fixture.parts.outcomes.all_stored()
        whole = await of(service)
        monkeypatch.setattr(figures_module.TaskFigures, "_read", None)
        found = await service.task_figures(ALICE, everybody=False, counts_only=True)
        assert found == {"tasks": whole["tasks"]}
        assert found["tasks"] == {
            "queued": 2,
            "running": 1,
            "succeeded": 0,
            "failed": 1,
            "lost": 0,
            "cancelled": 0,
        }
        assert await service.task_figures(OPERATOR, everybody=True, counts_only=True) == found


@live
async def test_what_was_deleted_is_not_counted(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch([b"1"]))
        end(fixture, frames.VALUE, 1.0)
        await fixture.parts.outcomes.all_stored()
        assert len((await of(service))["functions"]) == 1
        await service.collect(0.0)
        found = await of(service)
        assert (found["functions"], sum(found["tasks"].values())) == ([], 0)


@live
async def test_figures_stay_through_a_restart(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures_module, "STEP", 1)
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch([b"1", b"2", b"3"]))
        end(fixture, frames.EXCEPTION, 1.0)
        end(fixture, frames.VALUE, 1.0)
        await fixture.parts.outcomes.all_stored()
        before = await of(service)
    async with serving(fixture) as service:
        after = await of(service)
        assert (after["tasks"], after["functions"]) == (before["tasks"], before["functions"])
        end_rest = take(fixture)
        fixture.engine.end(DEFAULT_POOL, end_rest)
        await fixture.parts.outcomes.all_stored()
        assert (await of(service))["tasks"]["succeeded"] == 2


@live
async def test_each_sees_their_own_and_an_operator_all(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch([b"1", b"2"]))
        assert (await of(service))["tasks"]["queued"] == 2
        assert (await of(service, BOB))["tasks"]["queued"] == 0
        assert (await service.task_figures(OPERATOR, everybody=True))["tasks"]["queued"] == 2
        with pytest.raises(NotFound):
            await service.task_figures(BOB, everybody=True)
