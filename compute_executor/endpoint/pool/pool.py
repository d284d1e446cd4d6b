"""One pool: its workers, and what becomes of its tasks.

The way of a task here: taken from the service, or by an endpoint from its leases -> waiting (feeder.py) -> given to a
worker, *outstanding* there (worker_handle.py) -> ended. When its worker dies, its begun log tells whether it had
begun: then it is lost, else returned.

All state belongs to the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection

import msgspec

from compute_executor.endpoint.pool import loss_reasons
from compute_executor.endpoint.pool.events import EngineEvents, TaskEnded, WorkerView
from compute_executor.endpoint.pool.feeder import TaskFeeder
from compute_executor.endpoint.pool.output_files import KEPT, RECORDS, size
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.pool.worker_handle import WorkerHandle
from compute_executor.endpoint.pool.worker_set import WorkerSet
from compute_executor.endpoint.worker.messages import Key
from compute_executor.endpoint.worker.result_ring import Outcome
from compute_executor.protocol.frames import TIMEOUT, Blob, Body, Reason, Written

log: logging.Logger = logging.getLogger(__name__)

LOOK_EVERY, LOOK_SELDOM = 0.01, 0.025
"""Seconds between looks at the begun logs while tasks run whose beginning was not reported; none when all were. A
look finds tasks that take longer than was expected: where that is longer, looks are rarer. They are a third of what
the service does while tasks of 20 ms run. The longest pause is still short beside :data:`REPORT_AFTER`."""

REPORT_AFTER = 0.05
"""Seconds that a task must have been seen running before that is reported. The report costs some 0.2 ms of processor
time on its way to the future, too much for a task of 20 ms."""

OUTPUT_EVERY = 0.05
"""Seconds between looks at what running tasks have written. A task is sent on at the second look that finds it."""

OPEN, CLOSING, ENDING = range(3)
"""Phases of a pool: takes work; takes work until there is none; takes none, what runs may end."""


class WorkerPool:
    """One pool of an engine. ``gone`` is called when it takes no more work and its last worker is dead."""

    def __init__(
        self, name: bytes, events: EngineEvents, workers: WorkerSet, gone: Callable[[], None]
    ) -> None:
        self._name = name
        self._events = events
        self._workers = workers
        self._gone = gone
        self._feeder = TaskFeeder(name, events, workers)
        self._phase = OPEN
        self._feeding = False
        self._freed = False  # workers have finished tasks since the last look
        self._looking: asyncio.TimerHandle | None = None
        self._listening: asyncio.TimerHandle | None = None
        self._seen_running: list[
            tuple[WorkerHandle, Key, float, float]
        ] = []  # not reported; unix time, loop's time

    # -- from the engine --

    def open(self) -> None:
        """Start the first worker, from the loop: a failure must not be reported before the caller goes on."""
        asyncio.get_running_loop().call_soon(self._open)

    def _open(self) -> None:
        if self._phase == OPEN and not self._workers.handles:
            self._start(1)

    def feed(self) -> None:
        """See that every worker has enough to do, and that there are enough workers."""
        if self._feeding:  # called by Events.take, whose answer is about to be dealt with
            return
        self._feeding = True
        self._freed = False
        try:
            if self._phase != ENDING:
                self._start(self._feeder.hand_out())
        finally:
            self._feeding = False
        if misfits := self._feeder.take_misfits():
            self._report_misfits(misfits)
            self.feed()
            return
        self._keep_looking()
        self._keep_listening()
        self._workers.schedule_idle_end()
        self._end_if_done()

    def withdraw(self, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """Return those of ``tasks`` that the engine has and that surely will not run now."""
        found = self._feeder.withdraw(tasks)
        self.feed()
        return found

    def stop_tasks(self, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """End the workers that run any of ``tasks`` (batch, position) now; which of them these workers had."""
        wanted, stopped = set(tasks), set[tuple[int, int]]()
        for handle in self._workers.handles:
            key, held = handle.current(), wanted.intersection(one[:2] for one in handle.tasks)
            if held and (key is None or key[:2] in wanted):  # None: between two tasks
                stopped |= held
                handle.process.kill()
        return stopped

    def close(self) -> None:
        """End the workers as soon as there is nothing more to do."""
        self._phase = max(self._phase, CLOSING)
        self.feed()

    def stop(self) -> None:
        """End the workers now, and what they run with them."""
        self._phase = ENDING
        self._give_back(self._feeder.drain())
        self._workers.end(self._workers.handles, hurry=True)
        self._leave_if_empty()

    def views(self) -> list[WorkerView]:
        """Return the workers, for people to look at."""
        return [handle.view(self._name) for handle in self._workers.handles]

    # -- WorkerEvents: what workers report --

    def ready(self) -> None:
        """Note that a worker has started."""
        self._workers.worker_started()
        self.feed()

    def finished(self, handle: WorkerHandle, outcomes: list[Outcome]) -> None:
        """Note that a worker has run these."""
        ended = []
        pid = handle.process.pid
        took: dict[int, list[float]] = {}
        for batch, position, attempt, status, in_file, began, stopped, body in outcomes:
            task = handle.remove((batch, position, attempt))
            if task is not None:
                took.setdefault(task.function, []).append(stopped - began)
                result = blob(body) if in_file else body
                output = handle.written((batch, position, attempt))
                ended.append(TaskEnded(batch, position, attempt, status, result, began, stopped, output, pid))
        for function, seconds in took.items():
            self._feeder.estimates.learn(function, len(seconds), sum(seconds))
        self._events.ended(self._name, ended, kept=True)
        handle.process.reported(*self._events.progress())
        self._freed = True

    def turn_over(self) -> None:
        """Note that nothing more of a worker is dealt with now: what it has finished made room for others, once for
        all frames."""
        if self._freed:
            self.feed()

    def has_room(self, handle: WorkerHandle) -> bool:
        """Return whether enough is stored of a worker's result ring that is full."""
        return handle.process.has_room(self._events.progress()[1])

    def handed_back(self, tasks: list[Assignment]) -> None:
        """Note that a worker will not come to these soon."""
        self._feeder.put_back(tasks)
        self.feed()

    def begun(self, handle: WorkerHandle, key: Key, moment: float) -> None:
        """Note that a task with a walltime has begun."""
        entry = handle.tasks.get(key)
        if entry is None:
            return
        self._events.began(self._name, [(*key, moment)])
        if (walltime := entry[0].walltime) is not None:
            handle.limit(key, min(walltime, moment + walltime - time.time()))

    def failed(self, handle: WorkerHandle, message: str) -> None:
        """Note that the initializer raised in a worker."""
        handle.ending = True
        self._break(message)

    def code(self, function: int) -> Body:
        """Return the code of a function."""
        return self._events.function_code(function)

    def output(self, key: Key, part: Written) -> None:
        """Note that a task has written something."""
        self._events.output(self._name, key[0], key[1], part)

    def died(self, handle: WorkerHandle, exit_code: int) -> None:
        """Note that a worker is dead. What it had not begun is returned, what it had begun is lost or timed out."""
        self._workers.remove(handle)
        handle.process.reported(*self._events.progress())  # its result ring goes if that is stored
        last_output = handle.last_output()
        final_output = b"".join(text[-KEPT:] for _, text in last_output[:RECORDS])
        begun = handle.begun()
        self._give_back([key for key in handle.tasks if key not in begun])
        for key in begun:
            if size(last_output):
                handle.final_output(key, last_output)
            self._report_death(handle, key, exit_code, final_output)
        if not handle.is_ready and not handle.ending:
            self._start_again(exit_code, final_output)
        self.feed()

    def _report_death(self, handle: WorkerHandle, key: Key, exit_code: int, final_output: bytes) -> None:
        walltime, output = handle.tasks[key][0].walltime, handle.written(key)
        pid = handle.process.pid
        if key == handle.expired and walltime is not None:
            body = msgspec.msgpack.encode(Reason(loss_reasons.timed_out(walltime), exit_code))
            now = time.time()
            self._events.ended(self._name, [TaskEnded(*key, TIMEOUT, body, now - walltime, now, output, pid)])
            return
        message = (
            loss_reasons.stopped(pid) if handle.ending else loss_reasons.lost(pid, exit_code, final_output)
        )
        self._events.lost(self._name, *key, Reason(message, exit_code), output=output, worker=pid)

    def _report_misfits(self, misfits: list[tuple[Assignment, str]]) -> None:
        """End what can never begin here, instead of letting it and all behind it wait for ever."""
        for task, why in misfits:
            message = f"it asks for {why}, on the machine that it was given to"
            self._events.lost(self._name, *task[:3], Reason(message, began=False))

    def _give_back(self, keys: list[Key]) -> None:
        if keys:
            self._events.returned(self._name, keys)

    # -- beginnings --

    def _keep_looking(self) -> None:
        if self._looking is None and (
            self._seen_running or any(handle.begin_unknown() for handle in self._workers.handles)
        ):
            pause = look_after(self._feeder.estimates.mean)
            self._looking = asyncio.get_running_loop().call_later(pause, self._look)

    def _look(self) -> None:
        """Find tasks that run since the last look. They take long, so others may have to be found room."""
        self._looking = None
        when = time.time(), asyncio.get_running_loop().time()
        begin_unknown = [handle for handle in self._workers.handles if handle.begin_unknown()]
        long = [(handle, task) for handle in begin_unknown if (task := handle.look())]
        self._seen_running += [(handle, task[:3], *when) for handle, task in long if task.walltime is None]
        self._report_running(when[1] - REPORT_AFTER)
        if long:
            self.feed()
        self._keep_looking()

    def _report_running(self, before: float) -> None:
        """Tell of those that run still and were first seen before that (loop's time). Tasks with a walltime have
        told of themselves."""
        running = [seen for seen in self._seen_running if seen[1] in seen[0].tasks]
        self._seen_running = [seen for seen in running if seen[3] > before]
        if began := [(*key, unix) for _, key, unix, since in running if since <= before]:
            self._events.began(self._name, began)

    # -- output --

    def _keep_listening(self) -> None:
        if self._listening is None and any(handle.tasks for handle in self._workers.handles):
            self._listening = asyncio.get_running_loop().call_later(OUTPUT_EVERY, self._listen)

    def _listen(self) -> None:
        """Send on what tasks have written that run for long."""
        self._listening = None
        for handle in self._workers.handles:
            if handle.tasks:
                handle.look_at_output()
        self._keep_listening()

    # -- starting and ending workers --

    def _start(self, count: int) -> None:
        for _ in range(count):
            try:
                self._workers.start(self)
            except OSError as error:
                if not self._workers.could_not_start(error, self.feed):
                    self._break(loss_reasons.cannot_run(self._workers.spec, error))
                return
            except Exception as error:  # whatever a specification leads to, it is this pool's alone
                log.exception("a worker of pool %s cannot be started", self._name.hex())
                self._break(f"workers cannot start: {type(error).__name__}: {error}")
                return

    def _start_again(self, exit_code: int, final_output: bytes) -> None:
        """Note that a worker died before it was ready."""
        if (message := self._workers.failed(exit_code, final_output)) is not None:
            self._break(message)
        elif self._phase != ENDING:
            self._start(1)

    def _break(self, message: str) -> None:
        """Note that no worker can start: give back what waits, run no more."""
        if self._phase != ENDING:
            self._phase = ENDING
            self._give_back(self._feeder.drain())
            self._events.broken(self._name, message)
            self._end_if_done()

    def _end_if_done(self) -> None:
        if self._phase == OPEN:
            return
        idle = [handle for handle in self._workers.handles if not handle.tasks]
        if self._phase == CLOSING and not self._feeder and len(idle) == len(self._workers.handles):
            self._phase = ENDING
        if self._phase == ENDING:
            self._workers.end(idle)
        self._leave_if_empty()

    def _leave_if_empty(self) -> None:
        if self._phase == ENDING and not self._workers.handles:
            self._gone()


def look_after(mean: float) -> float:
    """Return the seconds until the next look, where tasks take ``mean`` seconds.

    >>> look_after(0.00001), look_after(0.02), look_after(600.0)
    (0.01, 0.02, 0.025)
    """
    return min(max(LOOK_EVERY, mean), LOOK_SELDOM)


def blob(reference: bytes) -> Blob:
    """Return the file that ``<name> <size>`` in a result refers to."""
    name, size = reference.decode().split()
    return Blob(name, int(size))
