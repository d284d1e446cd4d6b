"""Withdrawing tasks that have not begun: the queued ones here, the leased ones with the engine's consent."""

from __future__ import annotations

import asyncio

from compute_executor.errors import NotFound
from compute_executor.protocol.frames import CANCELLED, Reason
from compute_executor.protocol.ids import TaskPositions
from compute_executor.service.access import Identity, Owned, check
from compute_executor.service.audit import Audit
from compute_executor.service.pools.pools import Pools
from compute_executor.service.scheduling.dispatch import Dispatch, OpenBatch
from compute_executor.service.tasks.outcomes import Outcomes, made_here
from compute_executor.service.tasks.submissions import Submissions

BEFORE = Reason("cancelled before it began", None, False, 0)


class Cancelling:
    """Owner: the loop thread."""

    def __init__(
        self, dispatch: Dispatch, submissions: Submissions, outcomes: Outcomes, pools: Pools, audit: Audit
    ) -> None:
        self._dispatch = dispatch
        self._submissions = submissions
        self._outcomes = outcomes
        self._pools = pools
        self._audit = audit

    async def cancel(self, who: Identity, tasks: TaskPositions) -> TaskPositions:
        """Which of the tasks surely will not run; returns when that is stored. Foreign and unknown ones are not
        among them."""
        await self._submissions.settled(prefix for prefix, _ in tasks)
        cancelled = [(prefix, self._withdraw(who, prefix, positions)) for prefix, positions in tasks]
        await asyncio.shield(self._outcomes.all_stored())
        return [(prefix, positions) for prefix, positions in cancelled if positions]

    def _withdraw(self, who: Identity, prefix: bytes, positions: list[int]) -> list[int]:
        batch = self._dispatch.by_prefix(prefix)
        if batch is None:
            return []
        try:
            check(who, "cancel task", Owned(batch.owner), f"batch {prefix.hex()}")
        except NotFound as error:
            self._audit.refused(who, "a cancel", error)
            return []
        return self.withdraw(batch, positions, CANCELLED, BEFORE)

    def withdraw(self, batch: OpenBatch, positions: list[int], status: int, reason: Reason) -> list[int]:
        """End those of the tasks that surely have not begun, and never will then; which those are."""
        pool = batch.lane.pool
        done, leased = self._dispatch.cancel(batch, positions)
        if leased:
            given_up = self._pools.engine.withdraw(pool, [(batch.number, position) for position in leased])
            done += self._dispatch.withdrawn(batch, [position for _, position in given_up])
        self._outcomes.put(made_here([(batch, position) for position in done], status, reason))
        if not self._dispatch.open_in(pool):
            self._pools.emptied(pool)
        return done
