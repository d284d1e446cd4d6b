"""The engine of an endpoint whose workers are elsewhere: it listens for pilots and gives them tasks.

    wake, credit -> taken -> recorded as given -> sent to a pilot ... ended | returned
    a pilot is gone -> what it had counts as begun: lost, with host, job and the scheduler's reason

Implements `endpoint.pool.engine.Engine` and `endpoint.leases.grantor.GrantorEvents`. Owner: the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from compute_executor._version import __version__
from compute_executor.endpoint.leases import frames
from compute_executor.endpoint.leases.balance import Load, keeping
from compute_executor.endpoint.leases.bodies import BodyExchange
from compute_executor.endpoint.leases.grantor import GrantorSession, reason_of
from compute_executor.endpoint.leases.send_list import SendList
from compute_executor.endpoint.pilots.pilot_leases import PilotLeases
from compute_executor.endpoint.pilots.records import PilotRecords
from compute_executor.endpoint.pilots.wire import PilotWire, accept
from compute_executor.endpoint.pool.events import EngineEvents, TaskEnded, WorkerView
from compute_executor.endpoint.pool.scheduling_policy import Assignment, DurationEstimates
from compute_executor.endpoint.worker.messages import Key
from compute_executor.errors import ComputeError
from compute_executor.protocol.frames import EXCEPTION, LOST, VALUE, Blob, PoolSpec, Reason, Written
from compute_executor.protocol.resources import offer_from

if TYPE_CHECKING:
    from compute_executor.endpoint.environments.environment import Environment

log: logging.Logger = logging.getLogger(__name__)

GONE_AFTER = 15.0
"""Seconds that a pilot whose connection has ended has to come back, unless its job is known to have ended."""

SILENT_AFTER = 20.0
"""Seconds without a sign of life after which a connection counts as ended."""

LOOK_EVERY = 0.25
"""Seconds between two looks at which pilots are silent or gone."""

PREFETCH = 0.02
"""Seconds of work that a pilot has ahead of each worker: it counts as begun if all of the pilot's machine dies."""

SHARE = 128
"""Tasks given to one pilot before the next has its turn."""

ALONE_AFTER = 0.7
"""Seconds after which a worker that died counts as having died alone: a scheduler ends a whole job at once."""

REASON_WITHIN = 10.0
"""Seconds for the scheduler to say why a pilot was ended, before its tasks are told as lost without."""

RECALL_WITHIN = 3.0
"""Seconds for pilots to give back what they were asked for."""

MOST_HANDSHAKES = 128
"""Connections over which nobody has proven to be a pilot yet: the oldest leaves for a newcomer, whose proof takes
moments."""

CLOSING = 10.0
"""Seconds that the last bytes may take to be read before a connection is cut."""

END_WITHIN = 5.0
"""Seconds for pilots to report what they stopped, at the end."""


class PilotEngine:
    """See the module. ``shared``: what the tasks of a batch share; ``reason``: why a slot has ended, as the scheduler
    says; ``job``: what people call a slot; ``changed``: called when there are more or fewer workers."""

    def __init__(
        self,
        events: EngineEvents,
        pool: bytes,
        records: PilotRecords,
        blobs: Path,
        *,
        shared: Callable[[int], Sequence[Blob]] = lambda _: (),
        reason: Callable[[str], str | None] = lambda _: None,
        job: Callable[[str], str] = str,
        look_soon: Callable[[], object] = lambda: None,
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self._events = events
        self._pool = pool
        self._records = records
        self._blobs = blobs
        self._shared = shared
        self._reason = reason
        self._job = job
        self._look_soon = look_soon
        self._changed = changed
        self._pilots: dict[str, PilotLeases] = {}
        self._streams: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self._estimates = DurationEstimates()
        self._put = self._kept = 0
        self._due = self._closing = False
        self._recalls: dict[int, tuple[int, Callable[[], None]]] = {}
        self._last_recall = 0

    # -- listening ----------------------------------------------------------------------------------------

    async def listen(self, host: str, port: int, key: bytes) -> int:
        """Let pilots connect that know the key; the port. Raises OSError."""
        handshakes: dict[asyncio.Task[None], None] = {}  # oldest first
        loop = asyncio.get_running_loop()

        async def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._streams.add(task)
            if len(handshakes) >= MOST_HANDSHAKES:
                next(iter(handshakes)).cancel()
            handshakes[task] = None
            try:
                wire = await accept(reader, writer, key)
                handshakes.pop(task, None)
                await self._serve(wire)
            except ComputeError as error:
                log.warning("a connection of a pilot has ended: %s", error)
            except asyncio.CancelledError:
                pass
            finally:
                handshakes.pop(task, None)
                self._streams.discard(task)
                writer.close()
                loop.call_later(CLOSING, writer.transport.abort)  # also of a peer that reads nothing

        self._server = await asyncio.start_server(opened, host, port, limit=1 << 20)
        self._watch = asyncio.ensure_future(self._look())
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, wire: PilotWire) -> None:
        hello = msgspec.json.decode(await wire.receive(), type=frames.HolderHello)
        welcome = frames.GrantorWelcome(frames.PROTOCOL, __version__, time.time(), str(self._blobs))
        await wire.send(msgspec.json.encode(welcome))
        pilot = self._pilots.setdefault(hello.machine, PilotLeases(hello, self._job(hello.label[:255])))
        pilot.end()
        send = SendList()
        session = GrantorSession(
            pilot,
            self,
            send,
            BodyExchange(self._blobs, send),
            code=self._events.function_code,
            shared=self._shared,
        )
        running = [
            asyncio.ensure_future(send.write_to(wire.send)),
            asyncio.ensure_future(_hear(wire, session)),
        ]
        pilot.session, pilot.gone_since, pilot.heard = session, 0.0, time.monotonic()
        pilot.end = running[1].cancel
        log.info("a pilot on %s is connected", pilot.name)
        session.begin()
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            wire.close()
            session.end()
            self._disconnected(hello.machine, pilot, session)

    def _disconnected(self, machine: str, pilot: PilotLeases, session: GrantorSession) -> None:
        if pilot.session is not session:
            return
        pilot.disconnected(time.monotonic())
        self._finish_recalls()
        if not pilot.losses and (not pilot.leased or self._reason(pilot.slot) is not None):
            self._gone(machine, pilot)
        self._changed()

    async def _look(self) -> None:
        """End silent connections, and give up pilots that do not come back."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = time.monotonic()
            self._even_out(now)
            for machine, pilot in list(self._pilots.items()):
                self._tell_losses(pilot)
                if pilot.session is not None and now - pilot.heard > SILENT_AFTER:
                    log.warning("the pilot on %s says nothing: its connection is ended", pilot.name)
                    pilot.end()
                elif (
                    pilot.session is None
                    and not pilot.losses
                    and (now - pilot.gone_since > GONE_AFTER or self._reason(pilot.slot) is not None)
                ):
                    self._gone(machine, pilot)

    def _even_out(self, now: float) -> None:
        """Ask back what waits behind long tasks while a worker of another pilot has none."""
        staying = [one for one in self._working() if not one.ending and not one.ended_by_us]
        loads = [Load(one.workers, one.occupied) for one in staying]
        for pilot, keeps in zip(staying, keeping(loads), strict=True):
            if keeps and pilot.session is not None and now - pilot.busy > LOOK_EVERY:
                pilot.session.recall(frames.NOBODY_WAITS, list(pilot.expected))

    def _working(self) -> list[PilotLeases]:
        """Return those with a connection, the least busy first."""
        connected = [one for one in self._pilots.values() if one.session is not None]
        return sorted(connected, key=lambda one: one.occupied - one.workers)

    def _gone(self, machine: str, pilot: PilotLeases) -> None:
        """Note that a pilot will not come back: what it had been sent counts as begun."""
        self._pilots.pop(machine, None)
        keys = pilot.keys()
        pilot.leased.clear()
        if pilot.losses:
            self._tell_lost(
                pilot, [one for _, one in pilot.losses], f"; all workers there were ended: {pilot.ending}"
            )
        if not keys:
            return
        why = self._reason(pilot.slot) or "its connection was lost and it did not come back"
        log.warning("the pilot on %s is gone with %d tasks: %s", pilot.name, len(keys), why)
        for key in keys:
            self._count(1, kept=False)
            self._events.lost(self._pool, *key, Reason(f"the workers on {pilot.name} are gone: {why}"))

    # -- for whoever scales -------------------------------------------------------------------------------

    def workers(self) -> list[WorkerView]:
        """See Engine. They are shown by their pilots."""
        return []

    def shared_gone(self, names: list[str]) -> None:
        """Note that nobody needs these shared values any more."""
        for pilot in self._pilots.values():
            if pilot.session is not None:
                pilot.session.shared_gone(names)

    def count(self) -> int:
        """Return how many workers the connected pilots have."""
        return sum(one.workers for one in self._pilots.values() if one.session is not None)

    def pilots(self) -> list[PilotLeases]:
        """Return all of them."""
        return list(self._pilots.values())

    def end_slot(self, slot: str) -> None:
        """Tell the pilots of a slot to end when what they run has ended."""
        for pilot in self._pilots.values():
            if pilot.slot == slot and pilot.session is not None:
                pilot.ended_by_us = True
                pilot.session.end_holder(drain=True)

    # -- Engine -------------------------------------------------------------------------------------------

    def open(self, pool: bytes, spec: PoolSpec, environment: Environment | None = None) -> None:
        """See Engine. Pilots know themselves which workers they have."""

    def close_pool(self, pool: bytes) -> None:
        """See Engine. There is one pool, for as long as the endpoint runs."""

    def wake(self, pool: bytes) -> None:  # noqa: ARG002
        """See Engine. Also called when more is stored."""
        self._acknowledge()
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._feed)

    def withdraw(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:  # noqa: ARG002
        """See Engine. What pilots have is asked back by `recall`."""
        return set()

    def recall(self, tasks: list[frames.TaskName], done: Callable[[], None]) -> None:
        """Ask pilots for these; ``done`` is called when they have answered, or do not."""
        asked = self._holders(tasks)
        if not asked:
            done()
            return
        self._last_recall += 1
        self._recalls[self._last_recall] = (len(asked), done)
        for session, held in asked:
            session.recall(self._last_recall, held)
        asyncio.get_running_loop().call_later(RECALL_WITHIN, self._finish_recall, self._last_recall)

    def _finish_recall(self, request: int) -> None:
        found = self._recalls.pop(request, None)
        if found is not None:
            found[1]()

    def _finish_recalls(self) -> None:
        for request in list(self._recalls):
            self._finish_recall(request)

    def stop_tasks(self, pool: bytes, tasks: Collection[tuple[int, int]]) -> set[tuple[int, int]]:  # noqa: ARG002
        """See Engine."""
        stopped: set[tuple[int, int]] = set()
        for session, held in self._holders(tasks):
            session.stop_tasks(held)
            stopped.update(held)
        return stopped

    def _holders(
        self, tasks: Collection[tuple[int, int]]
    ) -> list[tuple[GrantorSession, list[tuple[int, int]]]]:
        found = []
        for pilot in self._pilots.values():
            held = [name for name in tasks if name in pilot.leased]
            if held and pilot.session is not None:
                found.append((pilot.session, held))
        return found

    async def close(self) -> None:
        """See Engine. Pilots stop what runs, and say so."""
        self._closing = True
        for pilot in self.pilots():
            if pilot.session is not None:
                pilot.ended_by_us = True
                pilot.session.end_holder(drain=False)
        deadline = time.monotonic() + END_WITHIN
        while any(one.session is not None for one in self.pilots()) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for machine, pilot in list(self._pilots.items()):
            self._gone(machine, pilot)
        if self._watch is not None:
            self._watch.cancel()
        if self._server is not None:
            self._server.close()
        for stream in list(self._streams):
            stream.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)

    # -- giving -------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        self._due = False
        if self._closing:
            return
        working = [(one, one.session) for one in self._working() if one.session is not None]
        while sum(self._give(pilot, session) for pilot, session in working):
            pass

    def _give(self, pilot: PilotLeases, session: GrantorSession) -> bool:
        tasks = self._take(pilot, min(session.room(), SHARE))
        if not tasks:
            return False
        session.reserve(len(tasks))
        pilot.busy = time.monotonic()
        self._records.give([task[:3] for task in tasks])
        session.send(tasks)
        return True

    def _take(self, pilot: PilotLeases, room: int) -> list[Assignment]:
        """As many tasks as fill the pilot's time, by what their functions lately took; one of a function that is not
        known counts for much."""
        taken: list[Assignment] = []
        budget = PREFETCH * pilot.workers
        while len(taken) < room and (pilot.ahead < budget or pilot.occupied <= pilot.workers):
            some = self._events.take(self._pool, 1)
            if not some:
                break
            taken += some
            pilot.expect(some[0], self._estimates.expected(some[0].function))
        return taken

    # -- GrantorEvents --------------------------------------------------------------------------------------

    def settled(self, session: GrantorSession) -> None:  # noqa: ARG002
        """See GrantorEvents."""
        self.wake(self._pool)

    def has_credit(self, session: GrantorSession) -> None:  # noqa: ARG002
        """See GrantorEvents."""
        self.wake(self._pool)

    def began(self, tasks: list[tuple[int, int, int, float]]) -> None:
        """See GrantorEvents."""
        self._events.began(self._pool, tasks)

    def output(self, tasks: list[tuple[int, int, Written]]) -> None:
        """See GrantorEvents."""
        for batch, position, part in tasks:
            self._events.output(self._pool, batch, position, part)

    def ended(self, session: GrantorSession, outcomes: list[TaskEnded]) -> None:
        """See GrantorEvents."""
        if not outcomes:
            return
        pilot = cast(PilotLeases, session.granted)
        pilot.busy = time.monotonic()
        for one in outcomes:
            function = pilot.has_ended((one.batch, one.position))
            if function is not None and one.status in (VALUE, EXCEPTION):
                self._estimates.learn(function, 1, one.ended - one.began)
        lost = [one for one in outcomes if one.status == LOST]
        if whole := [one for one in outcomes if one.status != LOST]:
            self._count(len(whole), kept=self._records.keep(whole))
            self._events.ended(self._pool, whole)
        if pilot.ended_by_us:
            self._tell_lost(pilot, lost, "")
        else:
            pilot.losses += [(time.monotonic(), one) for one in lost]

    def _tell_lost(self, pilot: PilotLeases, outcomes: list[TaskEnded], why: str) -> None:
        for one in outcomes:
            reason = reason_of(one)
            told = Reason(f"on {pilot.name}: {reason.message}{why}", reason.exit_code, reason.began)
            self._count(1, kept=False)
            self._events.lost(
                self._pool, one.batch, one.position, one.attempt, told, output=one.output, worker=one.worker
            )

    def _tell_losses(self, pilot: PilotLeases) -> None:
        """Tell of what was lost when it is known whether its worker died alone, or was ended with its pilot and
        why."""
        reason = self._reason(pilot.slot)
        patience = ALONE_AFTER if pilot.session is not None and not pilot.ending else REASON_WITHIN
        if not pilot.losses or (reason is None and time.monotonic() - pilot.losses[0][0] < patience):
            return
        losses, pilot.losses = pilot.losses, []
        why = f"; all workers there were ended: {reason or pilot.ending}" if reason or pilot.ending else ""
        self._tell_lost(pilot, [one for _, one in losses], why)

    def _count(self, number: int, *, kept: bool) -> None:
        """So many more outcomes go to the holder, which counts the same ones; ``kept``: they are on the disk."""
        safe = self.progress()[1] >= self._put
        self._put += number
        if safe and kept:
            self._kept = self._put

    def progress(self) -> tuple[int, int]:
        """See GrantorEvents. What is on this endpoint's disk counts as stored: pilots may forget it."""
        return self._put, max(self._kept, self._events.progress()[1])

    def _acknowledge(self) -> None:
        """Note that more is stored: have pilots forget it, and make room in our own files."""
        self._records.stored(self._put, self._events.progress()[1])
        count = self.progress()[1]
        for pilot in self._pilots.values():
            if pilot.session is not None:
                pilot.session.stored(count)

    def returned(self, session: GrantorSession, tasks: list[Key]) -> None:
        """See GrantorEvents."""
        pilot = cast(PilotLeases, session.granted)
        for key in tasks:
            pilot.has_ended(key[:2])
        if tasks:
            self._events.returned(self._pool, tasks)
            self.wake(self._pool)

    def recall_answered(self, session: GrantorSession, request: int) -> None:  # noqa: ARG002
        """See GrantorEvents."""
        found = self._recalls.get(request)
        if found is None:
            return
        if found[0] > 1:
            self._recalls[request] = (found[0] - 1, found[1])
        else:
            self._finish_recall(request)

    def failed(self, session: GrantorSession, message: str) -> None:
        """See GrantorEvents. The pilot ends by itself."""
        if message:
            pilot = cast(PilotLeases, session.granted)
            log.warning("no worker can start on %s: %s", pilot.name, message)

    def state(self, session: GrantorSession, document: dict[str, Any]) -> None:
        """See GrantorEvents."""
        pilot = cast(PilotLeases, session.granted)
        pilot.heard = time.monotonic()
        if ending := document.get("ending"):
            pilot.ending = str(ending)[:200]
            self._look_soon()
        pilot.offer = offer_from(document.get("offer")) or pilot.offer
        workers = document.get("workers")
        if isinstance(workers, int) and workers != pilot.workers:
            pilot.workers = max(0, workers)
            self._changed()

    def leaving(self, session: GrantorSession) -> None:
        """See GrantorEvents."""
        pilot = cast(PilotLeases, session.granted)
        pilot.workers = 0
        self._changed()


async def _hear(wire: PilotWire, session: GrantorSession) -> None:
    while True:
        session.received(await wire.receive())
