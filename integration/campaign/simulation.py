"""Client and service in one thread, in whatever order chance chooses.

The client's half is the real one: `StreamProtocol` with all below it. Of the service it is what decides: `Dispatch`,
the table of states, and the rules by which a start judges what it finds. Around them is a model of the rest, small
enough to be seen to be right: a wire with two queues of encoded frames, a store with commits that may fail, workers
whose begun logs and result rings outlive everything. A seed chooses each next event and fault; then all is mended and
the end must come, for every task, once.
"""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import msgspec

from compute_executor.batch import Call, CallBatch, Function, Target, with_ids
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.errors import StorageFull, TaskCancelled, WorkerLost
from compute_executor.future import ComputeFuture
from compute_executor.protocol import frames
from compute_executor.serialization import native
from compute_executor.service.scheduling.dispatch import Dispatch, Task
from compute_executor.service.scheduling.lifecycle import Event
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.store.rows import BatchRow
from compute_executor.service.tasks import recovery
from compute_executor.session.stream.protocol import StreamProtocol
from compute_executor.session.withdrawal import Withdrawal

GROUP, POOL, OWNER = b"g" * 16, b"\0" * 16, "somebody"
WELCOME = frames.Welcome(frames.PROTOCOL, "simulated", "", None, {})
FUNCTION = Function(b"d" * 32, "f", b"code")
EVENTS = 150
MOST_STEPS = 5000
"""Steps in which everything must come to its end, once all is mended."""
SKIPPED = 10_000
"""Numbers of outcomes that a start leaves out: those that were told and not stored."""

_encode = msgspec.msgpack.Encoder().encode
_to_service = msgspec.msgpack.Decoder(frames.ToService).decode
_tasks = msgspec.msgpack.Decoder(list[tuple[int, bytes]]).decode


class Violation(AssertionError):
    """What must never be."""


class StubFutureOwner:
    """Implements `future.FutureOwner`."""

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> set[int]:
        """Nobody asks it: cancelling is an event of its own here."""
        return set()

    def assign_ids(self) -> None:
        """They have theirs."""

    def run_callbacks(self, future: ComputeFuture[Any]) -> None:
        """At once."""
        future.run_callbacks()


class StoredBatch(NamedTuple):
    """A batch in the store."""

    number: int
    prefix: bytes
    bodies: list[bytes]
    options: frames.Options


class Store:
    """What survives the service."""

    def __init__(self) -> None:
        self.batches: dict[bytes, StoredBatch] = {}
        self.outcomes: dict[tuple[int, int], tuple[int, int, bytes]] = {}  # seq, status, body
        self.attempts: dict[tuple[int, int], int] = {}
        self.last_number = 0
        self.last_seq = 0
        self.acked = 0

    def finished(self, batch: StoredBatch) -> bool:
        """Whether each task has an outcome."""
        return all((batch.number, position) in self.outcomes for position in range(len(batch.bodies)))

    def drop(self, batch: StoredBatch) -> None:
        """Forget it."""
        del self.batches[batch.prefix]
        for position in range(len(batch.bodies)):
            self.outcomes.pop((batch.number, position), None)


class Worker:
    """A process. ``begun`` and ``ring`` are files."""

    def __init__(self) -> None:
        self.given: deque[tuple[Task, bytes]] = deque()
        self.running: tuple[Task, bytes] | None = None
        self.begun: set[Task] = set()
        self.ring: list[TaskEnded] = []
        self.reported = 0


class Simulation:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.log: list[str] = []
        self.runs: Counter[int] = Counter()
        self.ends: Counter[int] = Counter()
        self.futures: dict[int, ComputeFuture[Any]] = {}
        self.retries: dict[int, int] = {}
        self.cancelled: set[int] = set()
        self.protocol = StreamProtocol(GROUP, None, None, lambda _error: None)
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.connected = False
        self.waiting: list[CallBatch] = []
        self.store = Store()
        self._start()

    # -- the service --------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Recover, as `tasks.recovery` does, from store, begun logs and rings."""
        self.dispatch = Dispatch()
        self.pending: list[tuple[Callable[[], None], Callable[[bool], None]]] = []
        self.arriving: dict[bytes, list[bytes]] = {}  # prefixes whose commit is on its way, and who waits
        self.subscribed = False
        self.ending: set[tuple[int, int]] = set()
        self.store.last_seq += SKIPPED
        old = getattr(self, "workers", [])
        self.workers = [Worker(), Worker()]
        for batch in list(self.store.batches.values()):
            if not self.store.finished(batch):
                self._recover(batch, old)

    def _recover(self, batch: StoredBatch, old: list[Worker]) -> None:
        row = BatchRow(
            batch.number, batch.prefix, OWNER, GROUP, b"", POOL, [], len(batch.bodies), batch.options
        )
        begun: dict[int, int] = {}
        finished: dict[int, TaskEnded] = {}
        for worker in old:
            for number, position, attempt in worker.begun:
                if number == batch.number:
                    begun[position] = max(attempt, begun.get(position, 0))
            for one in worker.ring:
                if one.batch == batch.number and one.attempt >= getattr(
                    finished.get(one.position), "attempt", 0
                ):
                    finished[one.position] = one
        done = {position for number, position in self.store.outcomes if number == batch.number}
        due = self.store.attempts.items()
        attempts = {position: attempt for (number, position), attempt in due if number == batch.number}
        counting = recovery._counting(row, finished, done, attempts)
        lost = recovery._judge(row, begun, done.union(counting), attempts)
        self.store.attempts.update(
            {(batch.number, position): attempt for position, attempt in attempts.items()}
        )
        opened = self._open(batch)
        opened.recover(done, attempts)
        self.dispatch.add(opened)
        for position, one in counting.items():
            opened.apply(position, Event.RECOVER)
            self._put(batch.number, position, one.status, cast(bytes, one.body))
        for position, attempt in lost.items():
            opened.apply(position, Event.RECOVER)
            self._put(batch.number, position, frames.LOST, _reason(attempt))

    def _open(self, batch: StoredBatch) -> OpenBatch:
        return OpenBatch(
            number=batch.number,
            prefix=batch.prefix,
            owner=OWNER,
            group=GROUP,
            endpoint=b"",
            pool=POOL,
            count=len(batch.bodies),
            options=batch.options,
            functions=[0],
            with_blobs=False,
        )

    def _put(self, number: int, position: int, status: int, body: bytes) -> None:
        """Store an outcome at once."""
        if (number, position) not in self.store.outcomes:
            self.store.last_seq += 1
            self.store.outcomes[number, position] = (self.store.last_seq, status, body)

    def _answer(self, frame: Any) -> None:
        if self.connected:
            self.down.append(_encode(frame))

    def _receive(self, data: bytes) -> None:
        frame = _to_service(data)
        handler = getattr(self, f"_on_{type(frame).__name__.lower()}")
        handler(frame)

    def _on_register(self, frame: frames.Register) -> None:
        self._answer(frames.Registered(frame.digest, b"f" * 16))

    def _on_subscribe(self, frame: frames.Subscribe) -> None:
        self.subscribed = True
        stored = sorted((seq, key) for key, (seq, _, _) in self.store.outcomes.items() if seq > frame.after)
        for seq, key in stored:
            self._tell(seq, key)

    def _on_ack(self, frame: frames.Ack) -> None:
        self.store.acked = max(self.store.acked, frame.seq)

    def _on_submit(self, frame: frames.Submit) -> None:
        """As `tasks.submissions`: a prefix that is known is accepted again and runs nothing."""
        if frame.prefix in self.store.batches:
            self._answer(frames.Accepted(frame.prefix))
            return
        if frame.prefix in self.arriving:
            self.arriving[frame.prefix].append(frame.prefix)
            return
        self.arriving[frame.prefix] = [frame.prefix]
        bodies = [body for _, body in _tasks(frame.tasks)]

        def store() -> None:
            self.store.last_number += 1
            self.store.batches[frame.prefix] = StoredBatch(
                self.store.last_number, frame.prefix, bodies, frame.options
            )

        def done(well: bool) -> None:
            for prefix in self.arriving.pop(frame.prefix):
                refusal = frames.Refused(prefix, StorageFull("the disk is full").document())
                self._answer(frames.Accepted(prefix) if well else refusal)
            if well:
                self.dispatch.add(self._open(self.store.batches[frame.prefix]))

        self.pending.append((store, done))

    def _on_cancel(self, frame: frames.Cancel) -> None:
        answered: list[tuple[bytes, list[int]]] = []
        for prefix, positions in frame.tasks:
            batch = self.dispatch.by_prefix(prefix)
            if batch is None:
                continue
            cancelled, leased = self.dispatch.cancel(batch, positions)
            cancelled += self.dispatch.withdrawn(
                batch, [one for one in leased if self._withdrawn(batch, one)]
            )
            for position in cancelled:
                self._end(TaskEnded(batch.number, position, 0, frames.CANCELLED, _reason(0), 0.0, 0.0))
            answered.append((prefix, cancelled))
        self._when_stored(answered, lambda: self._answer(frames.Cancelled(frame.request, answered)))

    def _when_stored(self, tasks: list[tuple[bytes, list[int]]], then: Callable[[], None]) -> None:
        """Nobody hears of a cancellation that a crash could take back."""

        def done(well: bool) -> None:
            open_ = self.ending.intersection(
                (batch.number, position)
                for prefix, positions in tasks
                if (batch := self.store.batches.get(prefix))
                for position in positions
            )
            if open_ or not well:
                self.pending.append((lambda: None, done))
            else:
                then()

        self.pending.append((lambda: None, done))

    def _withdrawn(self, batch: OpenBatch, position: int) -> bool:
        """Whether a worker gives it back: it has not received it yet."""
        for worker in self.workers:
            for one in list(worker.given):
                if one[0][:2] == (batch.number, position):
                    worker.given.remove(one)
                    return True
        return False

    def _tell(self, seq: int, key: tuple[int, int]) -> None:
        _, status, body = self.store.outcomes[key]
        (prefix,) = (batch.prefix for batch in self.store.batches.values() if batch.number == key[0])
        if self.subscribed:
            self._answer(frames.Results(GROUP, [frames.Result(seq, prefix, key[1], status, body)]))

    def _end(self, one: TaskEnded) -> None:
        """An outcome that counts: stored in the next commit, told before or after."""
        key = (one.batch, one.position)
        self.ending.add(key)

        def store() -> None:
            self._put(*key, one.status, cast(bytes, one.body))

        def done(well: bool) -> None:
            if not well:
                self.pending.append((store, done))
                return
            self.ending.discard(key)
            self._tell(self.store.outcomes[key][0], key)
            opened = self.dispatch.by_number(one.batch)
            if (
                opened is not None
                and not opened.open
                and self.store.finished(self.store.batches[opened.prefix])
            ):
                self.dispatch.forget(opened)

        self.pending.append((store, done))

    # -- events -------------------------------------------------------------------------------------------

    def commit(self, well: bool = True) -> None:
        """Everything that waits, or nothing of it."""
        group, self.pending = self.pending, []
        if well:
            for store, _ in group:
                store()
        for _, done in group:
            done(well)

    def submit(self) -> None:
        """The program calls."""
        retries = self.chance.choice([0, 0, 0, 2])
        target = Target(b"", None, frames.Options(retries=retries))
        calls = []
        for _ in range(self.chance.randint(1, 4)):
            number = len(self.futures)
            future: ComputeFuture[Any] = ComputeFuture(owner=StubFutureOwner())
            future.add_done_callback(lambda _done, number=number: self.ends.update([number]))
            self.futures[number], self.retries[number] = future, retries
            calls.append(Call(future, FUNCTION, b"%d" % number, target))
        self.waiting.append(with_ids(target, calls))

    def send(self) -> None:
        """What the program has called goes on its way, if there is a connection and room."""
        while self.waiting and self.connected and not self.protocol.postponed:
            self.protocol.send(self.waiting.pop(0))

    def cancel(self) -> None:
        """The program changes its mind."""
        numbers = [number for number, future in self.futures.items() if not future.done()]
        if numbers:
            chosen = self.chance.sample(numbers, min(len(numbers), 2))
            self.cancelled.update(chosen)
            self.protocol.withdraw(Withdrawal([self.futures[number] for number in chosen], wait=False))

    def connect(self) -> None:
        """A new connection."""
        if not self.connected:
            self.connected = True
            self.protocol.opened(WELCOME, cast(Any, None), self.up.append)

    def cut(self) -> None:
        """What is on its way is gone."""
        self.connected = self.subscribed = False
        self.up.clear()
        self.down.clear()
        self.protocol.closed()

    def deliver_up(self) -> None:
        """The next frame of the client arrives."""
        if self.up:
            self._receive(self.up.popleft())

    def deliver_down(self) -> None:
        """The next frame of the service arrives."""
        if self.down:
            self.protocol.receive(self.down.popleft())

    def twice(self) -> None:
        """A frame comes once more."""
        queue = self.chance.choice([self.up, self.down])
        if queue:
            queue.insert(self.chance.randint(0, len(queue)), queue[0])

    def swap(self) -> None:
        """An answer overtakes another one."""
        if len(self.down) > 1:
            self.down[0], self.down[1] = self.down[1], self.down[0]

    def acknowledge(self) -> None:
        """The client says how far it is; and sends again what there was no room for."""
        self.protocol.acknowledge()
        if self.connected:
            self.protocol.retry_postponed()

    def give(self) -> None:
        """A worker gets tasks."""
        worker = self.chance.choice(self.workers)
        for lease in self.dispatch.take(POOL, self.chance.randint(1, 3)):
            bodies = self.store.batches[lease.batch.prefix].bodies
            worker.given.extend(
                ((lease.batch.number, position, lease.attempt), bodies[position])
                for position in range(lease.start, lease.stop)
            )

    def begin(self) -> None:
        """A worker calls a function."""
        worker = self.chance.choice(self.workers)
        if worker.running is None and worker.given:
            worker.running = worker.given.popleft()
            worker.begun.add(worker.running[0])
            self.runs[int(worker.running[1])] += 1

    def finish(self) -> None:
        """A function returns."""
        worker = self.chance.choice(self.workers)
        if worker.running is not None:
            (number, position, attempt), body = worker.running
            value = native.dumps(int(body))
            worker.ring.append(TaskEnded(number, position, attempt, frames.VALUE, value, 0.0, 0.0))
            worker.running = None

    def report(self) -> None:
        """The service reads what workers have written."""
        for worker in self.workers:
            self.dispatch.began([(*task, 0.0) for task in worker.begun])
            self._read(worker)

    def _read(self, worker: Worker) -> None:
        news, worker.reported = worker.ring[worker.reported :], len(worker.ring)
        for _, one in self.dispatch.ended(news):
            self._end(one)

    def kill_worker(self) -> None:
        """One dies; its files stay until what they hold is stored, its successor has new ones."""
        worker = self.chance.choice(self.workers)
        self._read(worker)
        if worker.running is not None:
            self._lose(worker.running[0])
        self.dispatch.returned([task for task, _ in worker.given])
        worker.given.clear()
        worker.running = None

    def _lose(self, task: Task) -> None:
        lost = self.dispatch.lost(*task)
        if lost is not None and lost.again:
            self.store.attempts[task[:2]] = lost.attempt
        elif lost is not None:
            self._end(TaskEnded(*task[:2], lost.attempt, frames.LOST, _reason(lost.attempt), 0.0, 0.0))

    def kill_service(self) -> None:
        """It dies, its workers with it, and starts again."""
        self.cut()
        self._start()

    def clean(self) -> None:
        """What is finished and acknowledged may go."""
        for batch in list(self.store.batches.values()):
            numbers = range(len(batch.bodies))
            if self.store.finished(batch) and self.dispatch.by_number(batch.number) is None:
                last = max(self.store.outcomes[batch.number, position][0] for position in numbers)
                if last <= self.store.acked and not self.down:
                    self.store.drop(batch)

    # -- a run --------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Any order; then the end. Raises Violation."""
        events = [getattr(self, name) for name in WEIGHTS]
        weights = list(WEIGHTS.values())
        for event in self.chance.choices(events, weights, k=EVENTS):
            event()
        for _ in range(MOST_STEPS):
            if all(future.done() for future in self.futures.values()):
                break
            for event in CALM:
                getattr(self, event)()
        self._check()

    def fail_commit(self) -> None:
        """No room."""
        self.commit(well=False)

    def _check(self) -> None:
        for number, future in self.futures.items():
            if not future.done():
                raise Violation(f"task {number} never ends")
            if self.ends[number] != 1:
                raise Violation(f"task {number} ended {self.ends[number]} times")
            if self.runs[number] > 1 + self.retries[number]:
                raise Violation(
                    f"task {number} ran {self.runs[number]} times with {self.retries[number]} retries"
                )
            self._check_end(number, future)

    def _check_end(self, number: int, future: ComputeFuture[Any]) -> None:
        if future.cancelled():
            if (
                number not in self.cancelled or self.runs[number] > self.retries[number]
            ):  # a retry was withdrawn
                raise Violation(f"task {number} is cancelled, ran {self.runs[number]} times")
            return
        error = future.exception()
        if error is None and (future.result() != number or not self.runs[number]):
            raise Violation(f"task {number} has the value {future.result()!r}")
        if error is not None and not isinstance(error, (WorkerLost, TaskCancelled)):
            raise Violation(f"task {number} ended with {error!r}")
        if isinstance(error, WorkerLost) and not self.runs[number]:
            raise Violation(f"task {number} is lost and never ran")


WEIGHTS = {
    "submit": 6,
    "cancel": 2,
    "send": 8,
    "connect": 6,
    "deliver_up": 30,
    "deliver_down": 25,
    "twice": 3,
    "swap": 1,
    "commit": 15,
    "fail_commit": 2,
    "give": 10,
    "begin": 12,
    "finish": 12,
    "report": 10,
    "acknowledge": 4,
    "clean": 2,
    "kill_worker": 2,
    "kill_service": 2,
    "cut": 3,
}
"""Events, and how often each is chosen."""
CALM = (
    "connect",
    "send",
    "deliver_up",
    "commit",
    "deliver_down",
    "acknowledge",
    "give",
    "begin",
    "finish",
    "report",
)


def _reason(attempts: int) -> bytes:
    return msgspec.msgpack.encode(frames.Reason("the worker died", attempts=attempts))


class Simulated(NamedTuple):
    """What many runs gave. ``notes``: the seeds that found something, and what."""

    seeds: int
    tasks: int
    notes: list[str]


def simulate(first: int, count: int, seconds: float) -> Simulated:
    """Run seeds from ``first`` on, for at most so many seconds."""
    deadline, tasks, notes, done = time.monotonic() + seconds, 0, [], 0
    for seed in range(first, first + count):
        if time.monotonic() > deadline:
            break
        one = Simulation(seed)
        try:
            one.run()
        except Exception as error:
            notes.append(f"seed {seed}: {type(error).__name__}: {error}")
        tasks += len(one.futures)
        done += 1
    return Simulated(done, tasks, notes)
