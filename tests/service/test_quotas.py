"""What one user may have of a shared service: refused with figures, for guests only, and others are not concerned."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import Any

import msgspec
import pytest

from compute_executor.errors import BacklogFull, QuotaExceeded
from compute_executor.protocol.frames import Blob
from compute_executor.service.access import LOCAL_USER, Identity
from compute_executor.service.endpoints.registry import EndpointRegistration
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.quotas import QUOTAS, require_quota
from compute_executor.service.service import Service
from compute_executor.service.tasks import usage as module
from compute_executor.service.tasks.additions import Addition
from compute_executor.service.tasks.usage import Usage, measure
from tests.service.api.test_stream import Client
from tests.service.fixture import (
    ALICE,
    BOB,
    DEFAULT_POOL,
    SPEC,
    Listener,
    ServiceFixture,
    batch,
    live,
    register,
    serving,
    take,
    turn,
)

HOST = Identity(LOCAL_USER, "host", admin=True)
SMALL = ServiceLimits(
    user_open_tasks=3,
    user_pools=1,
    user_pool_bytes=10_000,
    user_functions=2,
    user_stored=100_000,
    user_files=1,
    user_streams=1,
    user_groups=2,
    user_endpoints=1,
)


@pytest.mark.parametrize("name", QUOTAS)
def test_a_refusal_has_all_the_figures_and_what_helps(name: str) -> None:
    limit = getattr(SMALL, name)
    require_quota(SMALL, ALICE, name, limit - 1, 1)
    with pytest.raises(QuotaExceeded) as caught:
        require_quota(SMALL, ALICE, name, limit, 1)
    text = str(caught.value)
    for part in ("Alice", f"{limit:,}", f"({name})", QUOTAS[name].what, QUOTAS[name].advice):
        assert part in text
    require_quota(SMALL, HOST, name, 10**12, 1)
    require_quota(SMALL, ALICE._replace(endpoint=BUILT), name, 10**12, 1)


BUILT = uuid.uuid4()


def test_every_bound_of_a_user_has_its_words() -> None:
    assert set(QUOTAS) == {name for name in ServiceLimits._fields if name.startswith("user_")}


def group(who: Identity) -> bytes:
    return who.id.encode().ljust(16)


@live
async def test_open_tasks(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=SMALL) as service:
        for who in (ALICE, BOB, HOST):
            await register(service, who)
        await service.submit(ALICE, batch([b"1", b"2"]))
        coming = service.submit_soon(ALICE, batch([b"3"]))
        with pytest.raises(BacklogFull, match=r"3 open tasks; 1 more .* limit of 3 .*user_open_tasks"):
            await service.submit(ALICE, batch([b"4"]))
        await coming
        await service.submit(BOB, batch([b"1"], group=group(BOB)))
        await service.submit(HOST, batch([b"1"] * 9, group=group(HOST)))
        fixture.engine.end(DEFAULT_POOL, take(fixture, 1))
        await service.submit(ALICE, batch([b"4"]))


@live
async def test_pools_and_what_describes_them(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=SMALL) as service:
        await service.open_pool(ALICE, b"1" * 16, SPEC)
        await service.open_pool(ALICE, b"1" * 16, SPEC)
        with pytest.raises(QuotaExceeded, match="1 open pools; 1 more"):
            await service.open_pool(ALICE, b"2" * 16, SPEC)
        large = msgspec.structs.replace(SPEC, environ={"A": "x" * 10_000})
        with pytest.raises(QuotaExceeded, match="user_pool_bytes"):
            await service.open_pool(BOB, b"3" * 16, large)
        await service.open_pool(BOB, b"3" * 16, SPEC)
        for number in range(5):
            await service.open_pool(HOST, bytes([number + 100]) * 16, large)
        service.close_pool(ALICE, b"1" * 16)
        await service.open_pool(ALICE, b"2" * 16, SPEC)


@live
async def test_functions(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=SMALL) as service:
        first = await _function(service, ALICE, 1)
        await _function(service, ALICE, 2)
        with pytest.raises(QuotaExceeded, match="2 registered functions; 1 more"):
            await _function(service, ALICE, 3)
        assert await _function(service, ALICE, 1) == first, "one that is there already is no more"
        await service.delete_function(ALICE, first)
        await _function(service, ALICE, 3)
        for number in range(5):
            await _function(service, HOST, number)


async def _function(service: Service, who: Identity, number: int) -> bytes:
    code = b"code %d" % number
    return await service.register(who, hashlib.sha256(code).digest(), "f", code)


@live
async def test_what_is_stored(fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD", 0.0)
    monkeypatch.setattr(module, "SHARE", 0)
    limits = SMALL._replace(user_open_tasks=1000)
    async with serving(fixture, limits=limits) as service:
        for who in (ALICE, BOB, HOST):
            await register(service, who)
        await service.submit(ALICE, batch([b"x" * 60_000]))
        await _measured(fixture)
        with pytest.raises(QuotaExceeded, match=r"6\d,\d{3} bytes kept here .*user_stored"):
            await service.submit(ALICE, batch([b"x" * 60_000]))
        with pytest.raises(QuotaExceeded, match="user_stored"):
            service.begin_upload(ALICE, 60_000)
        await service.submit(BOB, batch([b"x" * 60_000], group=group(BOB)))
        for _ in range(3):
            await service.submit(HOST, batch([b"x" * 60_000], group=group(HOST)))
        fixture.engine.end(DEFAULT_POOL, [task._replace(body=b"") for task in take(fixture)])
        await _measured(fixture)
        await service.submit(ALICE, batch([b"x" * 60_000]))


@live
async def test_a_batch_that_a_measurement_did_not_see_stays_counted(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(fixture, limits=SMALL._replace(user_open_tasks=1000)) as service:
        await register(service)
        usage = fixture.parts.usage
        before = await asyncio.to_thread(measure, fixture.path, fixture.blobs.folder, {})
        monkeypatch.setattr(module, "measure", lambda *_: before)
        coming = service.submit_soon(ALICE, batch([b"x" * 60_000]))  # which has it measured
        await usage.close()
        await coming
        assert 60_000 < usage.of(ALICE.id).bytes < 70_000


async def _measured(fixture: ServiceFixture) -> None:
    """Once before what has just ended is stored, once after that."""
    usage = fixture.parts.usage
    for _ in range(2):
        await fixture.parts.outcomes.all_stored()
        usage.of("")
        await usage.close()


@live
async def test_files(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=SMALL._replace(user_stored=10**9)) as service:
        failed = service.begin_upload(ALICE, 70_000)
        with pytest.raises(QuotaExceeded, match=r"1 files kept here .*user_files"):
            service.begin_upload(ALICE, 70_000)
        service.end_upload(failed, None)
        upload = service.begin_upload(ALICE, 70_000)
        service.end_upload(upload, Blob("a" * 32, 80_000))
        with pytest.raises(QuotaExceeded, match=r"1 files kept here .*user_files"):
            service.begin_upload(ALICE, 70_000)
        assert fixture.parts.usage.of(ALICE.id) == Usage(80_000, 1)
        service.begin_upload(BOB, 70_000)
        service.begin_upload(HOST, 10**12)


@live
async def test_streams(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=SMALL) as service:
        first = service.open_streams.enter(ALICE, b"")
        with pytest.raises(QuotaExceeded, match="1 open streams"):
            service.open_streams.enter(ALICE, b"")
        for who in (BOB, HOST, HOST):
            service.open_streams.enter(who, b"")
        service.open_streams.leave(first)
        service.open_streams.enter(ALICE, b"")


@live
async def test_a_stream_too_many_is_told_why(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=SMALL) as service:
        service.open_streams.enter(ALICE, b"")
        client = Client(service, ALICE)
        assert (await client.message())["type"] == "websocket.accept"
        closed = await client.message()
        assert (closed["type"], closed["code"]) == ("websocket.close", 4429)
        assert "1 open streams" in closed["reason"]


@live
async def test_what_is_kept_for_each_user_is_measured(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        blobs = fixture.blobs
        argument, result, code = [await blobs.keep(bytes([n]) * 70_000) for n in range(3)]
        assert isinstance(argument, Blob)
        await register(service)
        await service.submit(ALICE, batch([b"x" * 1000, argument]))
        taken = take(fixture)
        fixture.engine.end(DEFAULT_POOL, [taken[0]._replace(body=result)])
        await fixture.parts.outcomes.all_stored()
        await turn()
        fresh = {code.name: BOB.id}  # type: ignore[union-attr]
        found = await asyncio.to_thread(measure, fixture.path, blobs.folder, fresh)
        assert found.batches == 1
        assert found.usages[BOB.id] == Usage(70_000, 1)
        assert found.usages[ALICE.id].files == 2
        assert 141_000 < found.usages[ALICE.id].bytes < 142_000


@live
async def test_a_measurement_that_fails_is_made_again_later(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no descriptors")

    async with serving(fixture):
        usage = fixture.parts.usage
        usage.additions.expect(Addition(ALICE.id, 7))
        monkeypatch.setattr(module, "measure", fails)
        assert usage.of(ALICE.id) == Usage(7, 0)
        await usage.close()
        assert "cannot be measured now" in caplog.text
        assert usage.of(ALICE.id) == Usage(7, 0)


@live
async def test_endpoints(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=SMALL) as service:
        said = EndpointRegistration("one")
        both = await asyncio.gather(
            *(service.agents.register(ALICE, EndpointRegistration(name)) for name in ("one", "two")),
            return_exceptions=True,
        )
        assert [type(one) for one in both] == [tuple, QuotaExceeded], "also of those that come at once"
        with pytest.raises(QuotaExceeded, match=r"1 registered endpoints; 1 more .*user_endpoints"):
            await service.agents.register(ALICE, EndpointRegistration("two"))
        (row, _) = await service.agents.register(ALICE, said)
        await service.agents.register(BOB, said)
        for number in range(5):
            await service.agents.register(HOST, EndpointRegistration(f"e{number}"))
        await service.delete_endpoint(ALICE, row.id)
        await service.agents.register(ALICE, EndpointRegistration("two"))


@live
async def test_groups_that_all_streams_of_a_user_listen_to(fixture: ServiceFixture) -> None:
    async with serving(fixture, limits=SMALL) as service:
        first, second = Listener(), Listener()
        for listener in (first, second, second):  # the last listens already
            service.subscribe(ALICE, listener, group(ALICE))
        with pytest.raises(QuotaExceeded, match=r"2 task groups that are listened to; 1 more .*user_groups"):
            service.subscribe(ALICE, second, b"2" * 16)
        service.subscribe(BOB, Listener(), group(BOB))
        for number in range(5):
            service.subscribe(HOST, first, bytes([number + 100]) * 16)
        service.unsubscribe(first)
        service.unsubscribe(first)
        service.subscribe(ALICE, second, b"2" * 16)
