"""Tasks that have not begun: engines are woken to take them, or they end without having run.

Owner: the loop thread.
"""

from __future__ import annotations

from compute_executor.protocol.frames import BROKEN, CANCELLED, Reason
from compute_executor.service.endpoints.engines import Engines
from compute_executor.service.pools.pools import Pools
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.tasks.outcomes import Outcomes, made_here


def wake_all(dispatch: Dispatch, engines: Engines) -> None:
    """Have the engines take from every pool that has tasks."""
    for pool in dispatch.pools():
        engines.wake(pool)


class QueueControl:
    """The control over what waits in the queues of pools. ``recalling``: batch number and position of tasks that an
    endpoint was asked to give back because they are to be cancelled, and whether it has."""

    def __init__(self, dispatch: Dispatch, engines: Engines, outcomes: Outcomes, pools: Pools) -> None:
        self._dispatch = dispatch
        self._engines = engines
        self._outcomes = outcomes
        self._pools = pools
        self.recalling: dict[tuple[int, int], bool] = {}

    def wake(self, pool: bytes) -> None:
        """Have the engine take from a pool. The tasks of one that has failed end, also those accepted since."""
        if failure := self._pools.failure(pool):
            self.end_queued(pool, failure)
        else:
            self._engines.wake(pool)

    def wake_all(self) -> None:
        """Wake every pool that has tasks."""
        for pool in self._dispatch.pools():
            self.wake(pool)

    def wake_released(self) -> None:
        """Wake the pools whose tasks were deferred and are not any more."""
        for pool in self._dispatch.released():
            self.wake(pool)

    def end_queued(self, pool: bytes, message: str) -> None:
        """End every queued task of a pool as BROKEN."""
        reason = Reason(message, None, False, 0, self._pools.container(pool))
        self._outcomes.put(made_here(self._dispatch.break_pool(pool), BROKEN, reason))
        self.shrunk(pool)

    def withdraw(self, batch: OpenBatch, positions: list[int], status: int, reason: Reason) -> list[int]:
        """End those of the tasks that surely have not begun, and never will then; which those are."""
        pool = batch.pool
        done, leased = self._dispatch.cancel(batch, positions)
        if leased:
            names = [(batch.number, position) for position in leased]
            if status == CANCELLED and self._engines.endpoint_of(pool) is not None:
                self.recalling.update(dict.fromkeys(names, False))
            given_up = self._engines.withdraw(pool, names)
            done += self._dispatch.withdrawn(batch, [position for _, position in given_up])
        self._outcomes.put(made_here([(batch, position) for position in done], status, reason))
        self.shrunk(pool)
        return done

    def shrunk(self, pool: bytes) -> None:
        """Note that tasks of a pool have ended: close it if it only waited for them, and wake what was deferred for
        them."""
        if not self._dispatch.open_in(pool):
            self._pools.emptied(pool)
        self.wake_released()
