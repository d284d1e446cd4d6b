"""Several engines behind one seam: each pool belongs to one of them. Owner: the loop thread."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

from compute_executor.endpoint.events import WorkerView
from compute_executor.protocol.frames import PoolSpec

if TYPE_CHECKING:
    from compute_executor.endpoint.engine import Engine
    from compute_executor.endpoint.environment import Environment
    from compute_executor.service.stock.engine import BrokerEngine


class Engines:
    """An Engine: pools that are user endpoints of stock endpoints go to ``broker``, all others to ``own``."""

    def __init__(self, own: Engine, broker: BrokerEngine) -> None:
        self._own = own
        self._broker = broker

    def _of(self, pool: bytes) -> Engine:
        if self._broker.knows(pool):
            return self._broker
        return self._own

    def open(self, pool: bytes, spec: PoolSpec, environment: Environment | None = None) -> None:
        """See Engine."""
        self._of(pool).open(pool, spec, environment)

    def wake(self, pool: bytes) -> None:
        """See Engine."""
        self._of(pool).wake(pool)

    def withdraw(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """See Engine."""
        return self._of(pool).withdraw(pool, tasks)

    def close_pool(self, pool: bytes) -> None:
        """See Engine."""
        self._of(pool).close_pool(pool)

    def workers(self) -> list[WorkerView]:
        """See Engine."""
        return [*self._own.workers(), *self._broker.workers()]

    async def close(self) -> None:
        """See Engine."""
        await asyncio.gather(self._own.close(), self._broker.close())
