"""Which task goes where, and what a report about it changes. No I/O, no clock, no threads.

Open batches are kept with one byte a task (`lifecycle.State`) and, only for tasks that run again, their attempt
number. Each pool has a queue for each of its users (`queues`).

    add -> take -> began -> ended          the way of most tasks
               \\-> returned                 to the front of the queue, same attempt
               \\-> lost                     again as the next attempt, or done
    cancel, break_pool                        done without having run

Every report carries the attempt that it is about; one about another attempt than the current changes nothing.
A batch stays known, by number and prefix, until `forget`: its last outcomes may not be stored yet.

*A share for each user*: the users of a pool are served in turn. *Work that nobody waits for* is deferred while the
same user has queued tasks on the same endpoint that a client waits for: see `abandon`.

Owner: the loop thread of the service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.service.scheduling.lifecycle import Event, State, sources
from compute_executor.service.scheduling.queues import (
    BEGAN,
    DONE,
    FIRST_ATTEMPT,
    LEASED,
    QUEUED,
    Lease,
    OpenBatch,
    PoolQueue,
    UserQueue,
)

Task = tuple[int, int, int]  # batch number, position, attempt: how engines name a task

_MAY_END = sources(Event.END)


class LostLease(NamedTuple):
    """What a lost worker means for a task: run again as ``attempt``, or ended after that many."""

    batch: OpenBatch
    again: bool
    attempt: int


class EndedBatch(NamedTuple):
    """What is still known of a batch whose outcomes are all stored."""

    group: bytes
    prefix: bytes


MOST_FINISHED = 1_000
"""Batches of which that is known: threads that their tasks have left running may still print."""


class Dispatch:
    """All open batches of a service, and the queues of their tasks."""

    def __init__(self) -> None:
        self._batches: dict[int, OpenBatch] = {}
        self._prefixes: dict[bytes, OpenBatch] = {}
        self._finished: dict[int, EndedBatch] = {}
        self._pools: dict[bytes, PoolQueue] = {}
        self._users: dict[str, dict[bytes, UserQueue]] = {}  # by pool
        self._abandoned: set[bytes] = set()  # task groups
        self._deferred: dict[UserQueue, None] = {}
        self._counts = [0, 0, 0, 0]  # tasks by state, of the batches known

    # -- batches ------------------------------------------------------------------------------------------

    def add(self, batch: OpenBatch) -> None:
        """Queue a stored batch."""
        pool = self._pools.get(batch.pool)
        if pool is None:
            pool = self._pools[batch.pool] = PoolQueue(batch.pool, batch.endpoint)
        queue = pool.users.get(batch.owner)
        if queue is None:
            queue = pool.users[batch.owner] = UserQueue(batch.owner, pool, self._counts)
            self._users.setdefault(batch.owner, {})[batch.pool] = queue
        queue.push(batch)
        self._batches[batch.number] = self._prefixes[batch.prefix] = batch

    def forget(self, batch: OpenBatch) -> None:
        """Note that every outcome of a batch is stored. A queue without open tasks goes with it."""
        del self._batches[batch.number], self._prefixes[batch.prefix]
        self._finished[batch.number] = EndedBatch(batch.group, batch.prefix)
        if len(self._finished) > MOST_FINISHED:
            del self._finished[next(iter(self._finished))]
        queue = batch.queue
        queue.forget(batch)
        if not queue.open and queue.pool.users.get(queue.owner) is queue:
            self._drop(queue)

    def _drop(self, queue: UserQueue) -> None:
        pool, of_user = queue.pool, self._users[queue.owner]
        pool.drop(queue)
        self._deferred.pop(queue, None)
        del of_user[pool.name]
        if not of_user:
            del self._users[queue.owner]
        if not pool.users:
            del self._pools[pool.name]

    def batches(self) -> list[OpenBatch]:
        """Return all that are known, in the order in which they came."""
        return list(self._batches.values())

    def by_number(self, number: int) -> OpenBatch | None:
        """Return the batch that engines call ``number``."""
        return self._batches.get(number)

    def finished(self, number: int) -> EndedBatch | None:
        """Return what is still known of one that was forgotten not long ago."""
        return self._finished.get(number)

    def by_prefix(self, prefix: bytes) -> OpenBatch | None:
        """Return the batch that clients call ``prefix``."""
        return self._prefixes.get(prefix)

    # -- the way of most tasks ----------------------------------------------------------------------------

    def take(self, pool: bytes, limit: int) -> list[Lease]:
        """Lease up to ``limit`` tasks of a pool: of its users in turn, of each the oldest first."""
        queue = self._pools.get(pool)
        if queue is None:
            return []
        if self._abandoned:
            self._defer(queue)
        return queue.take(limit)

    def lease_again(self, number: int, position: int, attempt: int) -> bool:
        """At a restart: this attempt is out already, with an engine that outlives us. Whether it still counts."""
        batch = self._current((number, position, attempt))
        return batch is not None and batch.apply(position, Event.TAKE)

    def began(self, tasks: Iterable[tuple[int, int, int, float]]) -> list[tuple[OpenBatch, int, float]]:
        """Note that workers have begun these; return those of which that was not known."""
        news = []
        for number, position, attempt, when in tasks:
            batch = self._current((number, position, attempt))
            if batch is not None and batch.begin(position, when):
                news.append((batch, position, when))
        return news

    def ended(self, outcomes: Iterable[TaskEnded]) -> list[tuple[OpenBatch, TaskEnded]]:
        """Return those of the outcomes that count, each with its batch: the first of the current attempt."""
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
            batch.queue.open -= 1
            counts[state] -= 1
            counts[DONE] += 1
            counting.append((batch, outcome))
        return counting

    # -- failures -----------------------------------------------------------------------------------------

    def returned(self, tasks: list[Task]) -> None:
        """Note that tasks that surely have not begun come back, to the front of their queues."""
        for task in reversed(tasks):
            batch = self._current(task)
            if batch is not None:
                batch.apply(task[1], Event.RETURN)

    def lost(self, number: int, position: int, attempt: int, *, final: bool = False) -> LostLease | None:
        """Note that the worker died under this task; ``final``: it is not to run again. None: that was known
        already."""
        batch = self._current((number, position, attempt))
        again = batch is not None and not final and attempt <= batch.options.retries
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
        """Note that the engine has taken these back for good; return those that thereby are done."""
        return [
            position
            for position in positions
            if batch.states[position] == LEASED and batch.apply(position, Event.CANCEL)
        ]

    def break_pool(self, pool: bytes) -> list[tuple[OpenBatch, int]]:
        """End every queued task of a pool; which those were. Tasks that its workers have go on."""
        ended = []
        for batch in self._batches.values():
            if batch.pool != pool:
                continue
            position = batch.states.find(QUEUED)
            while position >= 0:
                batch.apply(position, Event.BREAK)
                ended.append((batch, position))
                position = batch.states.find(QUEUED, position)
        return ended

    # -- work that nobody waits for -----------------------------------------------------------------------

    def abandon(self, group: bytes) -> None:
        """Note that the last client that waited for the tasks of a group has gone. They are deferred while others of
        the same user on the same endpoint are queued."""
        self._abandoned.add(group)

    def resume_waiting(self, group: bytes) -> None:
        """Note that a client waits for the tasks of a group (again), or it has none any more."""
        self._abandoned.discard(group)

    def is_abandoned(self, group: bytes) -> bool:
        """Return whether a client has waited for the tasks of a group, and none does now."""
        return group in self._abandoned

    @property
    def deferring(self) -> bool:
        """Whether tasks of any pool are deferred."""
        return bool(self._deferred)

    def released(self) -> list[bytes]:
        """Return the pools from which tasks can be taken that were deferred when they were to be taken."""
        if not self._deferred:
            return []
        released = [queue for queue in self._deferred if not self._is_deferred(queue)]
        for queue in released:
            del self._deferred[queue]
            queue.pool.join_rotation(queue)
        return [queue.pool.name for queue in released]

    def _defer(self, pool: PoolQueue) -> None:
        for queue in [queue for queue in pool.rotation if self._is_deferred(queue)]:
            pool.leave_rotation(queue)
            self._deferred[queue] = None

    def _is_deferred(self, queue: UserQueue) -> bool:
        return self._is_abandoned(queue) and any(
            not self._is_abandoned(other) and other.has_queued() for other in self._rivals(queue)
        )

    def _is_abandoned(self, queue: UserQueue) -> bool:
        return self._abandoned.issuperset(queue.groups)

    def _rivals(self, queue: UserQueue) -> Iterator[UserQueue]:
        """Yield the other queues of the same user on the same endpoint."""
        for other in self._users.get(queue.owner, {}).values():
            if other is not queue and other.pool.endpoint == queue.pool.endpoint:
                yield other

    # -- counts ------------------------------------------------------------------------------------------

    def open_in(self, pool: bytes) -> int:
        """Return how many tasks of a pool are not done."""
        queue = self._pools.get(pool)
        return queue.open if queue else 0

    def open_of(self, owner: str) -> int:
        """Return how many tasks of a user are not done."""
        return sum(queue.open for queue in self._users.get(owner, {}).values())

    @property
    def open(self) -> int:
        """How many tasks are not done."""
        return self._counts[QUEUED] + self._counts[LEASED] + self._counts[BEGAN]

    def by_state(self) -> dict[str, int]:
        """Return how many tasks of open batches are in each state."""
        return {state.name.lower(): self._counts[state] for state in State}

    def pools(self) -> list[bytes]:
        """Return the pools that have open batches."""
        return list(self._pools)

    def _current(self, task: Task) -> OpenBatch | None:
        """Return the batch of a task, if this is the attempt of it that counts."""
        number, position, attempt = task
        batch = self._batches.get(number)
        if batch is None or not 0 <= position < batch.count or attempt != batch.attempt(position):
            return None
        return batch
