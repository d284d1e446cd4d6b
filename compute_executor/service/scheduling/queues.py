"""Open batches, and the queues that they are in: for each pool one for each user. No I/O, no clock, no threads.

A queue holds spans ``(batch, start, stop)``, first in, first out: a batch of a million tasks is one entry. A span may
hold tasks that were cancelled since; they are skipped when it is taken. Owner: the loop thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import NamedTuple

from compute_executor.protocol.frames import Body, Options
from compute_executor.service.scheduling.lifecycle import Event, State, after

QUEUED, LEASED, BEGAN, DONE = (int(state) for state in State)
FIRST_ATTEMPT = 1
_LEASED_BYTE = bytes([LEASED])

Call = tuple[int, Body]
"""Index into the functions of a batch, and the arguments."""


class OpenBatch:
    """An open batch. ``states`` has one byte a task (`lifecycle.State`); ``attempts`` only those tasks that are not
    at their first. ``functions``: the small numbers by which engines name functions."""

    __slots__ = (
        "attempts",
        "began",
        "calls",
        "count",
        "denied",
        "endpoint",
        "functions",
        "group",
        "number",
        "open",
        "options",
        "owner",
        "pool",
        "prefix",
        "queue",
        "states",
        "tally",
        "unstored",
        "with_blobs",
    )

    queue: UserQueue
    """The queue that it is in: see `UserQueue.push`."""

    def __init__(
        self,
        *,
        number: int,
        prefix: bytes,
        owner: str,
        group: bytes,
        endpoint: bytes,
        pool: bytes,
        count: int,
        options: Options,
        functions: Sequence[int],
        with_blobs: bool,
    ) -> None:
        self.number: int = number
        self.prefix: bytes = prefix
        self.owner: str = owner
        self.group: bytes = group
        self.endpoint: bytes = endpoint
        self.pool: bytes = pool
        self.count: int = count
        self.options: Options = options
        self.functions: Sequence[int] = functions
        self.with_blobs: bool = with_blobs  # whether arguments may lie in files
        self.calls: list[Call] | None = None  # decoded, as long as there is room in memory: see `arguments`
        self.denied: dict[int, str] = {}  # functions that may not run any more, and why: see `recheck`
        self.states: bytearray = bytearray(count)
        self.attempts: dict[int, int] = {}
        self.began: dict[int, float] | None = None  # since when tasks run, of those that last and were told
        self.open: int = count  # tasks that are not done
        self.unstored: int = count  # tasks whose outcome is not stored, nor in the transaction under way
        self.tally: dict[int, int] | None = {}  # outcomes by status, without values; None after a restart

    def recover(self, done: Collection[int], attempts: dict[int, int]) -> None:
        """Before it is queued again after a restart: ``done`` have their outcome already, ``attempts`` are due."""
        self.attempts.update(attempts)
        for position in done:
            self.states[position] = DONE
        self.open = self.unstored = self.count - len(done)
        if done:
            self.tally = None  # what is done ended before the restart

    def attempt(self, position: int) -> int:
        """Return the attempt that counts for a task."""
        return self.attempts.get(position, FIRST_ATTEMPT)

    def begin(self, position: int, when: float) -> bool:
        """Let a worker begin a task at this Unix time. False, and nothing changes, if its state has no beginning."""
        if not self.apply(position, Event.BEGIN):
            return False
        if self.began is None:
            self.began = {}
        self.began[position] = when
        return True

    def running_since(self, position: int) -> float | None:
        """Return the Unix time at which a task began that runs."""
        if self.began is None or self.states[position] != BEGAN:
            return None
        return self.began.get(position)

    def apply(self, position: int, event: Event) -> bool:
        """Let ``event`` happen to a task, as the table of `lifecycle` says. False, and nothing changes, if it means
        nothing in this state.

        The only writer of states, besides the two loops of the hot path: `UserQueue.take` and `Dispatch.ended`.
        """
        before = self.states[position]
        state = after(before, event)
        if state is None:
            return False
        self.states[position] = state
        self.queue.moved(before, state)
        if state == DONE:
            self.open -= 1
        elif state == QUEUED:
            self.queue.push_front(self, position)
        return True


class Lease(NamedTuple):
    """Tasks ``start`` to ``stop`` of a batch, given out together as this attempt."""

    batch: OpenBatch
    start: int
    stop: int
    attempt: int


class UserQueue:
    """The tasks of one user in one pool. ``groups``: how many open batches of each task group; ``counts``: tasks by
    state, of all queues together."""

    __slots__ = ("counts", "groups", "in_rotation", "open", "owner", "pool", "spans")

    def __init__(self, owner: str, pool: PoolQueue, counts: list[int]) -> None:
        self.owner: str = owner
        self.pool: PoolQueue = pool
        self.counts: list[int] = counts
        self.spans: deque[tuple[OpenBatch, int, int]] = deque()
        self.groups: dict[bytes, int] = {}
        self.open: int = 0
        self.in_rotation: bool = False  # whether it is among `PoolQueue.rotation`

    def push(self, batch: OpenBatch) -> None:
        """Queue a batch behind what there is."""
        batch.queue = self
        self.groups[batch.group] = self.groups.get(batch.group, 0) + 1
        self.open += batch.open
        self.counts[QUEUED] += batch.open
        self.counts[DONE] += batch.count - batch.open
        self.spans.append((batch, 0, batch.count))
        self.pool.join_rotation(self)

    def push_front(self, batch: OpenBatch, position: int) -> None:
        """Queue a task that has come back, before all others of its user."""
        self.spans.appendleft((batch, position, position + 1))
        self.pool.join_rotation(self)

    def moved(self, before: int, state: int) -> None:
        """Count a task that has changed its state."""
        self.counts[before] -= 1
        self.counts[state] += 1
        if state == DONE:
            self.open -= 1

    def forget(self, batch: OpenBatch) -> None:
        """Note that every outcome of a batch is stored."""
        self.counts[DONE] -= batch.count
        self.groups[batch.group] -= 1
        if not self.groups[batch.group]:
            del self.groups[batch.group]

    def has_queued(self) -> bool:
        """Return whether there is a task to take. Spans of which none is queued any more are dropped."""
        while self.spans:
            batch, start, stop = self.spans[0]
            if batch.states.find(QUEUED, start, stop) >= 0:
                return True
            self.spans.popleft()
        return False

    def take(self, limit: int, leases: list[Lease]) -> int:
        """Lease up to ``limit`` tasks, oldest first, and append them to ``leases``; how many these are."""
        spans, left = self.spans, limit
        while left > 0 and spans:
            batch, start, stop = spans.popleft()
            lease = _next_run(batch, start, stop, left)
            if lease is None:
                continue
            if lease.stop < stop:
                spans.appendleft((batch, lease.stop, stop))
            size = lease.stop - lease.start
            batch.states[lease.start : lease.stop] = _LEASED_BYTE * size
            left -= size
            leases.append(lease)
        taken = limit - left
        self.counts[QUEUED] -= taken
        self.counts[LEASED] += taken
        return taken


class PoolQueue:
    """The queues of one pool. ``rotation``: those that may have a task to take, the next one first."""

    __slots__ = ("endpoint", "name", "rotation", "users")

    def __init__(self, name: bytes, endpoint: bytes) -> None:
        self.name: bytes = name
        self.endpoint: bytes = endpoint
        self.users: dict[str, UserQueue] = {}
        self.rotation: deque[UserQueue] = deque()

    @property
    def open(self) -> int:
        """How many of its tasks are not done."""
        return sum(queue.open for queue in self.users.values())

    def leave_rotation(self, queue: UserQueue) -> None:
        """Leave a queue out of the rotation until it joins again."""
        queue.in_rotation = False
        self.rotation.remove(queue)

    def drop(self, queue: UserQueue) -> None:
        """Forget a queue that has no open task."""
        del self.users[queue.owner]
        if queue.in_rotation:
            self.leave_rotation(queue)

    def join_rotation(self, queue: UserQueue) -> None:
        """Give a queue that has tasks its place in the rotation."""
        if not queue.in_rotation:
            queue.in_rotation = True
            self.rotation.append(queue)

    def take(self, limit: int) -> list[Lease]:
        """Lease up to ``limit`` tasks. Of several users each gets an equal part, as far as it has so many tasks; what
        cannot be divided goes to those whose turn is next, who then come last."""
        leases: list[Lease] = []
        left = limit
        while left > 0 and self.rotation:
            part = max(1, left // len(self.rotation))
            for _ in range(min(left, len(self.rotation))):
                left -= self._take_turn(part, leases)
        return leases

    def _take_turn(self, limit: int, leases: list[Lease]) -> int:
        queue = self.rotation.popleft()
        taken = queue.take(limit, leases)
        if queue.spans:
            self.rotation.append(queue)
        else:
            queue.in_rotation = False
        return taken


def _next_run(batch: OpenBatch, start: int, stop: int, limit: int) -> Lease | None:
    """Return the first tasks of a span that are queued and at the same attempt, up to ``limit``; None if none is
    queued."""
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
