"""The coordinator: the operations that clients ask for, whatever protocol they come by.

    register -> submit -> (commit) -> queue -> engine -> outcome -> (commit) -> subscribers

All state belongs to the loop thread; every method is called on it. Each step is a component of its own, which
`wiring` constructs: `tasks.functions`, `tasks.submissions`, `scheduling.dispatch`, `endpoints.engines`,
`tasks.engine_reports` (from engines), `tasks.outcomes`, `tasks.groups` (to subscribers); beside them `pools`,
`tasks.cancelling`, `tasks.recovery` (after a restart) and `tasks.retention`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute_executor.endpoint.pool import leftovers
from compute_executor.endpoint.worker import begun_log
from compute_executor.errors import ComputeError, InvalidRequest, ServiceUnavailable
from compute_executor.protocol.frames import (
    Blob,
    Body,
    PoolSpec,
    ProgramInfo,
    Register,
    Registered,
    Result,
    Submit,
)
from compute_executor.protocol.ids import TaskPositions
from compute_executor.service.access import SERVICE, Identity, check, may, shareable
from compute_executor.service.agents.kind import Agents
from compute_executor.service.audit import Audit
from compute_executor.service.auth.accounts.accounts import Accounts
from compute_executor.service.auth.open_streams import OpenStreams
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.blobs.rights import BlobRights
from compute_executor.service.endpoints.ids import BUILT_IN
from compute_executor.service.endpoints.registry import Endpoints
from compute_executor.service.endpoints.rows import EndpointRow
from compute_executor.service.globus_compute.peers import GlobusCompute
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.pools.containers import Containers
from compute_executor.service.pools.subscriber import Subscriber
from compute_executor.service.quotas import is_bounded, require_quota
from compute_executor.service.store.rows import FunctionRow, GroupBatch, KnownSubmit
from compute_executor.service.tasks.additions import Addition
from compute_executor.service.tasks.cancelling import CancelReport
from compute_executor.service.tasks.functions import FunctionDescription, FunctionSharing, new_function
from compute_executor.service.tasks.listing import Listing
from compute_executor.service.tasks.outcomes import AHEAD
from compute_executor.service.tasks.printed import Printed
from compute_executor.service.tasks.recovery import orphaned_pools, restore
from compute_executor.service.tasks.status import TaskView
from compute_executor.service.tasks.submissions import Key
from compute_executor.service.wiring import Components

if TYPE_CHECKING:
    from compute_executor.service.run_as.kind import AccountPools

START_PATIENCE, CLOSE_PATIENCE = 10.0, 3.0
"""Seconds that outcomes may take to be stored at the start and at the end of a service."""
LOOK_AGAIN = 0.02
"""Seconds between two checks whether tasks that are being stopped have ended."""
GOODBYE_PATIENCE = 1.0
"""Seconds that sending a goodbye to all clients may take."""


logger: logging.Logger = logging.getLogger(__name__)

WhoIs = Callable[[str], Awaitable[Identity | None]]


class Service:
    """One service over ``parts``, which it starts and closes. ``rings_folder``: where the workers keep their result
    rings. ``who_is``: tells at the start what has become of users (None: gone; ServiceUnavailable: not known now)."""

    def __init__(self, parts: Components, rings_folder: Path, *, who_is: WhoIs | None = None) -> None:
        self.limits: ServiceLimits = parts.limits
        self.blobs: BlobFolder = parts.blob_folder
        self.endpoint = BUILT_IN
        self._rings = rings_folder
        self._parts = parts
        self.endpoints: Endpoints = parts.endpoints
        self.globus_compute: GlobusCompute = parts.globus_compute
        self.agents: Agents = parts.agents
        self.agents.tokens.died = self.token_died
        self.account_pools: AccountPools | None = parts.account_pools
        if self.account_pools is not None:
            self.account_pools.token_died = self.token_died
        self.durable: bool = parts.store.durable
        self.blob_rights: BlobRights = parts.blob_rights
        self.open_streams: OpenStreams = OpenStreams(parts.limits)
        self.audit: Audit = parts.audit
        self.listing: Listing = parts.listing
        self.printed: Printed = parts.printed
        self._who_is = who_is
        self._held = False
        self._connections: set[Subscriber] = set()

    # -- life ---------------------------------------------------------------------------------------------

    async def start(self, *, held: bool = False) -> None:
        """Go on where the service before ended; then let the workers start. ``held``: not before `release`, so that
        stored tasks can be listed and cancelled without being run. Raises ServiceUnavailable."""
        parts = self._parts
        await leftovers.wait_until_gone(self._rings)
        parts.holds.restore(name for (name,) in parts.store.read.rows("part_blobs"))
        found = restore(parts.store.read, parts.batches, self._rings, parts.blobs.holds)
        parts.groups.restore()
        await parts.committer.commit(lambda writer: writer.next_attempts(found.again))
        skipped = AHEAD if parts.dispatch.batches() else 0  # nothing else can be published and not stored
        parts.outcomes.number_from(await parts.committer.commit(lambda writer: writer.skip_numbers(skipped)))
        parts.outcomes.put(found.ended)
        await self._all_stored(START_PATIENCE)
        begun_log.clear(self._rings)
        leftovers.clear(self._rings)
        parts.blobs.sweep(self.limits.keep_orphans)
        parts.large_results.restore(parts.blobs.is_gone)
        identities = await self._identities()
        parts.engines.restore()
        for user, identity in identities.items():
            self.reconsider(user, identity)
        parts.containers.restore()
        await parts.engines.start()
        parts.retention.start()
        self._held = True
        if not held:
            self.release()

    def release(self) -> None:
        """Let the workers of stored pools start, if they do not yet: a client has come that wants tasks to be run."""
        if not self._held:
            return
        self._held = False
        parts = self._parts
        for row in parts.store.read.pools():
            try:
                parts.pools.restore(row)
            except Exception:  # one user's pool: the service goes on, and its tasks end below
                logger.exception("pool %s cannot be restored and is set aside", row.id.hex())
        for batch in parts.dispatch.batches():
            parts.pools.restore_default(batch.owner, batch.pool)
        parts.engines.released(parts.pools.exists)
        for pool in orphaned_pools(parts.dispatch.pools(), parts.exists):
            parts.queues.end_queued(pool, f"the pool {pool.hex()} of this task is gone")
        for pool in parts.dispatch.pools():
            if message := parts.pools.failure(pool):
                parts.queues.end_queued(pool, message)
        parts.queues.wake_all()

    async def _identities(self) -> dict[str, Identity | None]:
        """Return who they are now that had tasks open when the service ended."""
        found: dict[str, Identity | None] = {}
        if self._who_is is None:
            return found
        for user in self.waiting_users():
            with contextlib.suppress(ServiceUnavailable):  # as they were when they submitted
                found[user] = await self._who_is(user)
        return found

    async def close(self) -> None:
        """End workers, store what they brought, close the store. What is open stays for the next start."""
        parts = self._parts
        parts.pools.stop()
        await parts.engines.close()
        await self._parts.environments.close()
        with contextlib.suppress(
            ServiceUnavailable
        ):  # begun logs and result rings show them to the next start
            await self._all_stored(CLOSE_PATIENCE)
            leftovers.clear(self._rings)
        await parts.retention.stop()
        parts.large_results.close()
        parts.holds.close()
        await parts.usage.close()
        await parts.committer.close()
        parts.store.close()

    async def _all_stored(self, patience: float) -> None:
        try:
            await asyncio.wait_for(self._parts.outcomes.all_stored(), patience)
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
        only_on: bytes | None = None,
    ) -> bytes:
        """Return the id (16 bytes) of a function; the same for the same code, sharing and owner. Returns when
        stored."""
        size = len(code) if isinstance(code, bytes) else code.size
        group = shareable(who, group)
        if container is not None:
            self.containers.find(who, container)
        shared = FunctionSharing(public, group, container, only_on)
        row = new_function(
            who.id, digest, FunctionDescription(name, description, metadata or {}), shared, size
        )
        return await self._parts.functions.register(who, row, code)

    async def registered(self, who: Identity, frame: Register) -> Registered:
        """Return the answer to a frame that registers a function. Trouble is in the answer."""
        try:
            function = await self.register(
                who,
                frame.digest,
                frame.name,
                frame.code,
                frame.description,
                frame.metadata,
                frame.public,
                frame.group,
            )
        except ComputeError as error:
            self.audit.refused(who, "a registration", error)
            return Registered(frame.digest, b"", error.document())
        return Registered(frame.digest, function)

    def function(self, who: Identity, function: bytes) -> FunctionRow:
        """Return a function that ``who`` may see. Raises NotFound."""
        return self._parts.functions.row(who, function)

    def find_functions(
        self, who: Identity, text: str = "", *, limit: int = 1000, offset: int = 0
    ) -> list[FunctionRow]:
        """Return functions that ``who`` may see, with this text in name or description: so many after the first
        ``offset``, one's own first, then the newest."""
        return self._parts.functions.visible(who, text, limit, offset)

    def function_body(self, who: Identity, function: bytes) -> Body:
        """Return the code of a function that ``who`` may see. Raises NotFound."""
        return self._parts.functions.body(who, function)

    async def delete_function(self, who: Identity, function: bytes) -> None:
        """Delete a function: no client can submit it any more; open tasks of it still run. Raises NotFound."""
        await self._parts.functions.delete(who, function)

    @property
    def containers(self) -> Containers:
        """What functions can be run in."""
        return self._parts.containers

    # -- tasks --------------------------------------------------------------------------------------------

    async def submit(self, who: Identity, batch: Submit, key: Key | None = None) -> None:
        """Accept a batch; returns when it is stored. The same prefix again runs nothing. Raises ComputeError."""
        await asyncio.shield(self.submit_soon(who, batch, key))

    def submit_soon(self, who: Identity, batch: Submit, key: Key | None = None) -> asyncio.Future[None]:
        """Return the same, for callers that go on meanwhile: checked now, in order; the future is done when
        stored."""
        self.release()
        self._parts.recheck.seen(who)
        return self._parts.submissions.submit(who, batch, key)

    def batch_number(self, prefix: bytes) -> int | None:
        """Return what engines call an open batch."""
        batch = self._parts.dispatch.by_prefix(prefix)
        return None if batch is None else batch.number

    def known_submit(self, who: Identity, key: Key) -> KnownSubmit | None:
        """Return what was submitted with this Idempotency-Key before. Raises InvalidRequest if it was something
        else."""
        text, digest = key
        found = self._parts.store.read.known_submit(who.id, text)
        if found is not None and found.digest != digest:
            raise InvalidRequest(
                "this Idempotency-Key came before with another request: use a new one for a new batch"
            )
        return found

    async def cancel(self, who: Identity, tasks: TaskPositions) -> TaskPositions:
        """Withdraw what has not begun; which tasks surely will not run. Returns when that is stored."""
        return await self._parts.cancelling.cancel(who, tasks)

    async def cancel_group(self, who: Identity, group: bytes, *, running: bool) -> CancelReport:
        """Withdraw what has not begun of a task group and, if ``running``, stop what has. Raises NotFound."""
        return await self._parts.cancelling.cancel_group(who, group, running=running)

    async def cancel_task(
        self, who: Identity, prefix: bytes, position: int, *, running: bool
    ) -> CancelReport:
        """Return the same for one task. Raises NotFound."""
        return await self._parts.cancelling.cancel_task(who, prefix, position, running=running)

    async def discard(self) -> CancelReport:
        """Cancel everything that is open, of all users, and stop what runs; returns when that has ended, or after a
        while."""
        report = await self._parts.cancelling.cancel_all()
        deadline = time.monotonic() + CLOSE_PATIENCE
        while self._parts.cancelling.stopping and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_AGAIN)
        return report

    def task(self, who: Identity, prefix: bytes, position: int) -> TaskView:
        """Return one task. Raises NotFound."""
        return self._parts.status.task(who, prefix, position)

    def group_tasks(self, who: Identity, group: bytes) -> list[GroupBatch]:
        """Return every batch of a group. Raises NotFound."""
        self._parts.groups.known(who, group)
        return self._parts.store.read.group_batches(group)

    # -- pools --------------------------------------------------------------------------------------------

    async def open_pool(
        self, who: Identity, pool: bytes, spec: PoolSpec, user: Subscriber | None = None
    ) -> None:
        """Start workers of one's own. They live until closed, or until ``user`` and all others are gone for long."""
        self.release()
        await self._parts.pools.open(who, pool, spec, user)

    def begin_upload(self, who: Identity, size: int) -> Addition:
        """Count a file that was announced with so many bytes; what `end_upload` is to be given. Raises QuotaExceeded
        if it is too much for this user, StorageFull if it is for the disk."""
        self._parts.disk_space.check()
        if is_bounded(who):
            kept = self._parts.usage.of(who.id)
            require_quota(self.limits, who, "user_stored", kept.bytes, size)
            require_quota(self.limits, who, "user_files", kept.files)
        announced = Addition(who.id, size, files=1)
        self._parts.usage.additions.expect(announced)
        return announced

    def end_upload(self, announced: Addition, file: Blob | None) -> None:
        """Count an uploaded file as it is; None: it was not received."""
        additions = self._parts.usage.additions
        additions.settled(announced, stored=False)
        if file is not None:
            self._parts.disk_space.taken([file])
            received = announced._replace(bytes=file.size)
            additions.expect(received)
            additions.settled(received, stored=True)

    def hold_blobs(self, who: Identity, holder: Subscriber, blobs: list[Blob]) -> None:
        """``holder`` refers to these blobs and may again. What ``who`` may not use, or is not there, is left out."""
        usable = [
            blob
            for blob in blobs
            if self._parts.blobs.holds(blob) and self.blob_rights.may_use(who, blob.name)
        ]
        self._parts.disk_space.taken(usable)
        self._parts.holds.hold(holder, [blob.name for blob in usable])

    def release_blobs(self, holder: Subscriber, names: list[str]) -> None:
        """``holder`` will not name these blobs any more."""
        self._parts.holds.release(holder, names)

    def close_pool(self, who: Identity, pool: bytes) -> None:
        """Note that no more tasks will come; the workers end when the pool is empty."""
        self._parts.pools.close(who, pool)

    # -- registered endpoints -----------------------------------------------------------------------------

    async def delete_endpoint(self, who: Identity, endpoint: uuid.UUID) -> None:
        """Forget a registered endpoint; tasks that wait for it end. Raises NotFound."""
        row = self.endpoints.managed(who, endpoint)
        await self.endpoints.delete(who, endpoint)
        await self._parts.engines.kind(row.kind).deleted(row)

    def holders(self, endpoint: uuid.UUID) -> Agents | AccountPools:
        """Return who speaks with the machine of this endpoint's token: one of our own, or that of a pool of an
        account."""
        pools = self.account_pools
        return pools if pools is not None and pools.runs(endpoint) else self.agents

    def takes_parts(self, who: Identity) -> bool:
        """Return whether workers of ``who`` on the built-in endpoint read large arguments of several calls, and of
        their initializer, in this service's folder: those under an account of their own cannot."""
        return self.account_pools is None or who.id in self._parts.served

    def is_online(self, endpoint: EndpointRow) -> bool:
        """Return whether a registered endpoint was heard of lately."""
        return self._parts.engines.kind(endpoint.kind).online(endpoint)

    def worker_versions(self, endpoint: EndpointRow) -> dict[str, str]:
        """Return the versions of the workers of a registered endpoint by name, as far as they are known."""
        return self._parts.engines.kind(endpoint.kind).versions(endpoint)

    def task_details(self, outcome: Result) -> dict[str, Any]:
        """Return what is known of the workers that ran a task, and when they did."""
        return self._parts.status.task_details(outcome)

    # -- subscribers --------------------------------------------------------------------------------------

    def connect(self, subscriber: Subscriber) -> None:
        """Register an open connection: it keeps the service from ending because it is idle."""
        self._connections.add(subscriber)
        self.release()

    def subscribe(
        self,
        who: Identity,
        subscriber: Subscriber,
        group: bytes,
        after: int = 0,
        program: ProgramInfo | None = None,
    ) -> int:
        """Push outcomes of a group from now on; the number after which earlier ones are found by `replay`.
        ``program``: kept with a group that is new."""
        if is_bounded(who) and not self._parts.groups.listens(subscriber, group):
            require_quota(self.limits, who, "user_groups", self._parts.groups.listened_to(who.id))
        self._connections.add(subscriber)
        floor = self._parts.groups.subscribe(who, subscriber, group, program)
        self._parts.queues.wake_released()
        return max(after, floor)

    def replay(self, group: bytes, after: int, limit: int) -> tuple[list[Result], int, bool]:
        """Earlier outcomes of a subscribed group: those in the store, see `groups.TaskGroups.replay`, then those that
        are published and not stored yet."""
        found, until, all_of_them = self._parts.groups.replay(group, after, limit)
        if all_of_them and (ahead := self._parts.outcomes.ahead(group, until)):
            return [*found, *ahead], ahead[-1].seq, True
        return found, until, all_of_them

    def ack(self, who: Identity, group: bytes, seq: int) -> None:
        """Note that the client has set the futures of all outcomes of the group up to ``seq``."""
        self._parts.groups.acknowledge(who, group, seq)
        self._parts.large_results.acknowledge(group, seq)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Forget a connection. Its pools wait a while for its client to come back."""
        self._connections.discard(subscriber)
        self._parts.groups.unsubscribe(subscriber)
        self._parts.pools.leave(subscriber)
        self._parts.holds.left(subscriber)
        self._parts.queues.wake_released()

    async def say_goodbye(self, reason: str) -> None:
        """Tell everybody connected that the service ends, as far as they listen."""
        goodbyes = [asyncio.ensure_future(subscriber.goodbye(reason)) for subscriber in self._connections]
        if goodbyes:
            _, unanswered = await asyncio.wait(goodbyes, timeout=GOODBYE_PATIENCE)
            for task in unanswered:
                task.cancel()

    # -- users and what changes for them ------------------------------------------------------------------

    def accounts(self) -> Accounts:
        """Return users, groups and tokens as the store has them; made once, by whoever serves them."""
        return Accounts(self._parts.store.read, self._parts.committer.commit)

    def reconsider(self, user: str, identity: Identity | None) -> None:
        """To be called whenever a user's groups or rights change; None: there is no such user any more.

        Queued tasks of theirs whose function or endpoint they may use no more end with NotAuthorized, those that have
        begun go on. Open streams of theirs go on with the new identity, or are closed.
        """
        self.open_streams.changed(user, identity)
        self._parts.recheck.reconsider(user, identity)

    def stream_tokens(self) -> set[bytes]:
        """Return the hashes of the tokens of the open streams."""
        return self.open_streams.tokens()

    def token_died(self, digest: bytes) -> None:
        """To be called when a token is revoked or expires: its streams are closed. ``digest``: its
        `authenticators.token_digest`."""
        self.open_streams.token_died(digest)

    def waiting_users(self) -> set[str]:
        """Return who has open tasks."""
        return {batch.owner for batch in self._parts.dispatch.batches()}

    # -- how it is doing ----------------------------------------------------------------------------------

    def busy(self) -> bool:
        """Return whether anything is open or anybody connected."""
        waiting = (
            self._parts.submissions.pending or self._parts.outcomes.pending or not self._parts.committer.idle
        )
        building = self._parts.environments.pending
        to_run = self._parts.dispatch.open and not self._held
        return bool(self._connections or to_run or waiting or building)

    def overview(self) -> dict[str, Any]:
        """Return what `status` shows: tasks by state, workers, pools, uptime; plain values."""
        return self._parts.status.overview(len(self._connections))

    async def collect(self, older: float | None = None) -> dict[str, int]:
        """Delete what need not be kept any more, and what ended ``older`` seconds ago or before; what went."""
        deleted = await self._parts.retention.clean(time.time(), older=older)
        files = self._parts.blobs.sweep(self.limits.keep_orphans)
        return {**deleted._asdict(), "files": files}

    async def task_figures(
        self, who: Identity, *, everybody: bool, counts_only: bool = False
    ) -> dict[str, Any]:
        """Return the figures of all that is kept of the tasks of ``who``, or of everybody (for an operator); with
        ``counts_only`` those by state alone, for which no store is read. Raises NotFound."""
        if everybody:
            check(who, "see service", SERVICE, "figures of all users")
        figures, owner = self._parts.figures, None if everybody else who.id
        return await (figures.tasks_of(owner) if counts_only else figures.of(owner))

    def figures(self, who: Identity) -> dict[str, Any]:
        """Return what ``who`` is shown of that: all of it, or only the figures of its own tasks."""
        if may(who, "see service", SERVICE):
            return self.overview()
        return self._parts.status.own(who)
