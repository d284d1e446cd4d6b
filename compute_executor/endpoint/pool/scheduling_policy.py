"""How many tasks to take, which worker gets which, when to steal and when to start another worker.

Pure decisions over plain values: no I/O, no clock (import rules check it). The rules:

* A worker is given tasks for AHEAD seconds, by what its functions lately took, so that it never waits for the
  engine; at least one beyond the running one, however long that takes; and not so many that they wait behind one
  another while another worker is free.
* Short tasks travel in chunks, which cost one system call; a function that is not known to be short travels alone.
* What a worker has not received yet can be taken back. So a wrong guess is repaired when somebody idles
  (:func:`worth_stealing`), and queues need not be right, only short.
* A task that takes more than one worker (cores), or memory, is alone with its worker, and others stay idle for it. It
  begins in its turn: while it waits for room nothing behind it is given out, so that small tasks never starve it.
* A worker that sits on a task longer than was expected is *occupied* until it reports again: it gets nothing more,
  and may be reason enough to start another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from typing import NamedTuple, TypeVar

from compute_executor.endpoint.worker.messages import Key
from compute_executor.protocol.frames import Body
from compute_executor.protocol.resources import ResourceOffer, Resources, WorkerShare, share_of

AHEAD = 0.002
"""Seconds of work below which a worker is given more: another chunk, so that chunks stay large."""

CHUNK = 0.001
"""Seconds that a chunk may take: half of what its last task may have to wait for its neighbours, on average."""

SHORT = 0.0001
"""Seconds up to which a task may share a chunk. Sending one alone costs about 20 us on both sides."""

UNKNOWN = 0.01
"""Seconds that a function which has never ended is taken for: long enough to travel alone."""

MAX_CHUNK = 128
MAX_CHUNK_BYTES = 96 * 1024
"""A datagram must fit into the socket buffer (208 KiB by default on Linux) with room for others."""

MAX_OUTSTANDING = 1024
"""Tasks that a worker holds at most: far below the capacity of its begun log."""

WORTH_STEALING = 0.0005
"""Seconds of work below which it is done sooner by its owner than by whoever takes it over."""

WORTH_STARTING = 0.005
"""Seconds of work below which a new worker (30-60 ms to start) would come too late to be of use."""

MAX_STARTING = 4
"""Workers of a pool that start at the same time: starting is CPU-bound, and the first ones may be enough."""


class Assignment(NamedTuple):
    """A task for the engine. ``function`` is a small number of the service's, the same for the whole process.
    ``walltime``: seconds after which it is stopped; ``needs``: what it takes, None: one worker."""

    batch: int
    position: int
    attempt: int
    function: int
    body: Body
    walltime: float | None = None
    needs: Resources | None = None


class DurationEstimates:
    """What a task of each function is expected to take, in seconds.

    One task that was interrupted (2 cores, 3 processes) must not make its function a slow one, so a sample counts
    as OUTLIER times the estimate at most; a real rise is followed within a few samples all the same.
    """

    LIMIT = 10_000
    """Functions remembered; the longest known goes first."""

    OUTLIER = 8

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self.mean: float = UNKNOWN
        """Of all functions, the recent tasks weighing most."""

    def expected(self, function: int) -> float:
        """Return the seconds that the next task of this function will take, or UNKNOWN."""
        return self._seconds.get(function, UNKNOWN)

    def learn(self, function: int, count: int, seconds: float) -> None:
        """``count`` tasks of this function took so long together."""
        seen = max(seconds / count, 1e-6)  # the wall clock may have been set back
        known = self._seconds.get(function)
        if known is None:
            self._forget_one()
            known = seen
        weight = min(0.5, 0.1 * count)
        self._seconds[function] = self._follow(known, seen, weight)
        self.mean = self._follow(self.mean, seen, weight)

    def _follow(self, known: float, seen: float, weight: float) -> float:
        return known + (min(seen, self.OUTLIER * known) - known) * weight

    def _forget_one(self) -> None:
        if len(self._seconds) >= self.LIMIT:
            del self._seconds[next(iter(self._seconds))]


class WorkerLoad:
    """What one worker has been given and has not reported on."""

    def __init__(self) -> None:
        self.tasks: dict[Key, tuple[Assignment, float]] = {}
        """Outstanding tasks in the order given, each with what it was expected to take."""
        self.ahead: float = 0.0
        """Seconds that all of them were expected to take."""
        self.occupied: bool = False
        """Nothing more is given until it reports. Never so without tasks: there would be nothing to report."""
        self.held: Resources | None = None
        """What its only task takes; None: it has any number of tasks, of one worker each."""

    def add(self, tasks: Iterable[Assignment], estimates: DurationEstimates) -> None:
        """Note that these were given to the worker."""
        mine, expected_of = self.tasks, estimates.expected
        for task in tasks:
            expected = expected_of(task.function)
            mine[task[:3]] = (task, expected)
            self.ahead += expected
            if task.needs is not None:
                self.held = task.needs

    def remove(self, key: Key) -> Assignment | None:
        """Note that this one has ended or come back; None if the worker does not have it."""
        entry = self.tasks.pop(key, None)
        if entry is None:
            return None
        self.ahead -= entry[1]
        if not self.tasks:
            self.ahead, self.occupied, self.held = 0.0, False, None
        return entry[0]

    def has_room(self) -> bool:
        """Return whether the worker should be given more."""
        count = len(self.tasks)
        if self.occupied or self.held is not None:
            return False
        return count < 2 or (self.ahead < AHEAD and count < MAX_OUTSTANDING)


ONE_WORKER = WorkerShare()
"""What a task takes that asks for nothing."""

SomeLoad = TypeVar("SomeLoad", bound=WorkerLoad)


def demand(loads: Iterable[WorkerLoad], waiting: int, estimates: DurationEstimates, coming: int) -> int:
    """Return how many tasks to ask the service for. ``coming``: how many more workers there are soon or could be;
    work for some of them is worth knowing about although nobody has room for it yet."""
    wanted = sum(_room(load, estimates.mean) for load in loads if load.has_room())
    return max(wanted, min(coming, MAX_STARTING)) - waiting


def _room(load: WorkerLoad, mean: float) -> int:
    by_time = int((AHEAD + CHUNK - load.ahead) / mean) + 1
    return max(2 - len(load.tasks), min(by_time, MAX_OUTSTANDING - len(load.tasks)))


def least_loaded(loads: Iterable[SomeLoad]) -> SomeLoad | None:
    """Return who gets the next chunk: the one with room that will be free first."""
    return min((load for load in loads if load.has_room()), key=lambda load: load.ahead, default=None)


def free_share(loads: Iterable[WorkerLoad], offer: ResourceOffer) -> WorkerShare:
    """Return what of a pool is not taken. ``loads``: all its workers."""
    workers, memory = offer.workers, offer.memory
    for load in loads:
        if load.tasks:
            share = ONE_WORKER if load.held is None else share_of(load.held, offer)
            workers -= share.workers
            memory -= share.memory
    return WorkerShare(workers, memory)


def fits(task: Assignment, free: WorkerShare, offer: ResourceOffer) -> bool:
    """Return whether a task can begin on a worker that has none, with so much free. What memory there is may not be
    known: then it counts as enough."""
    share = ONE_WORKER if task.needs is None else share_of(task.needs, offer)
    return share.workers <= free.workers and (not offer.memory or share.memory <= free.memory)


def who_may_take(
    task: Assignment, loads: Iterable[SomeLoad], free: WorkerShare, offer: ResourceOffer
) -> SomeLoad | None:
    """Return who gets this task, the next in turn; None: nobody now, and nothing behind it is given out either."""
    idle = fits(task, free, offer)
    if task.needs is None:
        return least_loaded(load for load in loads if idle or load.tasks)
    return next((load for load in loads if not load.tasks), None) if idle else None


def next_chunk(waiting: deque[Assignment], workers: int, estimates: DurationEstimates) -> list[Assignment]:
    """Take what travels together off the left of ``waiting``, which must not be empty: as many short tasks as fit
    into the time of a chunk and leave something for the other workers, or the first one alone."""
    budget = min(CHUNK, max(SHORT, len(waiting) * estimates.mean / workers))
    chunk: list[Assignment] = []
    size = 0
    while waiting and len(chunk) < MAX_CHUNK:
        task = waiting[0]
        expected = estimates.expected(task.function)
        if expected > SHORT or task.walltime is not None or task.needs is not None:
            return chunk or [waiting.popleft()]
        body = task.body
        size += len(body) if isinstance(body, bytes) else len(body.name)
        budget -= expected
        if chunk and (budget < 0 or size > MAX_CHUNK_BYTES):
            break
        chunk.append(waiting.popleft())
    return chunk


def worth_stealing(loads: Iterable[SomeLoad]) -> SomeLoad | None:
    """Return whose unreceived tasks an idle worker should take over: the one with most to do beyond a single task."""
    most = max(
        (load for load in loads if len(load.tasks) > 1),
        key=lambda load: (load.occupied, load.ahead),
        default=None,
    )
    return most if most is not None and (most.occupied or most.ahead > WORTH_STEALING) else None


def to_start(
    loads: Collection[WorkerLoad], starting: int, waiting: int, estimates: DurationEstimates, most: int
) -> int:
    """Return how many more workers to start. ``loads`` are the running workers, ``most`` all there may be."""
    queued = waiting + sum(max(0, len(load.tasks) - 1) for load in loads)
    room = min(most - len(loads) - starting, MAX_STARTING - starting, queued - starting)
    if room <= 0 or any(not load.tasks for load in loads):
        return 0
    seconds = sum(load.ahead for load in loads) + waiting * estimates.mean
    needed = not loads or seconds > WORTH_STARTING or any(load.occupied for load in loads)
    return room if needed else 0
