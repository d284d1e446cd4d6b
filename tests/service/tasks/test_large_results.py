"""Files of results go when they were taken, and not before their time."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compute_executor.errors import ResultGone, StorageFull
from compute_executor.protocol import frames
from compute_executor.protocol.frames import UNTIL_TAKEN, Blob, Options
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.service import Service
from compute_executor.service.store.writer import Writer
from tests.service.fixture import ALICE, GROUP, Listener, ServiceFixture, batch, live, register, serving

SIZE = 100_000
DAY = 24 * 3600.0
AT_ONCE = ServiceLimits(keep_results=0.0)


@pytest.fixture
def fixture(tmp_path: Path) -> ServiceFixture:
    return ServiceFixture(tmp_path, echo=True)


class _Files:
    """Arguments that come back as results, as the echo of `ServiceFixture` does: so each is the file of a result."""

    def __init__(self, fixture: ServiceFixture) -> None:
        self.fixture, self.folder = fixture, fixture.blobs.folder
        self.count = 0

    def new(self) -> Blob:
        self.count += 1
        blob = Blob(f"{self.count:032x}", SIZE)
        (self.folder / blob.name).write_bytes(bytes(SIZE))
        return blob

    def there(self) -> int:
        return len(list(self.folder.iterdir()))

    async def become(self, count: int) -> None:
        deadline = time.monotonic() + 10
        while self.there() != count and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert self.there() == count


async def _run(service: Service, files: _Files, count: int, listener: Listener, **options: Any) -> list[Any]:
    sent = batch([files.new() for _ in range(count)], options=Options(**options))
    await service.submit(ALICE, sent)
    return await listener.heard(count)


@live
async def test_what_was_acknowledged_goes_and_says_so(fixture: ServiceFixture) -> None:
    files, listener = _Files(fixture), Listener()
    async with serving(fixture, limits=AT_ONCE) as service:
        await register(service)
        service.subscribe(ALICE, listener, GROUP)
        results = await _run(service, files, 3, listener)
        assert fixture.parts.large_results.waiting == 3 * SIZE
        service.ack(ALICE, GROUP, results[1].seq)
        await files.become(1)
        assert fixture.parts.large_results.waiting == SIZE
        with pytest.raises(ResultGone, match=r"result of 100,000 bytes .*keep=.14d"):
            service.blobs.read(results[0].body)
        assert service.blobs.read(results[2].body) == bytes(SIZE)
        assert service.task(ALICE, results[0].prefix, 0).status == "success", "the outcome stays"
        service.ack(ALICE, GROUP, results[2].seq)
        await files.become(0)


@live
async def test_what_nobody_has_taken_stays_over_a_restart(fixture: ServiceFixture) -> None:
    files, listener = _Files(fixture), Listener()
    async with serving(fixture, limits=AT_ONCE) as service:
        await register(service)
        service.subscribe(ALICE, listener, GROUP)
        results = await _run(service, files, 2, listener)
    async with serving(fixture, limits=AT_ONCE) as service:
        assert fixture.parts.large_results.waiting == 2 * SIZE
        again = Listener()
        service.subscribe(ALICE, again, GROUP)
        service.ack(ALICE, GROUP, results[0].seq)
        await files.become(1)
        service.ack(ALICE, GROUP, results[1].seq)
    async with serving(fixture, limits=AT_ONCE):
        await files.become(0)


@live
async def test_while_others_listen_it_stays(fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute_executor.service.tasks.large_results.LOOK_AGAIN", 0.01)
    files, listener, other = _Files(fixture), Listener(), Listener()
    async with serving(fixture, limits=AT_ONCE) as service:
        await register(service)
        service.subscribe(ALICE, listener, GROUP)
        service.subscribe(ALICE, other, GROUP)
        results = await _run(service, files, 1, listener)
        service.ack(ALICE, GROUP, results[0].seq)
        await asyncio.sleep(0.05)
        assert files.there() == 1
        service.unsubscribe(other)
        await files.become(0)


@live
async def test_batches_say_how_long(fixture: ServiceFixture) -> None:
    files, listener = _Files(fixture), Listener()
    limits = AT_ONCE._replace(keep=DAY, keep_acknowledged=DAY)
    async with serving(fixture, limits=limits) as service:
        await register(service)
        service.subscribe(ALICE, listener, GROUP)
        kept = await _run(service, files, 1, listener, keep=5 * DAY)
        service.ack(ALICE, GROUP, kept[0].seq)
        other = Listener()
        group = b"o" * 16
        service.subscribe(ALICE, other, group)
        sent = batch([files.new()], group=group, options=Options(keep=UNTIL_TAKEN))
        await service.submit(ALICE, sent)
        (taken_later,) = await other.heard(1)
        now = time.time()
        clean = fixture.parts.retention.clean
        assert (await clean(now + 4 * DAY)).batches == 0
        assert files.there() == 2
        assert (await clean(now + 6 * DAY)).batches == 1
        assert files.there() == 1, "nobody has taken it, however long that takes"
        service.ack(ALICE, group, taken_later.seq)
        await files.become(0)
        assert (await clean(now)).batches == 1


@live
async def test_a_full_disk_takes_what_was_taken_and_refuses_the_rest(fixture: ServiceFixture) -> None:
    files, listener = _Files(fixture), Listener()
    limits = ServiceLimits(disk=4 * SIZE, keep_results=DAY)
    async with serving(fixture, limits=limits) as service:
        await register(service)
        service.subscribe(ALICE, listener, GROUP)
        results = await _run(service, files, 4, listener, keep=5 * DAY)
        with pytest.raises(
            StorageFull, match="400,000 bytes of the disk, 400,000 are the limit; 400,000 of them"
        ):
            await service.submit(ALICE, batch([b"x"]))
        assert files.there() == 4, "what nobody has taken stays"
        service.ack(ALICE, GROUP, results[1].seq)
        with pytest.raises(StorageFull):
            await service.submit(ALICE, batch([b"x"]))
        await files.become(3)
        await service.submit(ALICE, batch([b"x"]))
        assert service.overview()["disk"]["used"] == 3 * SIZE
        assert isinstance(results[1].body, frames.Blob)


@live
async def test_what_goes_with_its_batch_is_forgotten(fixture: ServiceFixture) -> None:
    files, listener = _Files(fixture), Listener()
    async with serving(fixture, limits=ServiceLimits(keep=DAY)) as service:
        await register(service)
        service.subscribe(ALICE, listener, GROUP)
        await _run(service, files, 2, listener)
        await fixture.parts.retention.clean(time.time() + 2 * DAY)
        await fixture.parts.disk_space.reclaim()
        assert fixture.parts.large_results.waiting == 0
        assert service.overview()["disk"]["used"] == 0


@live
async def test_what_clients_put_counts_at_once_and_once(fixture: ServiceFixture) -> None:
    files, listener = _Files(fixture), Listener()
    async with serving(fixture, limits=ServiceLimits(disk=2 * SIZE)) as service:
        await register(service)
        service.subscribe(ALICE, listener, GROUP)
        shared = files.new()
        service.hold_blobs(ALICE, listener, [shared, shared])
        assert service.overview()["disk"]["used"] == SIZE
        await service.submit(ALICE, batch([b"x"], parts=[shared]))
        assert service.overview()["disk"]["used"] == SIZE
        service.end_upload(service.begin_upload(ALICE, SIZE), files.new())
        assert service.overview()["disk"]["used"] == 2 * SIZE
        with pytest.raises(StorageFull, match=r"take 200,000 bytes of the disk, 200,000 are the limit"):
            service.begin_upload(ALICE, 1)


@live
@pytest.mark.parametrize(("trouble", "left"), [("database or disk is full", 0), ("disk I/O error", 1)])
async def test_a_file_whose_row_cannot_be_written_goes_first_only_on_a_full_disk(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch, trouble: str, left: int
) -> None:
    monkeypatch.setattr("compute_executor.service.tasks.large_results.LOOK_AGAIN", 0.01)
    tried, mended = asyncio.Event(), asyncio.Event()
    run = Writer.run

    def failing(writer: Writer, name: str, values: tuple[Any, ...]) -> Any:
        if name == "drop_result_blob" and not mended.is_set():
            tried.set()
            raise sqlite3.OperationalError(trouble)
        return run(writer, name, values)

    monkeypatch.setattr(Writer, "run", failing)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1 << 20, f_frsize=1 << 12))
    files, listener = _Files(fixture), Listener()
    async with serving(fixture, limits=AT_ONCE) as service:
        await register(service)
        service.subscribe(ALICE, listener, GROUP)
        (result,) = await _run(service, files, 1, listener)
        service.ack(ALICE, GROUP, result.seq)
        await tried.wait()
        await files.become(left)
        assert fixture.store.read.rows("blob_names"), "the row still names it"
        mended.set()
        await files.become(0)
        while fixture.store.read.rows("blob_names"):
            await asyncio.sleep(0.01)


@live
async def test_after_a_start_the_store_names_no_file_that_made_room_before_the_service_was_killed(
    fixture: ServiceFixture, caplog: pytest.LogCaptureFixture
) -> None:
    files, listener = _Files(fixture), Listener()
    async with serving(fixture, limits=ServiceLimits(keep_results=DAY)) as service:
        await register(service)
        service.subscribe(ALICE, listener, GROUP)
        gone, damaged, whole = await _run(service, files, 3, listener)
    assert isinstance(gone.body, Blob)
    assert isinstance(damaged.body, Blob)
    (files.folder / gone.body.name).unlink()
    (files.folder / damaged.body.name).write_bytes(b"half")
    async with serving(fixture, limits=ServiceLimits(keep_results=DAY)) as service:
        await fixture.parts.committer.commit(lambda _: None)
        assert "the files of 1 results are gone" in caplog.text
        named = {name for (name,) in fixture.store.read.rows("blob_names")}
        assert named == {damaged.body.name, whole.body.name}
        with pytest.raises(ResultGone):
            service.blobs.read(gone.body)
