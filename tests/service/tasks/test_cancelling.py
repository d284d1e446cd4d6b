"""Cancelling: what surely does not run is ended and stored; all else is left alone."""

from __future__ import annotations

from compute_executor.protocol import frames
from compute_executor.protocol.ids import new_prefix
from tests.service.fixture import (
    ALICE,
    BOB,
    GROUP,
    Listener,
    ServiceFixture,
    batch,
    live,
    reason,
    register,
    serving,
    take,
)


@live
async def test_what_waits_is_withdrawn_and_told(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        listener = Listener()
        service.subscribe(ALICE, listener, GROUP)
        one = batch([b"a", b"b", b"c"])
        await service.submit(ALICE, one)
        assert await service.cancel(ALICE, [(one.prefix, [0, 2, 9])]) == [(one.prefix, [0, 2])]
        results = await listener.heard(2)
        assert {result.status for result in results} == {frames.CANCELLED}
        assert "before it began" in reason(results[0].body).message  # type: ignore[arg-type]
        assert await service.cancel(ALICE, [(one.prefix, [0])]) == []  # it has ended already


@live
async def test_what_is_leased_only_with_the_engines_consent(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        one = batch([b"a", b"b"])
        await service.submit(ALICE, one)
        first, second = take(fixture)
        fixture.engine.withdrawable = {(second.batch, second.position)}
        assert await service.cancel(ALICE, [(one.prefix, [first.position, second.position])]) == [
            (one.prefix, [second.position])
        ]


@live
async def test_tasks_of_others_and_of_nobody_are_left_alone(fixture: ServiceFixture) -> None:
    async with serving(fixture) as service:
        await register(service)
        one = batch([b"a"])
        await service.submit(ALICE, one)
        assert await service.cancel(BOB, [(one.prefix, [0]), (new_prefix(), [0])]) == []
        assert service.task(ALICE, one.prefix, 0).outcome is None
