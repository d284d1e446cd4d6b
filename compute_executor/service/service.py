"""The one coordinator: what every peer asks of the service, and nothing of how it asks.

    register -> submit -> (commit) -> queue -> engine -> outcome -> (commit) -> subscribers

All state belongs to the loop thread; every method is called on it. Each step has a room of its own:
`functions`, `submissions`, `open_batches`, `dispatch`, `events` (from engines), `outcomes`, `groups` (to
subscribers), `pools`, `recovery` (after a restart), `retention`; `committer` and `store` below them all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute_executor.endpoint import rings
from compute_executor.errors import InvalidRequest, ServiceUnavailable
from compute_executor.protocol.frames import Body, PoolSpec, Result, Submit
from compute_executor.service.access import Identity
from compute_executor.service.blob_care import BlobCare
from compute_executor.service.blobs import BlobFolder
from compute_executor.service.committer import Committer
from compute_executor.service.dispatch import Batch, Dispatch
from compute_executor.service.endpoint_ids import BUILT_IN
from compute_executor.service.events import EngineEvents, cancelled_entries
from compute_executor.service.functions import Description, Functions, Sharing, new_function
from compute_executor.service.groups import Groups, Subscriber
from compute_executor.service.limits import Limits
from compute_executor.service.open_batches import OpenBatches
from compute_executor.service.outcomes import Entry, Outcomes
from compute_executor.service.pools import Pools
from compute_executor.service.recovery import orphaned_pools, restore
from compute_executor.service.retention import Retention
from compute_executor.service.rows import FunctionRow, KnownSubmit
from compute_executor.service.store import Store
from compute_executor.service.submissions import Key, Submissions
from compute_executor.service.views import TaskView, Views

if TYPE_CHECKING:
    from compute_executor.endpoint.engine import Engine
    from compute_executor.endpoint.events import Events

START_PATIENCE, CLOSE_PATIENCE = 10.0, 3.0
"""Seconds that outcomes may take to be stored at the start and at the end of a service."""
READ_AGAIN = 1.0
"""Seconds until arguments that could not be read are tried again."""
FAREWELL = 1.0
"""Seconds that clients have to be told that the service ends."""

Tasks = list[tuple[bytes, list[int]]]  # prefix and positions


class Service:
    """One service. ``engine`` makes the engine when the service starts; ``rings`` is where its workers keep theirs.

    The store is open already and is closed by `close`. ``default_pool``: the workers for tasks without a pool.
    """

    def __init__(
        self,
        store: Store,
        blobs: BlobFolder,
        rings_folder: Path,
        engine: Callable[[Events], Engine],
        *,
        default_pool: PoolSpec | None = None,
        limits: Limits = Limits(),  # noqa: B008 - a tuple
    ) -> None:
        loop = asyncio.get_running_loop()
        self.limits = limits
        self.blobs = blobs
        self.endpoint = BUILT_IN
        self._store, self._rings = store, rings_folder
        self._committer = Committer(store, loop)
        self._blob_care = BlobCare(blobs, limits.body)
        self._dispatch = Dispatch()
        self._functions = Functions(store.read, self._committer, self._blob_care, limits)
        self._groups = Groups(store.read)
        self._pools = Pools(self._committer, self._dispatch, default_pool, limits, loop)
        self._batches = OpenBatches(
            read=store.read,
            dispatch=self._dispatch,
            functions=self._functions,
            groups=self._groups,
            budget=limits.decoded_tasks,
            wake=self._wake,
            wake_later=lambda pool: loop.call_later(READ_AGAIN, self._wake, pool),
        )
        self._submissions = Submissions(
            committer=self._committer,
            functions=self._functions,
            groups=self._groups,
            pools=self._pools,
            blobs=self._blob_care,
            batches=self._batches,
            limits=limits,
        )
        self._outcomes = Outcomes(
            self._committer, loop, self._batches.with_blobs, self._stored, self._wake_all
        )
        self._retention = Retention(
            store.read, self._committer, self._blob_care, limits, self._groups.take_acknowledged
        )
        self._events = EngineEvents(
            dispatch=self._dispatch,
            batches=self._batches,
            outcomes=self._outcomes,
            functions=self._functions,
            groups=self._groups,
            pools=self._pools,
            committer=self._committer,
        )
        self._views = Views(store, self._dispatch, self._outcomes, self._pools)
        self._make_engine = engine
        self._connections: set[Subscriber] = set()

    # -- life ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Go on where the service before ended; then let the workers start. Raises ServiceUnavailable."""
        found = restore(self._store.read, self._batches, self._rings)
        await self._committer.commit(lambda writer: writer.next_attempts(found.again))
        self._outcomes.put(found.lost)
        await self._all_stored(START_PATIENCE)
        rings.clear(self._rings)
        self._blob_care.sweep(self._store.read.blob_in_use, self.limits.keep_orphans)
        self._engine = self._pools.engine = self._make_engine(self._events)
        for row in self._store.read.pools():
            self._pools.restore(row)
        for pool in orphaned_pools(self._dispatch.pools(), self._pools.exists):
            self._events.end_queued(pool, f"the pool {pool.hex()} of this task is gone")
        self._wake_all()
        self._retention.start()

    async def close(self) -> None:
        """End workers, store what they brought, close the store. What is open stays for the next start."""
        self._pools.stop()
        await self._engine.close()
        with contextlib.suppress(ServiceUnavailable):  # the rings tell the next start of them
            await self._all_stored(CLOSE_PATIENCE)
        await self._retention.stop()
        await self._committer.close()
        self._store.close()

    async def _all_stored(self, patience: float) -> None:
        try:
            await asyncio.wait_for(self._outcomes.all_stored(), patience)
        except asyncio.TimeoutError:
            raise ServiceUnavailable(
                "outcomes cannot be stored: is the disk full? See the service's log"
            ) from None

    # -- functions ----------------------------------------------------------------------------------------

    async def register(  # noqa: PLR0917 - the fields of a registration, in the order of the wire
        self,
        who: Identity,
        digest: bytes,
        name: str,
        code: Body,
        description: str = "",
        metadata: dict[str, Any] | None = None,
        public: bool = False,
        group: str | None = None,
        container: bytes | None = None,
    ) -> bytes:
        """The id (16 bytes) of a function; the same for the same code, sharing and owner. Returns when stored."""
        size = len(code) if isinstance(code, bytes) else code.size
        shared = Sharing(public, group, container)
        row = new_function(who.id, digest, Description(name, description, metadata or {}), shared, size)
        return await self._functions.register(row, code)

    def function(self, who: Identity, function: bytes) -> FunctionRow:
        """A function that ``who`` may see. Raises NotFound."""
        return self._functions.row(who, function)

    def function_body(self, who: Identity, function: bytes) -> Body:
        """The code of a function that ``who`` may see. Raises NotFound."""
        return self._functions.body(who, function)

    async def delete_function(self, who: Identity, function: bytes) -> None:
        """Nobody can submit it any more; open tasks of it still run. Raises NotFound."""
        await self._functions.delete(who, function)

    # -- tasks --------------------------------------------------------------------------------------------

    async def submit(self, who: Identity, batch: Submit, key: Key | None = None) -> None:
        """Accept a batch; returns when it is stored. The same prefix again runs nothing. Raises ComputeError."""
        await asyncio.shield(self.submit_soon(who, batch, key))

    def submit_soon(self, who: Identity, batch: Submit, key: Key | None = None) -> asyncio.Future[None]:
        """The same, for callers that go on meanwhile: checked now, in order; the future is done when stored."""
        return self._submissions.submit(who, batch, key)

    def known_submit(self, who: Identity, key: Key) -> KnownSubmit | None:
        """What was submitted with this Idempotency-Key before. Raises InvalidRequest if it was something else."""
        text, digest = key
        found = self._store.read.known_submit(who.id, text)
        if found is not None and found.digest != digest:
            raise InvalidRequest(
                "this Idempotency-Key came before with another request: use a new one for a new batch"
            )
        return found

    async def cancel(self, who: Identity, tasks: Tasks) -> Tasks:
        """Withdraw what has not begun; which tasks surely will not run. Returns when that is stored."""
        await self._submissions.settled(prefix for prefix, _ in tasks)
        cancelled = [(prefix, self._cancel(who, prefix, positions)) for prefix, positions in tasks]
        await asyncio.shield(self._outcomes.all_stored())
        return [(prefix, positions) for prefix, positions in cancelled if positions]

    def _cancel(self, who: Identity, prefix: bytes, positions: list[int]) -> list[int]:
        batch = self._dispatch.by_prefix(prefix)
        if batch is None or batch.owner != who.id:
            return []
        done, leased = self._dispatch.cancel(batch, positions)
        if leased:
            withdrawn = self._engine.withdraw(
                batch.lane.pool, [(batch.number, position) for position in leased]
            )
            done += self._dispatch.withdrawn(batch, [position for _, position in withdrawn])
        self._outcomes.put(cancelled_entries(batch, done))
        if not self._dispatch.open_in(batch.lane.pool):
            self._pools.emptied(batch.lane.pool)
        return done

    def task(self, who: Identity, prefix: bytes, position: int) -> TaskView:
        """One task. Raises NotFound."""
        return self._views.task(who, prefix, position)

    def group_tasks(self, who: Identity, group: bytes) -> list[tuple[bytes, int]]:
        """Prefix and count of every batch of a group. Raises NotFound."""
        self._groups.known(who, group)
        return self._store.read.group_batches(group)

    # -- pools --------------------------------------------------------------------------------------------

    async def open_pool(
        self, who: Identity, pool: bytes, spec: PoolSpec, user: Subscriber | None = None
    ) -> None:
        """Start workers of one's own. They live until closed, or until ``user`` and all others are gone for long."""
        await self._pools.open(who, pool, spec, user)

    def close_pool(self, who: Identity, pool: bytes) -> None:
        """No more tasks will come; the workers end when the pool is empty."""
        self._pools.close(who, pool)

    # -- subscribers --------------------------------------------------------------------------------------

    def connect(self, subscriber: Subscriber) -> None:
        """Somebody is there: the service is not idle."""
        self._connections.add(subscriber)

    def subscribe(self, who: Identity, subscriber: Subscriber, group: bytes, after: int = 0) -> int:
        """Push outcomes of a group from now on; the number after which earlier ones are found by `replay`."""
        self._connections.add(subscriber)
        return max(after, self._groups.subscribe(who, subscriber, group))

    def replay(self, group: bytes, after: int, limit: int) -> tuple[list[Result], int, bool]:
        """Stored outcomes of a subscribed group; see `groups.Groups.replay`."""
        return self._groups.replay(group, after, limit)

    def ack(self, who: Identity, group: bytes, seq: int) -> None:
        """The client has set the futures of all outcomes of the group up to ``seq``."""
        self._groups.acknowledge(who, group, seq)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Somebody is gone; their pools wait a while for them."""
        self._connections.discard(subscriber)
        self._groups.unsubscribe(subscriber)
        self._pools.leave(subscriber)

    async def farewell(self, reason: str) -> None:
        """Tell everybody connected that the service ends, as far as they listen."""
        told = [asyncio.ensure_future(subscriber.goodbye(reason)) for subscriber in self._connections]
        if told:
            _, deaf = await asyncio.wait(told, timeout=FAREWELL)
            for task in deaf:
                task.cancel()

    # -- how it is doing ----------------------------------------------------------------------------------

    def busy(self) -> bool:
        """Whether anything is open or anybody connected."""
        waiting = self._submissions.pending or self._outcomes.pending or not self._committer.idle
        return bool(self._connections or self._dispatch.open or waiting)

    def overview(self) -> dict[str, Any]:
        """What `status` shows: tasks by state, workers, pools, uptime; plain values."""
        return self._views.overview(self._engine, len(self._connections))

    # -- after commits ------------------------------------------------------------------------------------

    def _stored(self, first: int, entries: list[Entry], finished: list[Batch], unused: list[str]) -> None:
        for batch in finished:
            self._batches.finish(batch)
        self._groups.stored(first, entries)
        self._blob_care.delete(unused)

    def _wake(self, pool: bytes) -> None:
        self._engine.wake(pool)

    def _wake_all(self) -> None:
        for pool in self._pools.running():
            self._engine.wake(pool)
