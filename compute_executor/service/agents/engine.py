"""The engine of all endpoints of this kind: gives tasks to machines that are connected and have credit.

    wake, credit -> taken -> lease stored -> sent ... ended | lost | returned

A connection that ends proves nothing: what is leased stays leased until the machine says otherwise, or its owner
gives it up (`forget`). Implements `endpoint.pool.engine.Engine` and `endpoint.leases.grantor.GrantorEvents`. Owner:
the loop thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, cast

from compute_executor.endpoint.leases import frames
from compute_executor.endpoint.leases.balance import keeping
from compute_executor.endpoint.leases.grantor import GrantorSession, reason_of
from compute_executor.endpoint.pool.events import EngineEvents, TaskEnded, WorkerView
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.worker.messages import Key
from compute_executor.protocol.frames import LOST, PoolSpec, Reason, Written
from compute_executor.service.agents.lease_records import LeaseRecords
from compute_executor.service.agents.machines import EndpointMachines, Machine, nobody, unknown_machine

if TYPE_CHECKING:
    from compute_executor.endpoint.environments.environment import Environment
    from compute_executor.service.scheduling.dispatch import Dispatch

log: logging.Logger = logging.getLogger(__name__)

SHARE = 512
"""Tasks given to one machine before the next has its turn."""

LOOK_EVERY = 0.25
"""Seconds between two looks at whether tasks wait at one machine while another has nothing to do."""

RECALL_WITHIN = 3.0
"""Seconds for a machine to say which tasks it gives back."""


class AgentEngine:
    """See the module."""

    def __init__(self, events: EngineEvents, dispatch: Dispatch, records: LeaseRecords) -> None:
        self._events = events
        self._dispatch = dispatch
        self._records = records
        self._pools: dict[bytes, EndpointMachines] = {}
        self._due: set[bytes] = set()
        self._looking: set[bytes] = set()
        self._recalls: dict[int, tuple[GrantorSession, asyncio.Future[None]]] = {}
        self._last_recall = 0
        self._unsent: dict[tuple[int, int], list[Assignment]] = {}
        """Tasks whose leases are being stored, each with those that it was taken with."""

    # -- which machines there are -------------------------------------------------------------------------

    def machines(self, endpoint: uuid.UUID) -> EndpointMachines:
        """Return those of an endpoint of this kind."""
        return self._pools.setdefault(endpoint.bytes, EndpointMachines(endpoint))

    def knows(self, pool: bytes) -> uuid.UUID | None:
        """Return the endpoint that a pool is on, if it is one of this kind."""
        found = self._pools.get(pool)
        return None if found is None else found.endpoint

    def open_in(self, pool: bytes) -> int:
        """Return how many tasks for an endpoint are not done."""
        return self._dispatch.open_in(pool)

    def restore(self) -> None:
        """Lease again what the service before us had leased."""
        for (batch, position), (holder, attempt) in self._records.leased().items():
            open_batch = self._dispatch.by_number(batch)
            group = self._pools.get(open_batch.pool) if open_batch is not None else None
            if group is None or not self._dispatch.lease_again(batch, position, attempt):
                continue
            machine = group.find(holder) or group.require(unknown_machine(holder))
            machine.leased[batch, position] = attempt

    def connect(self, machine: Machine, session: GrantorSession, end: Callable[[str], object]) -> None:
        """Note that a machine has a new connection, which ``end`` ends; an older one of it is over."""
        machine.end("the same machine has connected again")
        machine.session, machine.end, machine.trouble = session, end, ""

    def disconnect(self, machine: Machine, session: GrantorSession) -> None:
        """Note that a connection has ended."""
        session.end()
        if machine.session is session:
            machine.session, machine.end = None, nobody
        for request in [request for request, (asked, _) in self._recalls.items() if asked is session]:
            self.recall_answered(session, request)

    def forget(self, group: EndpointMachines, machine: Machine, why: str) -> None:
        """Give up what a machine holds: nobody can tell whether it runs."""
        keys = machine.keys()
        machine.leased.clear()
        group.remove(machine)
        machine.end(why)
        self._records.take_back(machine.id, keys)
        message = f"{machine.name}, where this task was, {why}"
        for key in keys:
            self._events.lost(group.pool, *key, Reason(message))
        self._wake_soon(group.pool)

    def drop(self, endpoint: uuid.UUID, why: str) -> None:
        """Note that the endpoint is deleted: what waits for it ends, and what is with its machines."""
        group = self.machines(endpoint)
        for machine in group:
            self.forget(group, machine, why)
        self._events.broken(group.pool, f"endpoint {endpoint} {why}")
        self._pools.pop(group.pool, None)

    # -- Engine -------------------------------------------------------------------------------------------

    def open(self, pool: bytes, spec: PoolSpec, environment: Environment | None = None) -> None:
        """See Engine. The machines know themselves which workers they have."""

    def close_pool(self, pool: bytes) -> None:
        """See Engine. Machines come and go by themselves."""

    def workers(self) -> list[WorkerView]:
        """See Engine. Those of other machines are shown with their endpoint."""
        return []

    async def close(self) -> None:
        """See Engine. What machines hold stays with them."""
        for group in self._pools.values():
            for machine in group.connected():
                assert machine.session is not None
                self.disconnect(machine, machine.session)

    def wake(self, pool: bytes) -> None:
        """See Engine."""
        self._wake_soon(pool)

    def _wake_soon(self, pool: bytes) -> None:
        if pool not in self._due:
            self._due.add(pool)
            asyncio.get_running_loop().call_soon(self._feed, pool)

    def withdraw(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """See Engine. What was not sent yet is not sent. What a machine has is asked back; it says later what had not
        begun (`returned`)."""
        unsent = {name for name in tasks if self._unsent.pop(name, None) is not None}
        for session, held in self._holders(pool, tasks):
            self._last_recall += 1
            self._recalls[self._last_recall] = (session, asyncio.get_running_loop().create_future())
            session.recall(self._last_recall, held)
        return unsent

    async def recalled(self, pool: bytes) -> None:
        """Return when the machines of a pool have said what they give back of all that was asked for by now, or do
        not answer."""
        asked = {
            request: future
            for request, (session, future) in self._recalls.items()
            if _machine(session).pool == pool
        }
        if asked:
            await asyncio.wait(asked.values(), timeout=RECALL_WITHIN)
        for request in asked:  # nobody waits any longer
            self._recalls.pop(request, None)

    def stop_tasks(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """See Engine."""
        stopped: set[tuple[int, int]] = set()
        for session, held in self._holders(pool, tasks):
            session.stop_tasks(held)
            stopped.update(held)
        return stopped

    def _holders(
        self, pool: bytes, tasks: Collection[tuple[int, int]]
    ) -> list[tuple[GrantorSession, list[tuple[int, int]]]]:
        """Return the connected machines that hold any of these tasks, with those that they hold. One that does not
        read what it is sent is connected no longer."""
        group = self._pools.get(pool)
        found = []
        for machine in group.connected() if group is not None else ():
            held = [name for name in tasks if name in machine.leased]
            if held and machine.session is not None and not machine.session.reads():
                machine.end("it does not read what it is sent")
            elif held and machine.session is not None:
                found.append((machine.session, held))
        return found

    # -- giving -------------------------------------------------------------------------------------------

    def _feed(self, pool: bytes) -> None:
        self._due.discard(pool)
        group = self._pools.get(pool)
        if group is None:
            return
        working = group.working()
        if not working:
            self._end_if_all_fail(group)
        given = [self._give(group, machine, session) for machine, session in working]
        if any(given):
            self._wake_soon(pool)  # others have a turn between two shares
        self._tell_queued(group, working)
        self._look_later(pool, [machine for machine, _ in working])

    def _look_later(self, pool: bytes, machines: list[Machine]) -> None:
        if pool not in self._looking and any(keeping([one.load for one in machines])):
            self._looking.add(pool)
            asyncio.get_running_loop().call_later(LOOK_EVERY, self._even_out, pool)

    def _even_out(self, pool: bytes) -> None:
        """Ask back what waits behind long tasks while another machine has workers without any."""
        self._looking.discard(pool)
        group = self._pools.get(pool)
        machines = [machine for machine, _ in group.working()] if group is not None else []
        for machine, keeps in zip(machines, keeping([one.load for one in machines]), strict=True):
            if keeps and machine.session is not None and time.monotonic() - machine.busy > LOOK_EVERY:
                machine.session.recall(frames.NOBODY_WAITS, list(machine.leased))
        self._look_later(pool, machines)

    def _tell_queued(self, group: EndpointMachines, working: list[tuple[Machine, GrantorSession]]) -> None:
        """Tell the machines how many tasks wait, so that they can ask for more workers."""
        queued = self._dispatch.open_in(group.pool) - sum(len(one.leased) for one in group)
        for _, session in working:
            session.send_queue_length(max(0, queued))

    def _give(self, group: EndpointMachines, machine: Machine, session: GrantorSession) -> bool:
        """Give a machine its share; whether there was anything to give."""
        room = min(session.room(), SHARE)
        tasks = self._events.take(group.pool, room) if room > 0 else []
        if not tasks:
            return False
        session.reserve(len(tasks))
        group.last(machine)
        machine.busy = time.monotonic()
        keys = [task[:3] for task in tasks]
        self._unsent.update((task[:2], tasks) for task in tasks)
        self._records.give(machine.id, keys, lambda error: self._recorded(machine, session, tasks, error))
        return True

    def _recorded(
        self, machine: Machine, session: GrantorSession, tasks: list[Assignment], error: Exception | None
    ) -> None:
        wanted = [task for task in tasks if self._unsent.get(task[:2]) is tasks]
        for task in wanted:
            del self._unsent[task[:2]]
        sent = wanted if error is None and not session.is_over else []
        session.send(sent)
        if len(sent) == len(tasks):
            return
        session.reserve(len(sent) - len(tasks))
        if error is not None:
            log.error("tasks for %s wait: %s", machine.name, error)
        else:
            names = {task[:2] for task in sent}
            self._records.take_back(machine.id, [task[:3] for task in tasks if task[:2] not in names])
        if not sent:
            self._events.returned(machine.pool, [task[:3] for task in wanted])
        self._wake_soon(machine.pool)

    def _end_if_all_fail(self, group: EndpointMachines) -> None:
        """Note that nobody will run what is queued if no machine that is there can start a worker."""
        failing = [one for one in group.connected() if one.trouble]
        if failing and self._dispatch.open_in(group.pool):
            told = "; ".join(f"{one.name}: {one.trouble}" for one in failing)
            self._events.broken(group.pool, f"no worker of endpoint {group.endpoint} can start: {told}")

    # -- GrantorEvents --------------------------------------------------------------------------------------

    def settled(self, session: GrantorSession) -> None:
        """See GrantorEvents."""
        self._wake_soon(_machine(session).pool)

    def has_credit(self, session: GrantorSession) -> None:
        """See GrantorEvents."""
        self._wake_soon(_machine(session).pool)

    def began(self, tasks: list[tuple[int, int, int, float]]) -> None:
        """See GrantorEvents."""
        if tasks:
            self._events.began(b"", tasks)

    def output(self, tasks: list[tuple[int, int, Written]]) -> None:
        """See GrantorEvents."""
        for batch, position, part in tasks:
            self._events.output(b"", batch, position, part)

    def ended(self, session: GrantorSession, outcomes: list[TaskEnded]) -> None:
        """See GrantorEvents."""
        machine = _machine(session)
        machine.busy, pool = time.monotonic(), machine.pool
        if whole := [one for one in outcomes if one.status != LOST]:
            self._events.ended(pool, whole)
        for one in outcomes:
            if one.status == LOST:
                self._lost(session, one)

    def _lost(self, session: GrantorSession, one: TaskEnded) -> None:
        machine = _machine(session)
        reason = reason_of(one)
        told = Reason(f"on {machine.name}: {reason.message}", reason.exit_code, reason.began)
        self._events.lost(
            machine.pool, one.batch, one.position, one.attempt, told, output=one.output, worker=one.worker
        )

    def progress(self) -> tuple[int, int]:
        """See GrantorEvents."""
        return self._events.progress()

    def stored(self) -> None:
        """Note that more outcomes are stored: tell those whose reports are among them."""
        count = self._events.progress()[1]
        for group in self._pools.values():
            for machine in group.connected():
                assert machine.session is not None
                machine.session.stored(count)

    def shared_gone(self, names: list[str]) -> None:
        """Note that these bodies are deleted: machines need not keep those that are shared values."""
        for group in self._pools.values():
            for machine in group.connected():
                assert machine.session is not None
                machine.session.shared_gone(names)

    def returned(self, session: GrantorSession, tasks: list[Key]) -> None:
        """See GrantorEvents."""
        machine = _machine(session)
        self._records.take_back(machine.id, tasks)
        self._events.returned(machine.pool, tasks)
        self._wake_soon(machine.pool)

    def recall_answered(self, session: GrantorSession, request: int) -> None:
        """See GrantorEvents."""
        asked, future = self._recalls.get(request, (None, None))
        if asked is not session or future is None:
            return  # another machine was asked, or nobody waits any longer
        del self._recalls[request]
        if not future.done():
            future.set_result(None)

    def failed(self, session: GrantorSession, message: str) -> None:
        """See GrantorEvents."""
        machine = _machine(session)
        news, machine.trouble = message[:1000] != machine.trouble, message[:1000]
        if news and message:
            log.warning("no worker can start on %s: %s", machine.name, machine.trouble)
        self._wake_soon(machine.pool)

    def state(self, session: GrantorSession, document: dict[str, object]) -> None:
        """See GrantorEvents."""
        machine = _machine(session)
        machine.state = document
        machine.heard()
        self._wake_soon(machine.pool)

    def leaving(self, session: GrantorSession) -> None:
        """See GrantorEvents. It is forgotten, unless it leaves something behind."""
        machine = _machine(session)
        group = self._pools.get(machine.pool)
        if group is not None and not machine.leased:
            group.remove(machine)


def _machine(session: GrantorSession) -> Machine:
    return cast(Machine, session.granted)
