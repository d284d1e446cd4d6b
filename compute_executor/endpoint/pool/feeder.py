"""What waits in a pool, and giving it to the workers. Decisions are in scheduling_policy.py; this does them.

Everything that waits here was taken from the service and has not begun. It may have been with a worker before:
taken back unreceived for an idle one, or handed back because a neighbour in its chunk takes long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from compute_executor.endpoint.pool import scheduling_policy
from compute_executor.endpoint.pool.events import EngineEvents
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.pool.worker_handle import WorkerHandle
from compute_executor.endpoint.pool.worker_set import WorkerSet
from compute_executor.endpoint.worker.messages import Key
from compute_executor.protocol.resources import WorkerShare, misfits


class TaskFeeder:
    """The tasks of pool ``name`` that are with the engine but with no worker. Belongs to the loop's thread."""

    def __init__(self, name: bytes, events: EngineEvents, workers: WorkerSet) -> None:
        self.estimates: scheduling_policy.DurationEstimates = scheduling_policy.DurationEstimates()
        self._name = name
        self._events = events
        self._workers = workers
        self._waiting: deque[Assignment] = deque()
        self._mixed = False
        """Whether there ever was a task here that takes more than a worker. Few pools have one, and all others need
        not count what is free."""
        self._misfits: list[tuple[Assignment, str]] = []
        self._blocked = False
        """Whether the first of them waits for others to end, and no new worker would help."""

    def __len__(self) -> int:
        return len(self._waiting)

    def hand_out(self) -> int:
        """Take tasks and give them to workers. Returns how many more workers there should be."""
        ready = self._workers.ready()
        self._take(ready)
        self._deal(ready)
        if self._blocked:
            return 0
        if not self._waiting and not any(len(handle.tasks) > 1 for handle in ready):
            return 0  # nothing to take over, nothing to start a worker for: so it is after most single tasks
        self._steal(ready)
        workers = self._workers
        most = workers.most
        if self._mixed:
            most -= workers.offer.workers - self._free().workers - sum(bool(one.tasks) for one in ready)
        return scheduling_policy.to_start(ready, workers.starting(), len(self._waiting), self.estimates, most)

    def put_back(self, tasks: Iterable[Assignment]) -> None:
        """Put these back:, in order, come before all others."""
        self._waiting.extendleft(reversed(list(tasks)))

    def withdraw(self, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """Return those of ``tasks`` that wait here or that their worker has not received; they are gone from both."""
        wanted = set(tasks)
        for handle in self._workers.ready():
            if any(key[:2] in wanted for key in handle.tasks):
                self.put_back(handle.take_back())
        found = {task[:2] for task in self._waiting if task[:2] in wanted}
        self._waiting = deque(task for task in self._waiting if task[:2] not in found)
        return found

    def drain(self) -> list[Key]:
        """Return all that waits; nothing waits any more."""
        keys = [task[:3] for task in self._waiting]
        self._waiting.clear()
        return keys

    def _take(self, ready: list[WorkerHandle]) -> None:
        coming = self._workers.most - len(ready)
        wanted = scheduling_policy.demand(ready, len(self._waiting), self.estimates, coming)
        if wanted > 0:
            for task in self._events.take(self._name, wanted):
                self._mixed = self._mixed or task.needs is not None
                if task.needs is not None and (why := misfits(task.needs, self._workers.offer)):
                    self._misfits.append((task, why))
                else:
                    self._waiting.append(task)

    def take_misfits(self) -> list[tuple[Assignment, str]]:
        """Return what came since the last call and can never begin here, with the reason: it was accepted for another
        machine of its endpoint, or before this one was as it is."""
        found, self._misfits = self._misfits, []
        return found

    def _free(self) -> WorkerShare:
        return scheduling_policy.free_share(self._workers.handles, self._workers.offer)

    def _deal(self, ready: list[WorkerHandle]) -> None:
        waiting, estimates = self._waiting, self.estimates
        while waiting and (handle := self._next_worker(ready)) is not None:
            chunk = scheduling_policy.next_chunk(waiting, len(ready), estimates)
            if not handle.give(chunk, estimates):
                self.put_back(chunk)
                handle.occupied = True  # its channel is full: no more until it reports
        self._blocked = (
            self._mixed
            and bool(waiting)
            and not scheduling_policy.fits(waiting[0], self._free(), self._workers.offer)
        )

    def _next_worker(self, ready: list[WorkerHandle]) -> WorkerHandle | None:
        if not self._mixed:
            return scheduling_policy.least_loaded(ready)
        return scheduling_policy.who_may_take(self._waiting[0], ready, self._free(), self._workers.offer)

    def _steal(self, ready: list[WorkerHandle]) -> None:
        if self._waiting or all(handle.tasks for handle in ready):
            return
        if self._mixed and self._free().workers < 1:
            return  # those that idle stay so for a task that takes them
        if (victim := scheduling_policy.worth_stealing(ready)) is not None:
            self.put_back(victim.take_back())
            self._deal(ready)
