"""Cancelling tasks: the queued are withdrawn here, the leased with the engine's consent, the running by ending their
workers.

A task that is stopped while it runs ends as CANCELLED when its worker is gone; if it ends by itself before, that is
its outcome. It is not run again, whatever its ``retries``.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable
from typing import NamedTuple

from compute_executor.errors import NotFound
from compute_executor.protocol.frames import CANCELLED, Reason
from compute_executor.protocol.ids import TaskPositions, task_uuid
from compute_executor.service.access import Identity, Owned, check, owned_by
from compute_executor.service.audit import Audit
from compute_executor.service.endpoints.engines import Engines
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.scheduling.lifecycle import State
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.store.reader import Reader
from compute_executor.service.tasks.outcomes import Outcomes
from compute_executor.service.tasks.ownership import owner_of_task
from compute_executor.service.tasks.queue_control import QueueControl
from compute_executor.service.tasks.submissions import Submissions

BEFORE = Reason("cancelled before it began", None, False, 0)


STOPPED = "cancelled while it ran: its worker was ended"


LOOKED_UP = 200
"""Batches, or tasks of one, that are withdrawn before others have their turn."""


class CancelReport(NamedTuple):
    """How many tasks were withdrawn before they began, how many are being stopped, how many run on or cannot be
    stopped."""

    withdrawn: int
    stopped: int
    left: int


class Cancelling:
    """Ends tasks at the request of their owner. ``stopping``: batch number and position of those whose worker is
    being ended. Owner: the loop thread."""

    def __init__(
        self,
        *,
        dispatch: Dispatch,
        submissions: Submissions,
        outcomes: Outcomes,
        queues: QueueControl,
        engines: Engines,
        read: Reader,
        audit: Audit,
    ) -> None:
        self._dispatch = dispatch
        self._submissions = submissions
        self._outcomes = outcomes
        self._queues = queues
        self._engines = engines
        self._read = read
        self._audit = audit
        self.stopping: set[tuple[int, int]] = set()

    async def cancel(self, who: Identity, tasks: TaskPositions) -> TaskPositions:
        """Return which of the tasks surely will not run; returns when that is stored. Foreign and unknown ones are
        not among them."""
        await self._submissions.wait_until_stored(prefix for prefix, _ in tasks)
        cancelled = []
        for number, (prefix, positions) in enumerate(tasks, 1):
            cancelled.append((prefix, await self._withdraw(who, prefix, positions)))
            if len(positions) + number % LOOKED_UP >= LOOKED_UP:
                await asyncio.sleep(0)
        await asyncio.shield(self._outcomes.all_stored())
        return [(prefix, positions) for prefix, positions in cancelled if positions]

    async def cancel_group(self, who: Identity, group: bytes, *, running: bool) -> CancelReport:
        """Cancel every open task of a group; returns when what was withdrawn is stored. Raises NotFound."""
        name = f"task group {uuid.UUID(bytes=group)}"
        found = self._read.group(group)
        check(who, "cancel group", owned_by(None if found is None else found.owner), name)
        batches = [batch for batch in self._dispatch.batches() if batch.group == group]
        return await self._cancel_batches(batches, running=running)

    async def cancel_all(self) -> CancelReport:
        """Cancel every open task of all users, and stop what runs."""
        return await self._cancel_batches(list(self._dispatch.batches()), running=True)

    async def _cancel_batches(self, batches: list[OpenBatch], *, running: bool) -> CancelReport:
        total = CancelReport(0, 0, 0)
        for batch in batches:
            report = await self._cancel(batch, range(batch.count), running=running)
            total = CancelReport(*(a + b for a, b in zip(total, report, strict=True)))
            await asyncio.sleep(0)  # there may be millions of tasks
        await asyncio.shield(self._outcomes.all_stored())
        return total

    async def cancel_task(
        self, who: Identity, prefix: bytes, position: int, *, running: bool
    ) -> CancelReport:
        """Cancel one task, as `cancel_group` does. Raises NotFound."""
        name = f"task {task_uuid(prefix, position)}"
        head = self._read.batch(prefix)
        check(who, "cancel task", owner_of_task(head, position), name)
        batch = self._dispatch.by_prefix(prefix)
        if batch is None:
            return CancelReport(0, 0, 0)
        report = await self._cancel(batch, range(position, position + 1), running=running)
        await asyncio.shield(self._outcomes.all_stored())
        return report

    async def _cancel(self, batch: OpenBatch, positions: range, *, running: bool) -> CancelReport:
        """Withdraw what can be withdrawn, then stop the rest if it is to be stopped."""
        withdrawn = len(self._queues.withdraw(batch, list(positions), CANCELLED, BEFORE))
        withdrawn += len(await self._recalled(batch, positions))
        left = [place for place in positions if batch.states[place] != State.DONE]
        stopped: set[tuple[int, int]] = set()
        if left and running:
            named = [(batch.number, place) for place in left]
            stopped = self._engines.stop_tasks(batch.pool, named)
            self.stopping |= stopped
        return CancelReport(withdrawn, len(stopped), len(left) - len(stopped))

    async def _withdraw(self, who: Identity, prefix: bytes, positions: list[int]) -> list[int]:
        batch = self._dispatch.by_prefix(prefix)
        if batch is None:
            return []
        try:
            check(who, "cancel task", Owned(batch.owner), f"batch {prefix.hex()}")
        except NotFound as error:
            self._audit.refused(who, "a cancel", error)
            return []
        done = self._queues.withdraw(batch, positions, CANCELLED, BEFORE)
        return [*done, *await self._recalled(batch, positions)]

    async def _recalled(self, batch: OpenBatch, positions: Iterable[int]) -> list[int]:
        """Return those of the tasks that an endpoint has given back now that it was asked to, and that so are
        cancelled. Returns when it has answered, or does not."""
        recalling = self._queues.recalling
        if not recalling:
            return []
        names = ((batch.number, position) for position in positions)
        asked = [name for name in names if name in recalling]
        try:
            await self._engines.recalled(batch.pool)
        finally:  # also if whoever asked has gone meanwhile
            given_back = [name[1] for name in asked if recalling.pop(name, False)]
        return given_back
