"""Each pool belongs to one engine, which alone hears of it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from compute_executor.service.wiring import Engines
from tests.service.fixture import SPEC, FakeEngine

OURS, THEIRS = b"o" * 16, b"t" * 16


class Broker(FakeEngine):
    def knows(self, pool: bytes) -> bool:
        return pool == THEIRS


@pytest.mark.parametrize("pool", [OURS, THEIRS])
def test_a_pool_is_spoken_of_to_its_engine_alone(pool: bytes) -> None:
    own, broker = FakeEngine(cast(Any, None)), Broker(cast(Any, None))
    mine, other = (own, broker) if pool == OURS else (broker, own)
    mine.withdrawable = {(1, 2)}
    engines = Engines(own, cast(Any, broker))
    engines.open(pool, SPEC)
    engines.wake(pool)
    assert engines.withdraw(pool, [(1, 2), (1, 3)]) == {(1, 2)}
    engines.close_pool(pool)
    assert (list(mine.opened), mine.woken, mine.closed) == ([pool], [pool], [pool])
    assert (list(other.opened), other.woken, other.closed) == ([], [], [])


def test_all_are_listed_and_closed() -> None:
    own, broker = FakeEngine(cast(Any, None)), Broker(cast(Any, None))
    own.views, broker.views = [cast(Any, "a")], [cast(Any, "b")]
    engines = Engines(own, cast(Any, broker))
    assert engines.workers() == ["a", "b"]
    asyncio.run(engines.close())
    assert own.ended
    assert broker.ended
