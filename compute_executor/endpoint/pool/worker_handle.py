"""One worker as its pool sees it: a process, what it was given, its begun log. Translates frames into what they
mean."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Protocol

from compute_executor.endpoint.pool.events import WorkerView
from compute_executor.endpoint.pool.launch import Launch
from compute_executor.endpoint.pool.output_files import KEPT, Parts, TaskTexts, size
from compute_executor.endpoint.pool.process import WorkerProcess
from compute_executor.endpoint.pool.result_files import ResultRingFiles
from compute_executor.endpoint.pool.scheduling_policy import Assignment, DurationEstimates, WorkerLoad
from compute_executor.endpoint.worker import messages, trace
from compute_executor.endpoint.worker.begun_log import BegunLog
from compute_executor.endpoint.worker.messages import Key
from compute_executor.endpoint.worker.result_ring import Outcome
from compute_executor.errors import ServiceUnavailable
from compute_executor.protocol.frames import Body, Written

log: logging.Logger = logging.getLogger(__name__)

CODE_EVERY = 0.5
"""Seconds until the code of a function is read again that the store could not give."""
ROOM_EVERY = 0.002
"""Seconds between looks whether a worker whose result ring is full can go on: what fills it in less is being stored,
a commit takes some milliseconds."""


class WorkerEvents(Protocol):
    """What a worker reports to its pool, which implements this."""

    def ready(self) -> None:
        """Note that a worker has started, its initializer has run."""

    def finished(self, handle: WorkerHandle, outcomes: list[Outcome]) -> None:
        """Note that it has run these; `turn_over` comes soon, or `died`."""

    def turn_over(self) -> None:
        """Note that all that it has sent by now is told, or enough of it for now."""

    def has_room(self, handle: WorkerHandle) -> bool:
        """Return whether so much of what it has finished is stored that its result ring takes another result."""
        ...

    def handed_back(self, tasks: list[Assignment]) -> None:
        """Note that a worker will not run these, which it had received: a task before them takes long."""

    def begun(self, handle: WorkerHandle, key: Key, moment: float) -> None:
        """Note that it has begun a task that has a walltime."""

    def failed(self, handle: WorkerHandle, message: str) -> None:
        """Note that its initializer raised."""

    def code(self, function: int) -> Body:
        """Return the code of a function."""
        ...

    def output(self, key: Key, part: Written) -> None:
        """Note that this task wrote that, which is to be sent on before its end."""

    def died(self, handle: WorkerHandle, exit_code: int) -> None:
        """Note that its process is gone."""


class WorkerHandle(WorkerLoad):
    """A worker of a pool: a load and the process that carries it, a ``spare`` or a new one. Raises OSError if that
    cannot be started."""

    def __init__(
        self,
        events: WorkerEvents,
        begun_log: BegunLog,
        launch: Launch,
        ring_files: ResultRingFiles,
        setup: bytes,
        *,
        spare: WorkerProcess | None = None,
    ) -> None:
        super().__init__()
        self._events = events
        self.begun_log = begun_log
        self.launch = launch
        self.occupied: bool = False
        self.is_ready: bool = False
        self.ending: bool = False
        self.expired: Key | None = None
        """The task for whose walltime the process was killed."""
        self._limit: asyncio.TimerHandle | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._seen = begun_log.count()
        self._begin_known = False
        self._texts = TaskTexts()
        self._ran_before: Key | None = None
        self.process: WorkerProcess = spare or WorkerProcess(launch, begun_log.path, ring_files, self)
        self.process.assign(setup, self)

    # -- towards the worker --

    def give(self, tasks: list[Assignment], estimates: DurationEstimates) -> bool:
        """Queue these as one chunk. False, and nothing happens, if the channel is full."""
        if not self.process.send_tasks(b"".join([_record(task) for task in tasks])):
            return False
        if trace.marks is not None:
            trace.sent(trace.marks, tasks)
        self._begin_known = self._begin_known and bool(self.tasks)
        self.add(tasks, estimates)
        return True

    def take_back(self) -> list[Assignment]:
        """Return what it has not received, in order. It will not run it."""
        keys = [task[:3] for datagram in self.process.take_back() for task in _tasks(datagram)]
        return self.give_up(keys)

    def give_up(self, keys: Iterable[Key]) -> list[Assignment]:
        """Remove these from its load."""
        return [task for key in keys if (task := self.remove(key)) is not None]

    def end(self, *, hurry: bool = False) -> None:
        """Ask it to end, now if it runs something. ``hurry``: the whole service ends."""
        self.ending = True
        self.process.end(busy=bool(self.tasks), hurry=hurry)

    def limit(self, key: Key, seconds: float) -> None:
        """Kill the process if this task, which it runs now, still runs after so many seconds."""
        self._forget_limit()
        self._limit = asyncio.get_running_loop().call_later(max(0.0, seconds), self._expire, key)

    def _forget_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()

    def _expire(self, key: Key) -> None:
        if key in self.tasks:
            self.expired = key
            self.process.kill()

    # -- what it has begun --

    def current(self) -> Key | None:
        """Return the task it runs now, as far as its begun log tells."""
        newest = next(self.begun_log.recent(1), None)
        return newest if newest in self.tasks else None

    def begun(self) -> set[Key]:
        """Return those of its outstanding tasks that it has begun."""
        return set(self.begun_log.recent(len(self.tasks))).intersection(self.tasks)

    def look(self) -> Assignment | None:
        """Return the task that it already ran at the last look; each is returned once, and makes it occupied."""
        count = self.begun_log.count()
        if count != self._seen:
            self._seen = count
            return None
        key = self.current()
        if key is None:
            return None
        self._begin_known = self.occupied = True
        return self.tasks[key][0]

    def begin_unknown(self) -> bool:
        """Return whether it may run a task whose beginning is not known yet."""
        return bool(self.tasks) and not self._begin_known

    def view(self, pool: bytes) -> WorkerView:
        """Return this worker, for people to look at."""
        states = {self.ending: "ending", not self.is_ready: "starting", bool(self.tasks): "running"}
        current = self.current()
        return WorkerView(self.process.pid, pool, states.get(True, "idle"), current and current[:2])

    # -- from the worker: process.ProcessOwner --

    def received(self, kind: int, payload: bytes) -> None:
        """Note that a frame came."""
        _HANDLERS[kind](self, payload)

    def turn_over(self) -> None:
        """Note that what the worker has sent is dealt with, for now."""
        self._events.turn_over()

    def died(self, exit_code: int) -> None:
        """Note that the process is gone; what it had finished counts."""
        self._forget_limit()
        if self._waiting is not None:
            self._waiting.cancel()
        self._finished(self.process.results())
        self._events.died(self, exit_code)

    def _on_ready(self, _: bytes) -> None:
        self.is_ready = True
        self._events.ready()

    def _on_results(self, payload: bytes) -> None:
        (tail,) = messages.TAIL.unpack(payload)
        self._finished(self.process.results(tail))

    def _finished(self, outcomes: list[Outcome]) -> None:
        self._begin_known = self.occupied = False
        if outcomes:
            self._events.finished(self, outcomes)

    def _on_function(self, payload: bytes) -> None:
        (number,) = messages.NUMBER.unpack(payload)
        try:
            flags, body = _packed(self._events.code(number))
        except (
            ServiceUnavailable
        ) as error:  # the worker waits for the code, and nothing of what it has begun is lost
            log.warning("worker %d waits for the code of a function: %s", self.process.pid, error)
            self._waiting = asyncio.get_running_loop().call_later(CODE_EVERY, self._on_function, payload)
            return
        self.process.send(messages.CODE, bytes([flags]) + body)

    def _on_returned(self, payload: bytes) -> None:
        tasks = self.give_up(messages.unpack_keys(payload))
        self.occupied = bool(
            self.tasks
        )  # the long task may have ended meanwhile: nothing would free us any more
        self._events.handed_back(tasks)

    def _on_began(self, payload: bytes) -> None:
        batch, position, attempt, moment = messages.BEGUN.unpack(payload)
        self._events.begun(self, (batch, position, attempt), moment)

    def _on_room(self, _: bytes) -> None:
        if self._events.has_room(self):
            self.process.send(messages.ROOM)
        else:
            self._waiting = asyncio.get_running_loop().call_later(ROOM_EVERY, self._on_room, b"")

    def _on_output(self, payload: bytes) -> None:
        """Note that tasks have ended, about whose results the next frame is; this is how far what they wrote goes."""
        notes = list(messages.WRITTEN.iter_unpack(payload))
        for note, parts in zip(notes, self.process.outputs([note[3:] for note in notes]), strict=True):
            key = note[:3]
            part = self._texts.add(key, parts)
            still_open = key in self.tasks
            if not still_open or size(parts) > KEPT:
                self._events.output(key, part)  # its result is gone, or will not hold all of it
            if not still_open:
                self._texts.sent(key)

    def _writer(self) -> Key | None:
        """Return the task that it runs now, if what the one before has written is known: all that is new is of this
        one."""
        key, before = self.current(), next(islice(self.begun_log.recent(2), 1, None), None)
        return None if before in self.tasks else key

    def look_at_output(self) -> None:
        """Send on what the task has written that it already ran at the last look."""
        key, before = self._writer(), self._ran_before
        self._ran_before = key
        if key is None or key != before or not self.process.has_output():
            return
        ends = self.process.output_ends()
        if self.current() != key:
            return  # it has begun another one meanwhile, to which the last of this may belong
        (parts,) = self.process.outputs([ends])
        self._events.output(key, self._texts.add(key, parts))

    def last_output(self) -> Parts:
        """Return what a dead worker has written and not reported."""
        return self.process.output()

    def final_output(self, key: Key, parts: Parts) -> None:
        """Send on what this task, which it ran, wrote in its last moments."""
        self._events.output(key, self._texts.add(key, parts))

    def written(self, key: Key) -> Written | None:
        """Return the end of what a task has written that has ended."""
        return self._texts.take(key)

    def _on_failed(self, payload: bytes) -> None:
        self._events.failed(self, payload.decode(errors="replace"))


_HANDLERS: dict[int, Callable[[WorkerHandle, bytes], None]] = {
    messages.READY: WorkerHandle._on_ready,
    messages.RESULTS: WorkerHandle._on_results,
    messages.FUNCTION: WorkerHandle._on_function,
    messages.RETURNED: WorkerHandle._on_returned,
    messages.BEGAN: WorkerHandle._on_began,
    messages.ROOM: WorkerHandle._on_room,
    messages.OUTPUT: WorkerHandle._on_output,
    messages.FAILED: WorkerHandle._on_failed,
}


def _record(task: Assignment) -> bytes:
    batch, position, attempt, function, body, walltime, needs = task
    flags, payload = _packed(body)
    if needs is not None and needs.ranks > 1:
        flags |= messages.RANKS
        payload = messages.NUMBER.pack(needs.ranks) + payload
    if walltime is not None:
        flags |= messages.TELL
    return messages.pack_task((batch, position, attempt, function, flags, payload))


def _packed(body: Body) -> tuple[int, bytes]:
    """Flags and bytes of a body."""
    return (0, body) if isinstance(body, bytes) else (messages.BLOB, body.name.encode())


def _tasks(datagram: bytes) -> list[messages.TaskRecord]:
    return [] if datagram == messages.EXIT else messages.unpack_tasks(datagram)
