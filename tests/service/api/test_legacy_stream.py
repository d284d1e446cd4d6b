"""The stream of the guide's time: a bare task group id in, JSON out."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from compute_executor.protocol.ids import task_uuid
from compute_executor.serialization import native
from compute_executor.service.api import legacy_stream, stream
from tests.service.api.test_stream import Client
from tests.service.fixture import ALICE, BOB, GROUP, ServiceFixture, batch, live, register, serving

NAME = str(uuid.UUID(bytes=GROUP))


@pytest.fixture
def fixture(tmp_path: Path) -> ServiceFixture:
    return ServiceFixture(tmp_path, echo=True)


def values(count: int) -> list[Any]:
    return [native.dumps(number) for number in range(count)]


async def greeted(service: Any, group: str = NAME) -> Client:
    client = Client(service)
    await client.message()
    client.say(group)
    return client


async def documents(client: Client, count: int) -> list[dict[str, Any]]:
    return [json.loads((await client.message())["text"]) for _ in range(count)]


@live
async def test_results_come_as_json(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        early = batch(values(2))
        await service.submit(ALICE, early)
        client = await greeted(service)
        found = await documents(client, 2)
        assert {one["task_id"] for one in found} == {task_uuid(early.prefix, n) for n in range(2)}
        assert {one["status"] for one in found} == {"success"}
        assert all("result" in one and one["completion_t"] for one in found)
        later = batch(values(1))
        await service.submit(ALICE, later)
        assert (await documents(client, 1))[0]["task_id"] == task_uuid(later.prefix, 0)
        await client.leave()
        assert not service.busy()


@live
async def test_many_are_read_in_parts(fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy_stream, "ROOM", 1)
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch(values(20)))
        client = await greeted(service)
        assert len({one["task_id"] for one in await documents(client, 20)}) == 20
        await client.leave()


@live
async def test_a_group_of_somebody_else_is_not_there(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch(values(1)))
        client = Client(service, BOB)
        await client.message()
        client.say(NAME)
        assert (await client.closed())[0] == stream.FOREIGN


@live
async def test_so_many_groups_a_stream(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        client = await greeted(service)
        client.say(NAME, *(str(uuid.uuid4()) for _ in range(service.limits.groups_per_stream)))
        assert (await client.closed())[0] == stream.MALFORMED


@live
async def test_bytes_are_refused(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        client = await greeted(service)
        client.say(b"bytes")
        assert (await client.closed())[0] == stream.MALFORMED


@live
async def test_the_service_ends(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await service.submit(ALICE, batch(values(1)))
        client = await greeted(service)
        await documents(client, 1)
        await service.say_goodbye("for a test")
        assert (await client.closed())[0] == stream.RESTARTING
