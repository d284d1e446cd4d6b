"""What was accepted and may not run any more: it ends, names why, and takes nothing else with it."""

from __future__ import annotations

import sqlite3
import uuid
from typing import Any, cast

import msgspec
import pytest

from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.errors import FunctionNotPermitted, NotAuthorized, ServiceUnavailable
from compute_executor.protocol import frames
from compute_executor.sdk.outcome import of_result
from compute_executor.service.access import Identity, forbidden_action
from compute_executor.service.endpoints.registry import EndpointRegistration
from compute_executor.service.globus_compute.peers import KIND
from compute_executor.service.pools.pools import default_pool_id
from compute_executor.service.service import Service
from tests.service.fixture import (
    ALICE,
    BOB,
    CODE,
    DIGEST,
    GROUP,
    Listener,
    ServiceFixture,
    batch,
    live,
    reason,
    register,
    serving,
    take,
    turn,
)
from tests.service.sharing import Broker

TEAM = str(uuid.UUID(int=7))
DEFAULT_POOL = default_pool_id(BOB.id)
MEMBER = Identity("bob", "Bob", frozenset({TEAM}))


def take_of_bobs(fixture: ServiceFixture, limit: int = 100) -> list[Assignment]:
    return take(fixture, limit, of=BOB)


async def shared(service: Service) -> bytes:
    """A function of Alice, who is in the team."""
    alice = Identity("alice", "Alice", frozenset({TEAM}))
    return await service.register(alice, DIGEST, "f", CODE, group=TEAM)


@live
async def test_who_has_left_the_group_runs_nothing_more_of_it(fixture: ServiceFixture) -> None:
    """The task that has begun goes on, the leased one is withdrawn, the queued one ends; one's own runs."""
    async with serving(fixture) as service:
        function, own = await shared(service), await register(service, BOB)
        listener = Listener()
        service.subscribe(MEMBER, listener, GROUP)
        mixed = batch([b"begun", b"leased", b"queued"], functions=[function])
        await service.submit(MEMBER, mixed)
        await service.submit(MEMBER, batch([b"own"], functions=[own]))
        begun, leased = take_of_bobs(fixture, 2)
        fixture.engine.events.began(DEFAULT_POOL, [(*begun[:3], 1.0)])
        fixture.engine.withdrawable = {leased[:2]}

        service.reconsider("bob", BOB)

        refused = await listener.heard(2)
        assert [(one.status, one.position) for one in refused] == [(frames.REFUSED, 2), (frames.REFUSED, 1)]
        why = reason(refused[0].body)  # type: ignore[arg-type]
        name = f"function {uuid.UUID(bytes=function)}"
        assert why == frames.Reason(f"{name} was not run: it is no longer shared with bob", None, False, 0)
        assert [task.body for task in take_of_bobs(fixture)] == [b"own"]
        fixture.engine.end(DEFAULT_POOL, [begun])
        assert (await listener.heard(3))[2].status == frames.VALUE


@live
async def test_what_comes_back_from_a_lost_worker_is_not_run_again(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        function = await shared(service)
        listener = Listener()
        service.subscribe(MEMBER, listener, GROUP)
        retried = batch([b"a", b"b"], functions=[function], options=frames.Options(retries=1))
        await service.submit(MEMBER, retried)
        taken = take_of_bobs(fixture)
        fixture.engine.events.began(DEFAULT_POOL, [(*task[:3], 1.0) for task in taken])
        service.reconsider("bob", BOB)
        for task in taken:
            fixture.engine.events.lost(DEFAULT_POOL, *task[:3], frames.Reason("killed", -9))
        assert take_of_bobs(fixture) == []
        assert [one.status for one in await listener.heard(2)] == [frames.REFUSED] * 2
        assert service.overview()["tasks"]["queued"] == 0


@live
async def test_who_is_back_in_the_group_may_run_again(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        function = await shared(service)
        await service.submit(MEMBER, batch([b"a"], functions=[function], options=frames.Options(retries=1)))
        (task,) = take_of_bobs(fixture)
        fixture.engine.events.began(DEFAULT_POOL, [(*task[:3], 1.0)])
        service.reconsider("bob", BOB)
        service.reconsider("bob", MEMBER)
        fixture.engine.events.lost(DEFAULT_POOL, *task[:3], frames.Reason("killed", -9))
        assert [task.attempt for task in take_of_bobs(fixture)] == [2]


@live
async def test_of_a_user_who_is_gone_nothing_is_run(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        await register(service, BOB)
        await service.submit(ALICE, (sent := batch([b"a", b"b"])))
        await service.submit(BOB, batch([b"c"], group=b"h" * 16))
        service.reconsider("alice", None)
        assert [task.body for task in take_of_bobs(fixture)] == [b"c"]
        await turn(20)
        refused = service.task(ALICE, sent.prefix, 1).outcome
        assert refused is not None
        assert "its caller alice is no user of this service any more" in reason(refused.body).message  # type: ignore[arg-type]
        assert service.waiting_users() == {"bob"}


@live
async def test_a_batch_on_its_way_into_the_store_is_judged_when_it_is_there(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        function = await shared(service)
        stored = service.submit_soon(MEMBER, (sent := batch([b"a"], functions=[function])))
        service.reconsider("bob", BOB)
        await stored
        assert take_of_bobs(fixture) == []
        await turn(20)
        assert service.task(MEMBER, sent.prefix, 0).status == "failed"


@live
async def test_after_a_restart_users_are_asked_for_before_anything_runs(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        function = await shared(service)
        await service.submit(MEMBER, batch([b"a"], functions=[function]))
        await service.delete_function(Identity("alice", "Alice"), function)
    asked = []

    async def who_is(user: str) -> Identity:
        asked.append(user)
        raise ServiceUnavailable("not now")

    async with serving(fixture, who_is=who_is):  # the one who knows is away: as at the submit; deleted or not
        (task,) = take_of_bobs(fixture)
        fixture.engine.events.returned(DEFAULT_POOL, [task[:3]])

    async def bob(user: str) -> Identity:
        return BOB

    async with serving(fixture, who_is=bob):
        assert take_of_bobs(fixture) == []
    assert asked == ["bob"]


@live
async def test_tasks_that_cannot_be_read_now_end_when_they_are_taken(
    fixture: ServiceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(fixture) as service:
        function = await shared(service)
        await service.submit(MEMBER, batch([b"a"], functions=[function]))

        def unreadable(number: int) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        with monkeypatch.context() as broken:
            broken.setattr(fixture.parts.batches, "positions", unreadable)
            service.reconsider("bob", BOB)
        assert service.overview()["tasks"]["queued"] == 1
        assert take_of_bobs(fixture) == []
        assert service.overview()["tasks"]["queued"] == 0


def test_a_client_meets_not_authorized_with_the_task_named() -> None:
    task_id = str(uuid.uuid4())
    body = msgspec.msgpack.encode(frames.Reason("function f was not run", None, False, 0))
    error = of_result(task_id, frames.Result(1, b"p" * 12, 0, frames.REFUSED, body), body).exception()
    assert isinstance(error, NotAuthorized)
    assert (str(error), error.task_id) == ("function f was not run", task_id)


@live
async def test_an_endpoint_that_registers_again_runs_only_what_it_still_permits(
    fixture: ServiceFixture,
) -> None:
    """Its list of functions, and with whom it is shared, count for what is queued as well."""
    alice = Identity("alice", "Alice", frozenset({TEAM}))
    open_to_team = EndpointRegistration("e", group=TEAM, multi_user=True)
    async with serving(fixture) as service:
        first, second = await register(service), await service.register(BOB, DIGEST, "f", CODE, public=True)
        stock = service.globus_compute
        stock._link = stock._credentials = cast(Any, Broker())
        there = (await service.endpoints.register(alice, KIND, open_to_team, None)).id
        own, shared = (batch([b"a"], endpoint=there.bytes, functions=[name]) for name in (first, second))
        theirs = batch([b"b"], endpoint=there.bytes, functions=[second], group=b"h" * 16)
        await service.submit(ALICE, own)
        await service.submit(ALICE, shared)
        await service.submit(MEMBER, theirs)

        async def again(said: EndpointRegistration) -> list[str]:
            await stock.register(alice, said, there)
            await turn(30)
            sent = ((ALICE, own), (ALICE, shared), (MEMBER, theirs))
            return [service.task(who, one.prefix, 0).status for who, one in sent]

        assert await again(open_to_team) == ["waiting-for-ep"] * 3
        only = open_to_team._replace(allowed=[str(uuid.UUID(bytes=second))])
        assert await again(only) == ["failed", "waiting-for-ep", "waiting-for-ep"]
        with pytest.raises(
            FunctionNotPermitted, match=f"{uuid.UUID(bytes=first)} is not permitted"
        ) as caught:
            await service.submit(ALICE, batch([b"a"], endpoint=there.bytes, functions=[first]))
        assert forbidden_action(caught.value) == "run this function on endpoint"
        assert await again(only._replace(group=None)) == ["failed", "waiting-for-ep", "failed"]
        outcome = service.task(MEMBER, theirs.prefix, 0).outcome
        assert outcome is not None
        assert f"endpoint {there} is no longer shared with bob" in reason(outcome.body).message  # type: ignore[arg-type]
