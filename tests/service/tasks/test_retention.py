"""What has been kept long enough goes, in small steps; what has not, stays."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from compute_executor.errors import NotFound
from compute_executor.protocol import frames
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.tasks import retention as retention_module
from compute_executor.service.tasks.listing import TaskFilter
from compute_executor.service.tasks.retention import DISTRUST, ClockCheck, Deleted
from tests.service.fixture import ALICE, GROUP, Listener, ServiceFixture, batch, live, register, serving

NOTHING = Deleted(0, 0, 0)
DAY = 24 * 3600.0
LIMITS = ServiceLimits(keep_acknowledged=DAY, keep=14 * DAY)


@pytest.fixture
def fixture(tmp_path: Path) -> ServiceFixture:
    return ServiceFixture(tmp_path, echo=True)


@live
async def test_acknowledged_outcomes_go_first(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "STEP", 2)
    monkeypatch.setattr(retention_module, "PAUSE", 0.0)
    async with serving(fixture, limits=LIMITS) as service:
        await register(service)
        mine, other = Listener(), Listener()
        service.subscribe(ALICE, mine, GROUP)
        service.subscribe(ALICE, other, b"o" * 16)
        sent, theirs = batch([b"x"] * 5), batch([b"y"], group=b"o" * 16)
        await service.submit(ALICE, sent, ("key", b"digest"))
        results = await mine.heard(5)
        await service.submit(ALICE, theirs)
        await other.heard(1)
        service.unsubscribe(mine)
        service.unsubscribe(other)
        now = time.time()
        service.ack(ALICE, GROUP, results[3].seq)
        assert await fixture.parts.retention.clean(now + 2 * DAY) == NOTHING, "one is not acknowledged"
        service.ack(ALICE, GROUP, results[4].seq)
        service.ack(ALICE, GROUP, 1)
        assert await fixture.parts.retention.clean(now) == NOTHING, "not old enough"
        assert (await fixture.parts.retention.clean(now + 2 * DAY)).batches == 1
        with pytest.raises(NotFound):
            service.task(ALICE, sent.prefix, 0)
        with pytest.raises(NotFound):
            service.group_tasks(ALICE, GROUP)
        assert service.known_submit(ALICE, ("key", b"digest")) is None
        assert service.task(ALICE, theirs.prefix, 0).status == "success"
        assert (await fixture.parts.retention.clean(now + 15 * DAY)).batches == 1
        assert fixture.store.read.totals() == (0, 0)


@live
async def test_result_files_go_with_their_batch(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=LIMITS) as service:
        await register(service)
        blob = frames.Blob("a" * 32, 5)
        (fixture.blobs.folder / blob.name).write_bytes(b"12345")
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([blob]))
        await listener.heard(1)
        assert (fixture.blobs.folder / blob.name).exists(), "the echo made it a result"
        await fixture.parts.retention.clean(time.time() + 15 * DAY)
        assert not (fixture.blobs.folder / blob.name).exists()


@live
async def test_open_batches_stay(fixture: ServiceFixture) -> None:
    fixture.echo = False
    async with serving(fixture, limits=LIMITS) as service:
        await register(service)
        await service.submit(ALICE, batch([b"x"]))
        assert await fixture.parts.retention.clean(time.time() + 100 * DAY) == NOTHING
        assert fixture.store.read.totals() == (1, 1)


@live
async def test_acknowledgements_are_written_at_the_end(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        await service.submit(ALICE, batch([b"x"]))
        await listener.heard(1)
        service.ack(ALICE, GROUP, 1)
    async with serving(fixture):
        group = fixture.store.read.group(GROUP)
        assert group is not None
        assert group.acked == 1


@live
async def test_it_runs_by_itself_and_survives_trouble(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention_module, "PERIOD", 0.001)
    async with serving(fixture):
        looks = []

        async def clean(now: float) -> int:
            looks.append(now)
            raise ValueError("disk trouble")

        monkeypatch.setattr(fixture.parts.retention, "clean", clean)
        while len(looks) < 2:
            await asyncio.sleep(0.001)
    assert "disk trouble" in caplog.text


@live
async def test_what_is_older_than_asked_goes_at_once(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=LIMITS) as service:
        await register(service)
        await service.submit(ALICE, batch([b"1", b"2", b"3"]))
        await fixture.parts.outcomes.all_stored()
        assert await service.collect() == {"batches": 0, "tasks": 0, "groups": 0, "files": 0}
        assert (await service.collect(0.0))["tasks"] == 3
        found, _ = await service.listing.tasks(ALICE, TaskFilter())
        assert found == []


def test_a_clock_that_jumps_is_not_trusted_for_an_hour() -> None:
    clock = ClockCheck(1000.0, 5.0)
    assert clock.steady(1060.0, 65.0)
    decade = 3e8
    assert not clock.steady(1120.0 + decade, 125.0)
    assert not clock.steady(1180.0 + decade, 185.0)
    assert not clock.steady(1240.0, 245.0), "nor when it has jumped back"
    assert not clock.steady(1300.0 + DISTRUST - 100, 305.0 + DISTRUST - 100)
    assert clock.steady(1300.0 + DISTRUST, 305.0 + DISTRUST)
