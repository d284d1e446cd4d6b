"""The workers of one pool, and what happens to its tasks. Decisions are in handover.py; this does them.

The way of a task here: taken from the service into ``waiting`` -> given to a worker, *outstanding* there -> ended.
From a worker it may come back to ``waiting``: taken back unreceived for an idle worker, or handed back by the
worker because a neighbour in its chunk takes long. When its worker dies, the ring tells whether it had begun.

All state belongs to the loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection

import msgspec

from compute_executor.endpoint import handover, reasons
from compute_executor.endpoint.events import Assignment, Ended, Events, Key, WorkerView
from compute_executor.endpoint.member import Member
from compute_executor.endpoint.outbox import Outcome
from compute_executor.endpoint.staff import Staff
from compute_executor.protocol.frames import TIMEOUT, Blob, Body, Reason

LOOK_EVERY = 0.01
"""Seconds between looks at the rings while tasks run whose beginning was not reported; none when all were."""

OPEN, CLOSING, ENDING = range(3)
"""Phases of a pool: takes work; takes work until there is none; takes none, what runs may end."""


class Pool:
    """One pool of an engine. ``gone`` is called when it was closed and its last worker is dead."""

    def __init__(self, name: bytes, events: Events, staff: Staff, gone: Callable[[], None]) -> None:
        self.name = name
        self._events = events
        self._staff = staff
        self._gone = gone
        self._waiting: deque[Assignment] = deque()
        self._estimates = handover.Estimates()
        self._phase = OPEN
        self._feeding = False
        self._looking: asyncio.TimerHandle | None = None

    # -- from the engine --

    def open(self) -> None:
        """Start the first worker, from the loop: a failure must not be reported before the caller goes on."""
        asyncio.get_running_loop().call_soon(self._open)

    def _open(self) -> None:
        if self._phase == OPEN and not self._staff.members:
            self._start(1)

    def withdraw(self, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of ``tasks`` that the engine has and that surely will not run now."""
        wanted = set(tasks)
        for member in self._staff.ready():
            if any(key[:2] in wanted for key in member.tasks):
                self._waiting.extendleft(reversed(member.take_back()))
        found = {task[:2] for task in self._waiting if task[:2] in wanted}
        self._waiting = deque(task for task in self._waiting if task[:2] not in found)
        self.feed()
        return found

    def close(self) -> None:
        """End the workers as soon as there is nothing more to do."""
        self._phase = max(self._phase, CLOSING)
        self.feed()

    def stop(self) -> None:
        """End the workers now, and what they run with them."""
        self._phase = ENDING
        self._give_back_waiting()
        self._staff.end(self._staff.members)
        self._leave_if_empty()

    def views(self) -> list[WorkerView]:
        """The workers, for people to look at."""
        return [self._view(member) for member in self._staff.members]

    def _view(self, member: Member) -> WorkerView:
        current = member.current()
        states = {member.ending: "ending", not member.is_ready: "starting", bool(member.tasks): "running"}
        return WorkerView(member.process.pid, self.name, states.get(True, "idle"), current and current[:2])

    # -- giving --

    def feed(self) -> None:
        """See that every worker has enough to do, and that there are enough workers."""
        if self._feeding:  # called by Events.take, whose answer is about to be dealt with
            return
        self._feeding = True
        try:
            if self._phase != ENDING:
                self._hand_out(self._staff.ready())
        finally:
            self._feeding = False
        self._keep_looking()
        self._staff.mind_the_idle()
        self._end_if_done()

    def _hand_out(self, ready: list[Member]) -> None:
        self._take(ready)
        self._deal(ready)
        self._steal(ready)
        self._start(self._missing(ready))

    def _take(self, ready: list[Member]) -> None:
        coming = self._staff.most - len(ready)
        wanted = handover.demand(ready, len(self._waiting), self._estimates, coming)
        if wanted > 0:
            self._waiting.extend(self._events.take(self.name, wanted))

    def _deal(self, ready: list[Member]) -> None:
        waiting, estimates = self._waiting, self._estimates
        while waiting and (member := handover.least_loaded(ready)) is not None:
            chunk = handover.next_chunk(waiting, len(ready), estimates)
            if not member.give(chunk, estimates):
                waiting.extendleft(reversed(chunk))
                member.stuck = True  # its channel is full: no more until it reports

    def _steal(self, ready: list[Member]) -> None:
        if self._waiting or all(member.tasks for member in ready):
            return
        if (victim := handover.worth_stealing(ready)) is not None:
            self._waiting.extendleft(reversed(victim.take_back()))
            self._deal(ready)

    def _missing(self, ready: list[Member]) -> int:
        staff = self._staff
        return handover.to_start(ready, staff.starting(), len(self._waiting), self._estimates, staff.most)

    def _start(self, count: int) -> None:
        for _ in range(count):
            try:
                self._staff.start(self)
            except OSError as error:
                if not self._staff.content_with_fewer():
                    self._break(reasons.cannot_run(self._staff.spec, error))
                return

    # -- member.Duties: what workers report --

    def ready(self) -> None:
        """A worker has started."""
        self._staff.proved()
        self.feed()

    def finished(self, member: Member, outcomes: list[Outcome]) -> None:
        """A worker has run these."""
        ended = []
        took: dict[int, list[float]] = {}
        for batch, position, attempt, status, blob, began, stopped, body in outcomes:
            task = member.remove((batch, position, attempt))
            if task is not None:
                took.setdefault(task.function, []).append(stopped - began)
                result = _blob(body) if blob else body
                ended.append(Ended(batch, position, attempt, status, result, began, stopped))
        for function, seconds in took.items():
            self._estimates.learn(function, len(seconds), sum(seconds))
        self._events.ended(self.name, ended)
        self.feed()

    def handed_back(self, member: Member, keys: list[Key]) -> None:
        """A worker will not come to these soon."""
        self._waiting.extendleft(reversed(member.give_up(keys)))
        self.feed()

    def begun(self, member: Member, key: Key, moment: float) -> None:
        """A task with a walltime has begun."""
        entry = member.tasks.get(key)
        if entry is None:
            return
        self._events.began(self.name, [(*key, moment)])
        if (walltime := entry[0].walltime) is not None:
            member.limit(key, min(walltime, moment + walltime - time.time()))

    def failed(self, member: Member, message: str) -> None:
        """The initializer raised in a worker."""
        member.ending = True
        self._break(message)

    def code(self, function: int) -> Body:
        """The code of a function."""
        return self._events.function_code(function)

    def output(self, key: Key, text: bytes) -> None:
        """A task has written something."""
        self._events.output(key[0], key[1], text)

    def died(self, member: Member, exit_code: int) -> None:
        """A worker is dead. What it had not begun is returned, what it had begun is lost or timed out."""
        self._staff.remove(member)
        last_words = member.process.last_output()
        begun = member.begun()
        self._give_back([key for key in member.tasks if key not in begun])
        for key in begun:
            if last_words:
                self._events.output(key[0], key[1], last_words)
            self._report_death(member, key, exit_code, last_words)
        if not member.is_ready and not member.ending:
            if (message := self._staff.failed(exit_code, last_words)) is not None:
                self._break(message)
            elif self._phase != ENDING:
                self._start(1)
        self.feed()

    def _report_death(self, member: Member, key: Key, exit_code: int, last_words: bytes) -> None:
        task = member.tasks[key][0]
        pid = member.process.pid
        if key == member.expired and task.walltime is not None:
            body = msgspec.msgpack.encode(Reason(reasons.timed_out(task.walltime), exit_code))
            now = time.time()
            self._events.ended(self.name, [Ended(*key, TIMEOUT, body, now - task.walltime, now)])
            return
        message = reasons.stopped(pid) if member.ending else reasons.lost(pid, exit_code, last_words)
        self._events.lost(self.name, *key, Reason(message, exit_code))

    # -- beginnings --

    def _keep_looking(self) -> None:
        if self._looking is None and any(member.unsettled() for member in self._staff.members):
            self._looking = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)

    def _look(self) -> None:
        """Report tasks that run since the last look. They take long, so others may have to be found room."""
        self._looking = None
        now = time.time()
        long = [task for member in self._staff.members if member.unsettled() and (task := member.look())]
        if began := [(*task[:3], now) for task in long if task.walltime is None]:  # others have said so
            self._events.began(self.name, began)
        if long:
            self.feed()
        self._keep_looking()

    # -- the end --

    def _give_back(self, keys: list[Key]) -> None:
        if keys:
            self._events.returned(self.name, keys)

    def _give_back_waiting(self) -> None:
        keys = [task[:3] for task in self._waiting]
        self._waiting.clear()
        self._give_back(keys)

    def _break(self, message: str) -> None:
        """No worker can start: give back what waits, run no more."""
        if self._phase != ENDING:
            self._phase = ENDING
            self._give_back_waiting()
            self._events.broken(self.name, message)
            self._end_if_done()

    def _end_if_done(self) -> None:
        idle = [member for member in self._staff.members if not member.tasks]
        if self._phase == ENDING:
            self._staff.end(idle)
        elif self._phase == CLOSING and not self._waiting and len(idle) == len(self._staff.members):
            self._phase = ENDING
            self._staff.end(idle)
        self._leave_if_empty()

    def _leave_if_empty(self) -> None:
        if self._phase == ENDING and not self._staff.members:
            self._gone()


def _blob(reference: bytes) -> Blob:
    name, size = reference.decode().split()
    return Blob(name, int(size))
