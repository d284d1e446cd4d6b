"""The open batches and what it takes to run them: accepted, restored, given out, finished. Owner: the loop thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.worker import trace
from compute_executor.errors import InvalidRequest, NotFound, ServiceUnavailable
from compute_executor.protocol.frames import Blob, Submit
from compute_executor.protocol.resources import resources_of
from compute_executor.service.access import absent
from compute_executor.service.endpoints.engines import Engines
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.scheduling.queues import Call, Lease, OpenBatch
from compute_executor.service.store.reader import Reader
from compute_executor.service.store.rows import BatchContent, BatchRow, NewBatch
from compute_executor.service.tasks.arguments import DecodedArguments
from compute_executor.service.tasks.functions import Functions
from compute_executor.service.tasks.groups import TaskGroups

log: logging.Logger = logging.getLogger(__name__)

READ_AGAIN = 1.0
"""Seconds until arguments that could not be read are tried again."""


class TakenTasks(NamedTuple):
    """Tasks that were leased. ``denied``: those that may not run any more, with their positions and functions."""

    assignments: list[Assignment]
    denied: list[tuple[OpenBatch, int, int]]


class OpenBatches:
    """Everything that is accepted and not finished. The states are the dispatcher's; ``body``: finds a stored body by
    its name; ``budget``: bytes of memory for decoded arguments."""

    def __init__(
        self,
        *,
        read: Reader,
        dispatch: Dispatch,
        functions: Functions,
        groups: TaskGroups,
        engines: Engines,
        body: Callable[[str], Blob],
        budget: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._read = read
        self._dispatch = dispatch
        self._functions = functions
        self._groups = groups
        self._engines = engines
        self._loop = loop
        self._body = body
        self._shared: dict[int, list[Blob]] = {}  # of batches that endpoints have been given tasks of
        self._arguments = DecodedArguments(read.batch_tasks, budget)

    @property
    def open(self) -> int:
        """How many tasks are not done."""
        return self._dispatch.open

    def open_of(self, owner: str) -> int:
        """Return how many tasks of a user are not done."""
        return self._dispatch.open_of(owner)

    def find(self, prefix: bytes) -> OpenBatch | None:
        """Return the open batch of this prefix."""
        return self._dispatch.by_prefix(prefix)

    # -- the same batch again -----------------------------------------------------------------------------

    def stored(self, prefix: bytes, owner: str) -> bool:
        """Return whether this owner's batch of this prefix is in the store."""
        found = self._read.batch(prefix)
        return found is not None and found.owner == owner

    def check_same(self, batch: Submit) -> None:
        """Raise InvalidRequest if the stored batch of this prefix, which there is, has other content."""
        stored = self._read.batch_content(batch.prefix)
        if stored is not None:
            check_same_content(batch, stored)

    def number_again(self, row: NewBatch) -> int | None:
        """Return the number of a batch whose prefix is in the store already, if it is to be accepted now; None if it
        is open or finished. Raises NotFound or InvalidRequest if that is another batch.

        It may be in the store without being open here: after a commit that was reported as failed (fsync) and yet
        is found in the file.
        """
        found = self._read.batch(row.prefix)
        if found is None:
            raise ServiceUnavailable(
                f"batch {row.prefix.hex()} is in the store and cannot be read there now: send it again"
            )
        if found.owner != row.owner:
            raise taken(row.prefix)
        stored = self._read.batch_content(row.prefix)
        if stored is not None and not is_same(stored, (row.group, row.size, row.options, row.tasks)):
            raise other_content(row.prefix)
        return None if found.finished or self.find(row.prefix) else found.number

    # -- coming and going ---------------------------------------------------------------------------------

    def accept(self, number: int, row: NewBatch, calls: list[Call]) -> OpenBatch:
        """Queue a batch that has been stored."""
        if trace.marks is not None:
            trace.committed(trace.marks, number)
        batch = self._new(number, row, with_blobs=bool(row.blobs or row.parts))
        self._dispatch.add(batch)
        self._arguments.offer(batch, calls, len(row.tasks))
        self._groups.opened(row.group)
        return batch

    def restore(self, row: BatchRow, done: Collection[int], attempts: dict[int, int]) -> OpenBatch:
        """Queue what is not ``done`` of a batch that was open before a restart. ``attempts``: those that are due."""
        batch = self._new(row.number, row, with_blobs=True)
        batch.recover(done, attempts)
        self._dispatch.add(batch)
        self._groups.opened(row.group)
        return batch

    def _new(self, number: int, row: NewBatch | BatchRow, *, with_blobs: bool) -> OpenBatch:
        return OpenBatch(
            number=number,
            prefix=row.prefix,
            owner=row.owner,
            group=row.group,
            endpoint=row.endpoint,
            pool=row.pool,
            count=row.size,
            options=row.options,
            functions=[self._functions.number(function) for function in row.functions],
            with_blobs=with_blobs,
        )

    def finish(self, batch: OpenBatch) -> None:
        """Forget a batch: every outcome of it is stored."""
        self._dispatch.forget(batch)
        self._arguments.drop(batch)
        self._shared.pop(batch.number, None)
        self._groups.finished(batch.group)

    def positions(self, batch: OpenBatch) -> dict[int, list[int]]:
        """Return the positions of the tasks of a batch, by the number of their function. Raises sqlite3.Error."""
        found: dict[int, list[int]] = {}
        for position, (function, _) in enumerate(self._arguments.get(batch)):
            found.setdefault(batch.functions[function], []).append(position)
        return found

    # -- giving out ---------------------------------------------------------------------------------------

    def take(self, pool: bytes, limit: int) -> TakenTasks:
        """Lease up to ``limit`` tasks of a pool for its engine. If arguments cannot be read, the rest waits."""
        taken = TakenTasks([], [])
        leases = self._dispatch.take(pool, limit)
        for index, lease in enumerate(leases):
            try:
                assignments = self._assignments(lease)
            except Exception:
                log.exception(
                    "arguments of batch %s cannot be read; its tasks wait", lease.batch.prefix.hex()
                )
                self._dispatch.returned([task for untaken in leases[index:] for task in _tasks(untaken)])
                self._loop.call_later(READ_AGAIN, self._engines.wake, pool)
                break
            if denied := lease.batch.denied:
                taken.denied.extend(
                    (lease.batch, one.position, one.function) for one in assignments if one.function in denied
                )
                assignments = [one for one in assignments if one.function not in denied]
            taken.assignments.extend(assignments)
        return taken

    def _assignments(self, lease: Lease) -> list[Assignment]:
        batch, start, stop, attempt = lease
        number, functions, walltime = batch.number, batch.functions, batch.options.walltime
        needs = resources_of(batch.options)
        calls = self._arguments.get(batch)
        if batch.with_blobs and number not in self._shared and self._engines.is_sent_shared(batch.pool):
            names = self._read.rows("parts_of_batch", (number,))
            self._shared[number] = [self._body(name) for (name,) in names]
        return [
            Assignment(number, position, attempt, functions[function], body, walltime, needs)
            for position, (function, body) in enumerate(calls[start:stop], start)
        ]

    def shared_by(self, number: int) -> Sequence[Blob]:
        """Return the values that the tasks of a batch share of which an endpoint has been given some."""
        return self._shared.get(number, ())


def check_same_content(batch: Submit, stored: BatchContent) -> None:
    """Raise InvalidRequest if what is stored under the prefix of a batch is another one."""
    if not is_same(stored, (batch.group, batch.count, batch.options, bytes(batch.tasks))):
        raise other_content(batch.prefix)


def is_same(stored: BatchContent, sent: BatchContent) -> bool:
    """Return whether two batches of one prefix are the same: group, count, options and, where both are known, the
    tasks (which are not kept after the end of a batch)."""
    tasks_differ = None not in {stored[3], sent[3]} and stored[3] != sent[3]
    return stored[:3] == sent[:3] and not tasks_differ


def other_content(prefix: bytes) -> InvalidRequest:
    """Return the answer to a batch whose prefix names another one of the same user."""
    return InvalidRequest(
        f"the prefix {prefix.hex()} names another batch of yours already, with other tasks, options or task group; "
        "nothing of this one is kept. Each batch has a prefix of its own"
    )


def taken(prefix: bytes) -> NotFound:
    """Return the answer to a batch whose prefix is somebody else's."""
    return absent(f"batch {prefix.hex()}", forbidden="use batch")


def _tasks(lease: Lease) -> list[tuple[int, int, int]]:
    return [(lease.batch.number, position, lease.attempt) for position in range(lease.start, lease.stop)]
