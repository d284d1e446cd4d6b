"""The open batches with what it takes to run them: the dispatcher's view, function numbers and decoded arguments.

Arguments are kept decoded while there is room, otherwise read from the store again. Owner: the loop thread.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.worker import trace
from compute_executor.errors import ComputeError, InvalidRequest, NotFound
from compute_executor.protocol.frames import Body, Options, Submit
from compute_executor.service.access import absent
from compute_executor.service.scheduling.dispatch import Dispatch, Lease, OpenBatch
from compute_executor.service.store.reader import Reader
from compute_executor.service.store.rows import BatchContent, BatchRow, NewBatch
from compute_executor.service.tasks.functions import Functions
from compute_executor.service.tasks.groups import TaskGroups

log = logging.getLogger(__name__)

OBJECT_BYTES = 150
"""What one decoded task costs in memory besides its bytes: a tuple, a bytes object, a place in a list."""

Call = tuple[int, Body]  # index into the batch's functions, call payload

decode_calls = msgspec.msgpack.Decoder(list[Call]).decode
"""The tasks of a Submit. Raises msgspec.DecodeError."""


class OpenBatches:
    """Everything that is accepted and not finished. ``wake``: called with a pool that has new work;
    ``wake_later``: with one whose work cannot be given out now; ``accepted``: with the number of a new batch."""

    def __init__(
        self,
        *,
        read: Reader,
        dispatch: Dispatch,
        functions: Functions,
        groups: TaskGroups,
        budget: int,
        wake: Callable[[bytes], None],
        wake_later: Callable[[bytes], object],
    ) -> None:
        self.accepted: Callable[[int], object] = lambda _: None
        self._read = read
        self._dispatch = dispatch
        self._functions = functions
        self._groups = groups
        self._wake = wake
        self._wake_later = wake_later
        self._bodies = Bodies(read.batch_tasks, budget)
        self._plans: dict[
            int, tuple[list[int], float | None]
        ] = {}  # function numbers and walltime of each batch
        self._with_blobs: set[int] = set()
        self._options: dict[int, Options] = {}

    @property
    def open(self) -> int:
        """How many tasks are not done."""
        return self._dispatch.open

    def owner(self, prefix: bytes) -> str | None:
        """Whose the open batch of this prefix is; None if none is open."""
        batch = self._dispatch.by_prefix(prefix)
        return batch.owner if batch else None

    def stored(self, prefix: bytes, owner: str) -> bool:
        """Whether this owner's batch of this prefix is in the store."""
        found = self._read.batch(prefix)
        return found is not None and found.owner == owner

    def check_same(self, batch: Submit) -> None:
        """Raise InvalidRequest if the stored batch of this prefix, which there is, has other content."""
        stored = self._read.batch_content(batch.prefix)
        if stored is not None:
            check_same_content(batch, stored)

    def accept_again(self, row: NewBatch, calls: list[Call]) -> ComputeError | None:
        """A batch whose prefix is in the store already: accepted, if it is the same one; else the refusal.

        It may be in the store without being open here: after a commit that was reported as failed (fsync) and yet
        is found in the file. Then it is queued now.
        """
        found = self._read.batch(row.prefix)
        if found is None or found.owner != row.owner:
            return taken(row.prefix)
        stored = self._read.batch_content(row.prefix)
        if stored is not None and not is_same(stored, (row.group, row.size, row.options, row.tasks)):
            return other_content(row.prefix)
        if not found.finished and self._dispatch.by_prefix(row.prefix) is None:
            self.accept(found.number, row, calls)
        return None

    # -- coming and going ---------------------------------------------------------------------------------

    def accept(self, number: int, row: NewBatch, calls: list[Call]) -> None:
        """A batch has been stored: queue it."""
        if trace.marks is not None:
            trace.committed(trace.marks, number)
        self._dispatch.add(
            number=number,
            prefix=row.prefix,
            owner=row.owner,
            group=row.group,
            pool=row.pool,
            count=row.size,
            retries=row.options.retries,
        )
        self._plan(number, row.functions, row.options, with_blobs=bool(row.blobs or row.parts))
        self._bodies.offer(number, calls, len(row.tasks))
        self._groups.opened(row.group)
        self.accepted(number)
        self._wake(row.pool)

    def restore(self, row: BatchRow, done: Iterable[int], attempts: dict[int, int]) -> OpenBatch:
        """A batch that was open before a restart: queue what of it is not ``done``."""
        batch = self._dispatch.add(
            number=row.number,
            prefix=row.prefix,
            owner=row.owner,
            group=row.group,
            pool=row.pool,
            count=row.size,
            retries=row.options.retries,
            done=done,
            attempts=attempts,
        )
        self._plan(row.number, row.functions, row.options, with_blobs=True)
        self._groups.opened(row.group)
        return batch

    def _plan(self, number: int, functions: list[bytes], options: Options, *, with_blobs: bool) -> None:
        self._plans[number] = ([self._functions.number(function) for function in functions], options.walltime)
        self._options[number] = options
        if with_blobs:
            self._with_blobs.add(number)

    def function_numbers(self, number: int) -> list[int]:
        """The numbers of the functions of an open batch."""
        return self._plans[number][0]

    def positions(self, number: int) -> dict[int, list[int]]:
        """The positions of the tasks of an open batch, by the number of their function. Raises sqlite3.Error."""
        found: dict[int, list[int]] = {}
        numbers = self._plans[number][0]
        for position, (function, _) in enumerate(self._bodies.get(number)):
            found.setdefault(numbers[function], []).append(position)
        return found

    def options(self, number: int) -> Options:
        """How the tasks of an open batch are to be run."""
        return self._options[number]

    def with_blobs(self, number: int) -> bool:
        """Whether arguments of a batch may lie in files."""
        return number in self._with_blobs

    def finish(self, batch: OpenBatch) -> None:
        """Every outcome of a batch is stored."""
        self._dispatch.forget(batch)
        self._bodies.drop(batch.number)
        del self._plans[batch.number], self._options[batch.number]
        self._with_blobs.discard(batch.number)
        self._groups.finished(batch.group)

    # -- giving out ---------------------------------------------------------------------------------------

    def take(self, pool: bytes, limit: int) -> list[Assignment]:
        """Up to ``limit`` tasks of a pool for its engine. If arguments cannot be read, the rest waits."""
        assignments: list[Assignment] = []
        leases = self._dispatch.take(pool, limit)
        for index, lease in enumerate(leases):
            try:
                assignments += self._assignments(lease)
            except Exception:
                log.exception(
                    "arguments of batch %s cannot be read; its tasks wait", lease.batch.prefix.hex()
                )
                self._dispatch.returned([task for untaken in leases[index:] for task in _tasks(untaken)])
                self._wake_later(pool)
                break
        return assignments

    def _assignments(self, lease: Lease) -> list[Assignment]:
        batch, start, stop, attempt = lease
        number = batch.number
        numbers, walltime = self._plans[number]
        calls = self._bodies.get(number)
        return [
            Assignment(number, position, attempt, numbers[function], body, walltime)
            for position, (function, body) in enumerate(calls[start:stop], start)
        ]


def check_same_content(batch: Submit, stored: BatchContent) -> None:
    """Raise InvalidRequest if what is stored under the prefix of a batch is another one."""
    if not is_same(stored, (batch.group, batch.count, batch.options, bytes(batch.tasks))):
        raise other_content(batch.prefix)


def is_same(stored: BatchContent, sent: BatchContent) -> bool:
    """Whether two batches of one prefix are the same: group, count, options and, where both are known, the tasks
    (which are not kept after the end of a batch)."""
    tasks_differ = None not in {stored[3], sent[3]} and stored[3] != sent[3]
    return stored[:3] == sent[:3] and not tasks_differ


def other_content(prefix: bytes) -> InvalidRequest:
    """The answer to a batch whose prefix names another one of the same user."""
    return InvalidRequest(
        f"the prefix {prefix.hex()} names another batch of yours already, with other tasks, options or task group; "
        "nothing of this one is kept. Each batch has a prefix of its own"
    )


def taken(prefix: bytes) -> NotFound:
    """The answer to a batch whose prefix is somebody else's."""
    return absent(f"batch {prefix.hex()}", forbidden="use batch")


def _tasks(lease: Lease) -> list[tuple[int, int, int]]:
    return [(lease.batch.number, position, lease.attempt) for position in range(lease.start, lease.stop)]


class Bodies:
    """Decoded tasks by batch number, up to ``budget`` bytes; one batch at least."""

    def __init__(self, load: Callable[[int], bytes], budget: int) -> None:
        self._load = load
        self._budget = budget
        self._kept: OrderedDict[int, tuple[list[Call], int]] = OrderedDict()
        self._size = 0

    def offer(self, batch: int, calls: list[Call], size: int) -> None:
        """Just accepted: keep it if there is room. What is older will be needed earlier and stays."""
        size += OBJECT_BYTES * len(calls)
        if self._size + size <= self._budget:
            self._keep(batch, calls, size)

    def get(self, batch: int) -> list[Call]:
        """The tasks of an open batch. Raises sqlite3.Error if they cannot be read."""
        if batch in self._kept:
            self._kept.move_to_end(batch)
            return self._kept[batch][0]
        raw = self._load(batch)
        calls = decode_calls(raw)
        size = len(raw) + OBJECT_BYTES * len(calls)
        while self._kept and self._size + size > self._budget:
            self.drop(next(iter(self._kept)))
        self._keep(batch, calls, size)
        return calls

    def drop(self, batch: int) -> None:
        """The batch is finished, or others need the room."""
        _, size = self._kept.pop(batch, (None, 0))
        self._size -= size

    def _keep(self, batch: int, calls: list[Call], size: int) -> None:
        self._kept[batch] = (calls, size)
        self._size += size
