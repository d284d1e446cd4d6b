"""Which task goes where, and what a report about it changes. No I/O, no clock, no threads.

Open batches are kept with one byte a task (`lifecycle.State`) and, only for tasks that run again, their attempt
number. Each pool has one queue, first in, first out, of spans ``(batch, start, stop)``: a batch of a million tasks
is one entry. A span may hold tasks that were cancelled since; they are skipped when it is taken.

    add -> take -> began -> ended          the way of most tasks
               \\-> returned                 to the front of the queue, same attempt
               \\-> lost                     again as the next attempt, or done
    cancel, break_pool                        done without having run

Every report carries the attempt that it is about; one about another attempt than the current changes nothing.
A batch stays known, by number and prefix, until `forget`: its last outcomes may not be stored yet.

Owner: the loop thread of the service.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.service.scheduling.lifecycle import Event, State, after, sources

QUEUED, LEASED, BEGAN, DONE = (int(state) for state in State)
FIRST_ATTEMPT = 1

Task = tuple[int, int, int]  # batch number, position, attempt: how engines name a task


class PoolQueue:
    """One pool as dispatch sees it: its queue, and how many tasks of it are open."""

    __slots__ = ("counts", "open", "pool", "queue")

    def __init__(self, pool: bytes, counts: list[int]) -> None:
        self.pool = pool
        self.counts = counts  # tasks by state, of all pools together
        self.queue: deque[tuple[OpenBatch, int, int]] = deque()
        self.open = 0


class OpenBatch:
    """An open batch. ``states`` has one byte a task; ``attempts`` only those that are not at their first."""

    __slots__ = (
        "attempts",
        "count",
        "group",
        "lane",
        "number",
        "open",
        "owner",
        "prefix",
        "retries",
        "states",
        "tally",
        "unstored",
    )

    def __init__(
        self,
        *,
        number: int,
        prefix: bytes,
        owner: str,
        group: bytes,
        lane: PoolQueue,
        count: int,
        retries: int,
    ) -> None:
        self.number = number
        self.prefix = prefix
        self.owner = owner
        self.group = group
        self.lane = lane
        self.count = count
        self.retries = retries
        self.states = bytearray(count)
        self.open = count
        self.unstored = count  # tasks whose outcome is not stored, nor in the transaction under way
        self.attempts: dict[int, int] = {}
        self.tally: dict[int, int] | None = {}  # outcomes by status, without values; None after a restart

    def attempt(self, position: int) -> int:
        """The attempt that counts for this task."""
        return self.attempts.get(position, FIRST_ATTEMPT)

    def apply(self, position: int, event: Event) -> bool:
        """Let ``event`` happen to a task, as the table of `lifecycle` says. False, and nothing changes, if it means
        nothing in this state.

        The only writer of states, besides the two loops of the hot path: `Dispatch.take` and `Dispatch.ended`.
        """
        before = self.states[position]
        state = after(before, event)
        if state is None:
            return False
        self.states[position] = state
        self.lane.counts[before] -= 1
        self.lane.counts[state] += 1
        if state == DONE:
            self.open -= 1
            self.lane.open -= 1
        elif state == QUEUED:
            self.lane.queue.appendleft((self, position, position + 1))
        return True


class Lease(NamedTuple):
    """Tasks ``start`` to ``stop`` of a batch, given out together as this attempt."""

    batch: OpenBatch
    start: int
    stop: int
    attempt: int


class LostLease(NamedTuple):
    """What a lost worker means for a task: run again as ``attempt``, or ended after that many."""

    batch: OpenBatch
    again: bool
    attempt: int


class Dispatch:
    """All open tasks of a service."""

    def __init__(self) -> None:
        self._batches: dict[int, OpenBatch] = {}
        self._prefixes: dict[bytes, OpenBatch] = {}
        self._lanes: dict[bytes, PoolQueue] = {}
        self._counts = [0, 0, 0, 0]  # tasks by state, of the batches known

    # -- batches ------------------------------------------------------------------------------------------

    def add(
        self,
        *,
        number: int,
        prefix: bytes,
        owner: str,
        group: bytes,
        pool: bytes,
        count: int,
        retries: int = 0,
        done: Iterable[int] = (),
        attempts: dict[int, int] | None = None,
    ) -> OpenBatch:
        """Queue a stored batch. At a restart: ``done`` have their outcome already, ``attempts`` are due."""
        lane = self._lanes.setdefault(pool, PoolQueue(pool, self._counts))
        batch = OpenBatch(
            number=number, prefix=prefix, owner=owner, group=group, lane=lane, count=count, retries=retries
        )
        batch.attempts.update(attempts or {})
        for position in done:
            batch.states[position] = DONE
            batch.open -= 1
        batch.unstored = batch.open
        if batch.open < count:
            batch.tally = None  # what is done ended before the restart
        self._batches[number] = self._prefixes[prefix] = batch
        lane.open += batch.open
        lane.queue.append((batch, 0, count))
        self._counts[QUEUED] += batch.open
        self._counts[DONE] += count - batch.open
        return batch

    def forget(self, batch: OpenBatch) -> None:
        """A batch of which every outcome is stored is nobody's business here any more."""
        del self._batches[batch.number], self._prefixes[batch.prefix]
        self._counts[DONE] -= batch.count

    def batches(self) -> list[OpenBatch]:
        """All that are known, in the order in which they came."""
        return list(self._batches.values())

    def by_number(self, number: int) -> OpenBatch | None:
        """The batch that engines call ``number``."""
        return self._batches.get(number)

    def by_prefix(self, prefix: bytes) -> OpenBatch | None:
        """The batch that clients call ``prefix``."""
        return self._prefixes.get(prefix)

    # -- the way of most tasks ----------------------------------------------------------------------------

    def take(self, pool: bytes, limit: int) -> list[Lease]:
        """Lease up to ``limit`` tasks of a pool, oldest first."""
        leases: list[Lease] = []
        lane = self._lanes.get(pool)
        if lane is None:
            return leases
        queue = lane.queue
        left = limit
        while left > 0 and queue:
            batch, start, stop = queue.popleft()
            lease = _next_run(batch, start, stop, left)
            if lease is None:
                continue
            if lease.stop < stop:
                queue.appendleft((batch, lease.stop, stop))
            size = lease.stop - lease.start
            batch.states[lease.start : lease.stop] = _LEASED_BYTE * size
            left -= size
            leases.append(lease)
        taken = limit - left
        self._counts[QUEUED] -= taken
        self._counts[LEASED] += taken
        return leases

    def lease_again(self, number: int, position: int, attempt: int) -> bool:
        """At a restart: this attempt is out already, with an engine that outlives us. Whether it still counts."""
        batch = self._current((number, position, attempt))
        return batch is not None and batch.apply(position, Event.TAKE)

    def began(self, tasks: Iterable[tuple[int, int, int, float]]) -> list[tuple[OpenBatch, int, float]]:
        """Workers have begun these; those for which that is news."""
        news = []
        for number, position, attempt, when in tasks:
            batch = self._current((number, position, attempt))
            if batch is not None and batch.apply(position, Event.BEGIN):
                news.append((batch, position, when))
        return news

    def ended(self, outcomes: Iterable[TaskEnded]) -> list[tuple[OpenBatch, TaskEnded]]:
        """Those of the outcomes that count, each with its batch: the first of the current attempt."""
        counting = []
        batches, counts = self._batches, self._counts
        for outcome in outcomes:
            batch = batches.get(outcome[0])
            if batch is None or not 0 <= outcome[1] < batch.count:
                continue
            state = batch.states[outcome[1]]
            if state not in _MAY_END or outcome[2] != batch.attempts.get(outcome[1], FIRST_ATTEMPT):
                continue
            batch.states[outcome[1]] = DONE
            batch.open -= 1
            batch.lane.open -= 1
            counts[state] -= 1
            counts[DONE] += 1
            counting.append((batch, outcome))
        return counting

    # -- trouble ------------------------------------------------------------------------------------------

    def returned(self, tasks: list[Task]) -> None:
        """Tasks that surely have not begun come back, to the front of their queues."""
        for task in reversed(tasks):
            batch = self._current(task)
            if batch is not None:
                batch.apply(task[1], Event.RETURN)

    def lost(self, number: int, position: int, attempt: int, *, final: bool = False) -> LostLease | None:
        """The worker died under this task; ``final``: it is not to run again. None: that is old news."""
        batch = self._current((number, position, attempt))
        again = batch is not None and not final and attempt <= batch.retries
        if batch is None or not batch.apply(position, Event.RETRY if again else Event.LOSE):
            return None
        if not again:
            return LostLease(batch, False, attempt)
        batch.attempts[position] = attempt + 1
        return LostLease(batch, True, attempt + 1)

    def cancel(self, batch: OpenBatch, positions: Iterable[int]) -> tuple[list[int], list[int]]:
        """Cancel what is queued. Gives those now done, and those leased: whether they can be withdrawn, the
        engine must say."""
        cancelled, leased = [], []
        for position in positions:
            state = batch.states[position] if 0 <= position < batch.count else DONE
            if state == LEASED:
                leased.append(position)
            elif state == QUEUED and batch.apply(position, Event.CANCEL):
                cancelled.append(position)
        return cancelled, leased

    def withdrawn(self, batch: OpenBatch, positions: Iterable[int]) -> list[int]:
        """The engine has taken these back for good; those that thereby are done."""
        return [
            position
            for position in positions
            if batch.states[position] == LEASED and batch.apply(position, Event.CANCEL)
        ]

    def break_pool(self, pool: bytes) -> list[tuple[OpenBatch, int]]:
        """End every queued task of a pool; which those were. What is with its workers goes on."""
        ended = []
        for batch in self._batches.values():
            if batch.lane.pool != pool:
                continue
            position = batch.states.find(QUEUED)
            while position >= 0:
                batch.apply(position, Event.BREAK)
                ended.append((batch, position))
                position = batch.states.find(QUEUED, position)
        return ended

    def drop_pool(self, pool: bytes) -> None:
        """Forget a pool that has no open task."""
        if self.open_in(pool) == 0:
            self._lanes.pop(pool, None)

    # -- figures ------------------------------------------------------------------------------------------

    def open_in(self, pool: bytes) -> int:
        """How many tasks of a pool are not done."""
        lane = self._lanes.get(pool)
        return lane.open if lane else 0

    @property
    def open(self) -> int:
        """How many tasks are not done."""
        return self._counts[QUEUED] + self._counts[LEASED] + self._counts[BEGAN]

    def by_state(self) -> dict[str, int]:
        """How many tasks of open batches are in each state."""
        return {state.name.lower(): self._counts[state] for state in State}

    def pools(self) -> list[bytes]:
        """The pools that have had tasks and are not dropped."""
        return list(self._lanes)

    def _current(self, task: Task) -> OpenBatch | None:
        """The batch of a task, if this is the attempt of it that counts."""
        number, position, attempt = task
        batch = self._batches.get(number)
        if batch is None or not 0 <= position < batch.count or attempt != batch.attempt(position):
            return None
        return batch


_MAY_END = sources(Event.END)
_LEASED_BYTE = bytes([LEASED])


def _next_run(batch: OpenBatch, start: int, stop: int, limit: int) -> Lease | None:
    """The first tasks of a span that are queued and at the same attempt, up to ``limit``; None if none is queued."""
    states = batch.states
    first = states.find(QUEUED, start, stop)
    if first < 0:
        return None
    stop = min(stop, first + limit)
    if not batch.attempts and states.count(QUEUED, first, stop) == stop - first:
        return Lease(batch, first, stop, FIRST_ATTEMPT)
    attempt, last = batch.attempt(first), first + 1
    while last < stop and states[last] == QUEUED and batch.attempt(last) == attempt:
        last += 1
    return Lease(batch, first, last, attempt)
