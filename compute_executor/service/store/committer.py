"""Grouped commits: whatever arrived while the last commit ran goes into one next transaction, up to a bound.

    soon(operation, done) ... -> one transaction -> done(result, error) for each, in order

With a durable store a commit waits for the disk (some 0.3 to 3 ms), so it runs in one helper thread while the
loop goes on collecting. Otherwise it takes some 30 us and runs on the loop thread, once per turn of the loop.
When the WAL has become long, the helper copies it into the database: some tens of milliseconds, in which commits
wait.
Operations of one user are run in the order in which they came, those of several users in turn (`operations`), and the
callbacks are called in that order, on the loop thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from compute_executor.errors import StoreBusy
from compute_executor.service.scheduling.speakers import PRESENT, Speakers
from compute_executor.service.store.operations import OperationQueues
from compute_executor.service.store.store import Operation, Store, WriteResult

log: logging.Logger = logging.getLogger(__name__)

BUSY_PATIENCE = 5.0
"""Seconds that a write waits for a foreign lock on the database (the usual busy_timeout), before it fails."""
BUSY_PAUSE = 0.05
"""Seconds between two tries at a locked database: the loop thread does not wait in SQLite."""

MOST_AT_ONCE = 32
"""Operations in one transaction: with what follows each, some 4 ms of the loop's time, for which others wait."""

MOST_BESIDE_OTHERS = 8
"""The same while several users are there: what another one has waits for 1 ms."""

LOOK_AFTER = 16
"""Commits between two looks at the length of the WAL: a look is a system call, a tenth of a small commit."""

Callback = Callable[[Any, "Exception | None"], None]


class Committer:
    """The one way to the store's write side. ``users``: those who submit and whose tasks end. Owner: the loop
    thread."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop, users: Speakers | None = None) -> None:
        self._store = store
        self._loop = loop
        self._users = users or Speakers()
        self._waiting: OperationQueues[tuple[Operation, Callback]] = OperationQueues()
        self._again: list[tuple[Operation, Callback]] = []  # those of a transaction that could not begin
        self._running = False  # a turn of the loop, a commit in the helper or a pause is under way
        self._patience = BUSY_PATIENCE
        self._commits = 0
        self._helper = ThreadPoolExecutor(1, "commit")  # starts its thread at the first use

    def soon(self, operation: Operation, done: Callback, *, user: str = "") -> None:
        """Run ``operation`` in the next transaction in which it is the turn of ``user`` (the service itself is one);
        after its commit, or when it failed, call ``done``."""
        self._waiting.put(user, (operation, done))
        if not self._running:
            self._running = True
            self._loop.call_soon(self._next)

    def commit(self, operation: Operation) -> asyncio.Future[Any]:
        """Return the same, with a future for the result."""
        future = self._loop.create_future()
        self.soon(operation, lambda result, error: settle(future, result, error))
        return future

    @property
    def idle(self) -> bool:
        """Nothing is waiting or running."""
        return not self._running

    async def close(self) -> None:
        """Wait until everything given is committed or failed."""
        while self._running:
            await self.commit(lambda _writer: None)
        self._helper.shutdown()

    def _next(self) -> None:
        """Commit what waits; first, now and then, empty the WAL, if it is long."""
        look = self._commits % LOOK_AFTER == 0
        self._commits += 1
        if look and self._store.wal_is_long():
            job = self._helper.submit(self._store.checkpoint)
            job.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._commit))
        else:
            self._commit()

    def _commit(self) -> None:
        several = self._users.several_since(self._loop.time() - PRESENT)
        most = MOST_BESIDE_OTHERS if several else MOST_AT_ONCE
        group, self._again = self._again or self._waiting.take(most), []
        operations = [operation for operation, _ in group]
        if not self._store.durable:
            self._finish(group, *self._attempt(operations))
            return
        job = self._helper.submit(self._attempt, operations)
        job.add_done_callback(lambda job: self._loop.call_soon_threadsafe(self._finish, group, *job.result()))

    def _attempt(self, operations: list[Operation]) -> tuple[list[WriteResult], Exception | None]:
        """Return what became of each; or why nothing could be tried. In the helper thread, if the store is
        durable."""
        try:
            return self._store.run(operations), None
        except Exception as error:
            return [], error

    def _finish(
        self, group: list[tuple[Operation, Callback]], results: list[WriteResult], error: Exception | None
    ) -> None:
        if isinstance(error, StoreBusy) and self._patience > 0:
            self._patience -= BUSY_PAUSE
            self._again = group
            self._loop.call_later(BUSY_PAUSE, self._next)
            return
        self._patience = BUSY_PATIENCE
        if error is not None:
            results = [WriteResult(None, error)] * len(group)
        for (_, done), (result, failed) in zip(group, results, strict=True):
            self._report(done, result, failed)
        if self._waiting:
            self._loop.call_soon(self._next)
        else:
            self._running = False

    def _report(self, done: Callback, result: Any, error: Exception | None) -> None:
        try:
            done(result, error)
        except Exception:
            log.exception("after a commit")  # its neighbours must hear of theirs


def settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    """Give a future its end, unless whoever waited has gone."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
