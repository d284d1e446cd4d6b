"""Who may register, see, use and change endpoints; a batch for one that is not up waits and can be cancelled."""

from __future__ import annotations

import uuid

import msgspec
import pytest

from compute_executor.errors import (
    EndpointLocked,
    FunctionNotPermitted,
    InvalidRequest,
    NotFound,
    ServiceUnavailable,
)
from compute_executor.protocol import frames
from compute_executor.service.access import Identity
from compute_executor.service.api.documents import EndpointDocument
from compute_executor.service.endpoints.registry import EndpointRegistration, registration
from compute_executor.service.globus_compute.peers import KIND
from compute_executor.service.service import Service
from tests.service.fixture import ALICE, BOB, ServiceFixture, batch, live, register, serving

PLAIN = EndpointRegistration("plain", "Plain")


def online(service: Service, endpoint: uuid.UUID) -> bool:
    return service.is_online(service.endpoints.row(ALICE, endpoint))


@live
async def test_its_owner_sees_it_and_nobody_else(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        endpoints = service.endpoints
        row = await endpoints.register(ALICE, KIND, PLAIN, None)
        assert endpoints.row(ALICE, row.id) == row
        assert endpoints.visible(BOB, None) == []
        for call in (endpoints.row, endpoints.managed):
            with pytest.raises(NotFound):
                call(BOB, row.id)
        with pytest.raises(NotFound):
            await endpoints.register(BOB, KIND, PLAIN, row.id)


@live
async def test_it_is_there_again_after_a_restart(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        row = await service.endpoints.register(ALICE, KIND, PLAIN._replace(allowed=[str(uuid.uuid4())]), None)
    async with serving(fixture) as service:
        assert service.endpoints.row(ALICE, row.id)._replace(seen=row.seen) == row


@live
async def test_a_group_it_is_shared_with_may_run_on_it(fixture: ServiceFixture) -> None:
    physics = str(uuid.UUID(int=15))
    owner, member = (Identity(name, name, frozenset({physics})) for name in ("alice", "carol"))
    async with serving(fixture) as service:
        endpoints = service.endpoints
        row = await endpoints.register(owner, KIND, PLAIN._replace(group=physics.upper()), None)
        with pytest.raises(NotFound, match=f"no group {physics} for you"):
            await endpoints.register(BOB, KIND, PLAIN._replace(group=physics), None)
        assert endpoints.require(member, row.id, []) == row
        with pytest.raises(NotFound):
            endpoints.managed(member, row.id)


@live
async def test_a_public_one_of_a_single_user_is_seen_but_runs_for_nobody_else(
    fixture: ServiceFixture,
) -> None:
    async with serving(fixture) as service:
        endpoints = service.endpoints
        single = await endpoints.register(ALICE, KIND, PLAIN._replace(public=True), None)
        multi = await endpoints.register(ALICE, KIND, PLAIN._replace(public=True, multi_user=True), None)
        assert endpoints.row(BOB, single.id) == single
        with pytest.raises(NotFound):
            endpoints.require(BOB, single.id, [])
        assert endpoints.require(BOB, multi.id, []) == multi


@live
async def test_functions_that_are_not_listed_are_refused_at_submit(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        function = await register(service)
        listed = PLAIN._replace(allowed=[str(uuid.UUID(bytes=function))])
        open_for = await service.endpoints.register(ALICE, KIND, listed, None)
        closed = await service.endpoints.register(ALICE, KIND, PLAIN._replace(allowed=[]), None)
        await service.submit(ALICE, batch([b"1"], endpoint=open_for.id.bytes))
        with pytest.raises(FunctionNotPermitted, match=str(closed.id)):
            await service.submit(ALICE, batch([b"1"], endpoint=closed.id.bytes))


@live
async def test_a_stopped_one_may_not_come_back_at_once(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        endpoints = service.endpoints
        row = await endpoints.register(ALICE, KIND, PLAIN, None)
        assert online(service, row.id)
        await endpoints.lock(ALICE, row.id)
        assert not online(service, row.id)
        with pytest.raises(EndpointLocked):
            await endpoints.register(ALICE, KIND, PLAIN, row.id)


@live
async def test_its_kind_is_for_good(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        row = await service.endpoints.register(ALICE, KIND, PLAIN, None)
        with pytest.raises(InvalidRequest, match=f"{row.id} is registered as one of kind {KIND}"):
            await service.endpoints.register(ALICE, "other", PLAIN, row.id)
        with pytest.raises(NotFound):
            await service.endpoints.register(BOB, "other", PLAIN, row.id)


@live
async def test_its_last_heartbeat_takes_it_off(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        endpoints = service.endpoints
        row = await endpoints.register(ALICE, KIND, PLAIN, None)
        assert endpoints.heard(row.id, {"heartbeat_period": 30})
        assert online(service, row.id)
        assert endpoints.heard(row.id, {"heartbeat_period": 0})
        assert not online(service, row.id)
        assert not endpoints.heard(uuid.uuid4(), {})


@live
async def test_tasks_for_one_that_is_away_wait_over_a_restart_and_can_be_cancelled(
    fixture: ServiceFixture,
) -> None:
    async with serving(fixture) as service:
        await register(service)
        row = await service.endpoints.register(ALICE, KIND, PLAIN, None)
        sent = batch([b"1", b"2"], endpoint=row.id.bytes)
        await service.submit(ALICE, sent)
    async with serving(fixture) as service:
        assert service.task(ALICE, sent.prefix, 0).status == "waiting-for-ep"
        assert await service.cancel(ALICE, [(sent.prefix, [1])]) == [(sent.prefix, [1])]


@live
async def test_a_deleted_one_ends_what_waits_for_it(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        row = await service.endpoints.register(ALICE, KIND, PLAIN, None)
        sent = batch([b"1"], endpoint=row.id.bytes)
        await service.submit(ALICE, sent)
        await service.delete_endpoint(ALICE, row.id)
        await service.cancel(ALICE, [])  # returns when outcomes are stored
        outcome = service.task(ALICE, sent.prefix, 0).outcome
        assert outcome is not None
        assert outcome.status == frames.BROKEN
        with pytest.raises(NotFound):
            service.endpoints.row(ALICE, row.id)


@live
async def test_without_a_broker_nothing_registers_or_listens(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        with pytest.raises(ServiceUnavailable, match="amqp-url"):
            await service.globus_compute.register(ALICE, PLAIN, None)
        with pytest.raises(ServiceUnavailable, match="amqp-url"):
            await service.globus_compute.result_address(ALICE)


def test_what_a_registration_says() -> None:
    said = registration(msgspec.convert({"endpoint_name": "n", "allowed_functions": None}, EndpointDocument))
    assert said == EndpointRegistration("n", "n")
    with pytest.raises(InvalidRequest):
        registration(
            msgspec.convert({"endpoint_name": "n", "allowed_functions": ["no id"]}, EndpointDocument)
        )


@live
async def test_what_its_workers_have_is_told_when_one_has_said_it(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        row = await service.endpoints.register(ALICE, KIND, PLAIN, None)
        users = service.globus_compute.users
        assert service.worker_versions(row) == {}
        one = users.get(users.require(ALICE, row.id, None, None))
        assert one is not None
        assert service.worker_versions(row) == {}
        users.detailed(one, {"python_version": "3.9.1", "dill_version": "0.3.6", "os": "Linux"})
        assert service.worker_versions(row) == {"python_version": "3.9.1", "dill_version": "0.3.6"}


@pytest.mark.parametrize(
    ("version", "multi_user", "served"),
    [
        ("3.16.1", None, False),
        ("2.34.0", False, False),
        ("3.16.1", True, True),
        ("4.10.2", None, True),
        (None, None, True),
    ],
)
def test_releases_that_have_no_templates_are_told_what_they_need(
    version: str | None, multi_user: bool | None, served: bool
) -> None:
    metadata = {"endpoint_version": version} if version else None
    document = EndpointDocument("old", multi_user=multi_user, metadata=metadata)
    if served:
        assert registration(document).name == "old"
        return
    with pytest.raises(InvalidRequest, match=rf"{version} without --multi-user.*Update it to 4\.0"):
        registration(document)


@live
async def test_ones_own_come_first(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        public = PLAIN._replace(public=True)
        rows = [await service.endpoints.register(who, KIND, public, None) for who in (BOB, ALICE, BOB, ALICE)]
        seen = service.endpoints.visible(ALICE, None)
        assert [row.id for row in seen] == [rows[number].id for number in (1, 3, 0, 2)]
        assert [row.id for row in service.endpoints.visible(ALICE, "owner")] == [rows[1].id, rows[3].id]
