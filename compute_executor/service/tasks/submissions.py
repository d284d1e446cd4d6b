"""Accepting batches: checked, stored, answered, queued, in this order; and each prefix only once.

    submit -> checked -> one operation of the committer -> queued -> the caller's future is done

A prefix is the batch's idempotency key. The same batch again from the same owner is accepted and runs nothing,
whether the first is still on its way, open or finished; another batch under the same prefix is refused, and so is one
of another owner. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import struct
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    PayloadTooLarge,
    ServiceUnavailable,
)
from compute_executor.protocol.frames import INLINE_LIMIT, Blob, Options, Submit
from compute_executor.protocol.ids import PREFIX_BYTES, task_uuid
from compute_executor.protocol.msgpack_header import entries
from compute_executor.protocol.resources import check_fit, check_values, resources_of
from compute_executor.service.access import Identity
from compute_executor.service.blobs.holds import BlobHolds
from compute_executor.service.blobs.references import BlobReferences
from compute_executor.service.blobs.rights import BlobRights
from compute_executor.service.endpoints.engines import Engines
from compute_executor.service.endpoints.ids import BUILT_IN, is_built_in
from compute_executor.service.endpoints.registry import Endpoints
from compute_executor.service.limits import MAX_PARTS, ServiceLimits
from compute_executor.service.pools.containers import Containers
from compute_executor.service.pools.pools import Pools
from compute_executor.service.quotas import is_bounded, require_quota
from compute_executor.service.scheduling.queues import Call
from compute_executor.service.scheduling.speakers import Speakers
from compute_executor.service.store.committer import Committer, settle
from compute_executor.service.store.rows import ID_BYTES, NewBatch
from compute_executor.service.tasks.additions import Addition
from compute_executor.service.tasks.arguments import decode_calls
from compute_executor.service.tasks.disk_space import DiskSpace
from compute_executor.service.tasks.functions import Functions
from compute_executor.service.tasks.groups import TaskGroups
from compute_executor.service.tasks.open_batches import OpenBatches, check_same_content, taken
from compute_executor.service.tasks.queue_control import QueueControl
from compute_executor.service.tasks.recheck import AuthorizationRecheck
from compute_executor.service.tasks.usage import StoredUsage

MAX_WALLTIME = 1e9
"""Seconds, some 30 years. Timers overflow with infinity."""

Key = tuple[str, bytes]  # an Idempotency-Key and the digest of the request's body
Accepted = asyncio.Future[None]


class Checked(NamedTuple):
    """A batch that may be stored: as a row, and its tasks decoded."""

    row: NewBatch
    calls: list[Call]


class Submissions:
    """Batches that are being accepted."""

    def __init__(
        self,
        *,
        committer: Committer,
        functions: Functions,
        containers: Containers,
        groups: TaskGroups,
        pools: Pools,
        endpoints: Endpoints,
        engines: Engines,
        blobs: BlobReferences,
        rights: BlobRights,
        holds: BlobHolds,
        disk_space: DiskSpace,
        batches: OpenBatches,
        recheck: AuthorizationRecheck,
        queues: QueueControl,
        usage: StoredUsage,
        users: Speakers,
        limits: ServiceLimits,
    ) -> None:
        self._committer = committer
        self._functions = functions
        self._containers = containers
        self._groups = groups
        self._pools = pools
        self._endpoints = endpoints
        self._engines = engines
        self._blobs = blobs
        self._rights = rights
        self._holds = holds
        self._disk_space = disk_space
        self._batches = batches
        self._recheck = recheck
        self._queues = queues
        self._usage = usage
        self._users = users
        self._limits = limits
        self._being_stored: dict[bytes, tuple[NewBatch, Accepted]] = {}
        self._tasks_being_stored: Counter[str] = Counter()  # of each user

    def submit(self, who: Identity, batch: Submit, key: Key | None) -> Accepted:
        """Return a future that is done when the batch is stored. What is wrong with it is raised at once."""
        known = self._known(who, batch)
        if known is not None:
            return known
        loop = asyncio.get_running_loop()
        accepted: Accepted = loop.create_future()
        self._users.spoke(who.id, loop.time())
        try:
            checked = self._check(who, batch, key)
        except ComputeError:
            if not self._batches.stored(batch.prefix, who.id):
                raise
            self._batches.check_same(batch)
            accepted.set_result(None)  # it was stored before, and its pool may be closed since
            return accepted
        self._being_stored[batch.prefix] = (checked.row, accepted)
        self._tasks_being_stored[who.id] += batch.count
        self._usage.additions.expect(_addition(checked.row))
        if checked.row.parts:
            self._holds.hold(batch.prefix, checked.row.parts)
        self._committer.soon(
            lambda writer: writer.add_batch(checked.row),
            lambda number, error: self._stored(checked, number, error, accepted),
            user=who.id,
        )
        return accepted

    @property
    def pending(self) -> int:
        """How many batches wait for their commit."""
        return len(self._being_stored)

    async def wait_until_stored(self, prefixes: Iterable[bytes]) -> None:
        """Return when none of these batches is on its way any more."""
        waiting = [self._being_stored[prefix][1] for prefix in prefixes if prefix in self._being_stored]
        if waiting:
            await asyncio.wait(waiting)

    # -- the same again -----------------------------------------------------------------------------------

    def _known(self, who: Identity, batch: Submit) -> Accepted | None:
        """Return the future of a batch of this prefix that is on its way or open. Raises NotFound if it is somebody
        else's, InvalidRequest if it has other content."""
        row, accepted = self._being_stored.get(batch.prefix, (None, None))
        if row is not None and accepted is not None:
            _same_owner(row.owner, who.id, batch.prefix)
            check_same_content(batch, (row.group, row.size, row.options, row.tasks))
            return accepted
        found = self._batches.find(batch.prefix)
        if found is None:
            return None
        _same_owner(found.owner, who.id, batch.prefix)
        self._batches.check_same(batch)
        accepted = asyncio.get_running_loop().create_future()
        accepted.set_result(None)
        return accepted

    def _stored(
        self, checked: Checked, number: int | None, error: Exception | None, accepted: Accepted
    ) -> None:
        """Committed; or there was one of this prefix already (number is None); or it failed."""
        row = checked.row
        del self._being_stored[row.prefix]
        self._tasks_being_stored[row.owner] -= row.size
        try:
            if error is None and number is None:
                number = self._batches.number_again(row)
            if error is None and number is not None:
                self._open(number, checked)
        except ComputeError as refusal:
            error = refusal
        stored = error is None and number is not None
        self._usage.additions.settled(_addition(row), stored=stored, number=number or 0)
        self._groups.forget(row.group)
        if row.parts:
            self._holds.release(row.prefix)
        settle(accepted, None, error)

    def _open(self, number: int, checked: Checked) -> None:
        """Queue a batch that is stored, and have its engine take from it."""
        batch = self._batches.accept(number, checked.row, checked.calls)
        self._recheck.accepted(batch)
        self._queues.wake(batch.pool)

    # -- checks -------------------------------------------------------------------------------------------

    def _check(self, who: Identity, batch: Submit, key: Key | None) -> Checked:
        self._check_ids(batch)
        self._check_capacity(who, batch)
        self._disk_space.check()
        self._check_options(batch.options)
        functions = [self._functions.resolve(who, name) for name in batch.functions]
        container = self._container(who, batch)
        endpoint, pool = self._resolve_target(who, batch, functions)
        self._functions.check_place(batch.functions, endpoint)
        calls, blobs = self._check_calls(who, batch)
        group = self._groups.claim(who, batch.group)
        if container is not None and endpoint == BUILT_IN.bytes:
            pool = self._pools.in_container(who, pool, container)
        names = [blob.name for blob in blobs]
        self._disk_space.taken(blobs)
        what = (functions, bytes(batch.tasks), batch.count, batch.options, time.time())
        row = NewBatch(batch.prefix, who.id, batch.group, endpoint, pool, *what, names, key)
        indexes = function_indexes(calls, len(functions))
        parts = self._check_parts(who, batch.parts, pool)
        return Checked(row._replace(program=group.program, indexes=indexes, parts=parts), calls)

    def _check_ids(self, batch: Submit) -> None:
        if len(batch.prefix) != PREFIX_BYTES or batch.prefix[6] >> 4 != 8 or batch.prefix[8] >> 6 != 2:
            raise InvalidRequest(f"the prefix {batch.prefix.hex()} is not 12 bytes of a UUID of version 8")
        if len(batch.group) != ID_BYTES:
            raise InvalidRequest(f"a task group is named by 16 bytes, not by {len(batch.group)}")
        if len(batch.endpoint) not in (0, ID_BYTES):
            raise InvalidRequest(f"an endpoint is named by 16 bytes or none, not by {len(batch.endpoint)}")

    def _resolve_target(self, who: Identity, batch: Submit, functions: list[bytes]) -> tuple[bytes, bytes]:
        """Return the endpoint and the pool that the batch is for."""
        if not batch.endpoint or is_built_in(uuid.UUID(bytes=batch.endpoint)):
            pool = self._pools.require(who, batch.pool)
            check_fit(resources_of(batch.options), lambda: self._pools.offer(pool), "the workers of its pool")
            return BUILT_IN.bytes, pool
        endpoint = self._endpoints.require(who, uuid.UUID(bytes=batch.endpoint), functions)
        return batch.endpoint, self._engines.kind(endpoint.kind).place(who, endpoint, batch.options)

    def _check_capacity(self, who: Identity, batch: Submit) -> None:
        count = batch.count
        if not 1 <= count <= self._limits.batch:
            raise InvalidRequest(f"a batch has 1 to {self._limits.batch} tasks, this says {count}")
        if self._batches.open + count > self._limits.open_tasks:
            raise ServiceUnavailable(
                f"{self._batches.open} tasks are open, with {count} more it would be over the limit of "
                f"{self._limits.open_tasks}; send them again when some have ended"
            )
        if is_bounded(who):
            still_open = self._batches.open_of(who.id) + self._tasks_being_stored[who.id]
            require_quota(self._limits, who, "user_open_tasks", still_open, count)
            kept = self._usage.of(who.id)
            require_quota(self._limits, who, "user_stored", kept.bytes, memoryview(batch.tasks).nbytes)
            require_quota(self._limits, who, "user_files", kept.files, 0)

    def _check_options(self, options: Options) -> None:
        if not 0 <= options.retries <= self._limits.retries:
            raise InvalidRequest(f"retries may be 0 to {self._limits.retries}, not {options.retries}")
        if options.walltime is not None and not 0 < options.walltime < MAX_WALLTIME:
            raise InvalidRequest(
                f"a task may run for more than 0 seconds and less than {MAX_WALLTIME:g}, not for {options.walltime}"
            )
        check_values(options)

    def _container(self, who: Identity, batch: Submit) -> bytes | None:
        """Return the container to run a batch in: the one that is asked for, else that of its functions, whose owner
        may use it, as was checked when they were registered. A batch is run in one place."""
        if batch.options.container is not None:
            return self._containers.find(who, batch.options.container).id
        named = {self._functions.container(name) for name in batch.functions}
        if len(named) > 1:
            raise InvalidRequest(
                "the functions of this batch are for different containers (or some for none): submit them apart"
            )
        return named.pop() if named else None

    def _check_calls(self, who: Identity, batch: Submit) -> tuple[list[Call], list[Blob]]:
        if not 1 <= len(batch.functions) <= self._limits.functions_per_batch:
            limit = self._limits.functions_per_batch
            raise InvalidRequest(f"a batch names 1 to {limit} functions, this has {len(batch.functions)}")
        if (count := entries(bytes(batch.tasks))) not in (
            batch.count,
            None,
        ):  # before it is read: that takes a while
            raise InvalidRequest(
                f"batch {batch.prefix.hex()} has {count} tasks, not {batch.count} as it says"
            )
        try:
            calls = decode_calls(batch.tasks)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the tasks of batch {batch.prefix.hex()} cannot be read: {error}") from None
        blobs = self._check_bodies(batch.prefix, calls, len(batch.functions))
        self._rights.check_use(who, blobs)
        self._blobs.require(blobs)
        return calls, blobs

    def _check_parts(self, who: Identity, parts: list[Blob], pool: bytes) -> list[str]:
        """Return the names of the parts that the tasks refer to."""
        if len(parts) > MAX_PARTS:
            raise InvalidRequest(
                f"the tasks of this batch refer to {len(parts)} shared values, {MAX_PARTS} are the limit: put what "
                "belongs together into one"
            )
        if parts and not self._engines.takes_shared(pool):
            raise InvalidRequest(
                f"shared values ({len(parts)} of {sum(one.size for one in parts)} bytes) are on this service, and "
                "the workers that this batch is for, of a Globus Compute endpoint, cannot read them: pass the values "
                "themselves"
            )
        self._rights.check_use(who, parts)
        self._blobs.require(parts)
        return [one.name for one in parts]

    def _check_bodies(self, prefix: bytes, calls: list[Call], functions: int) -> list[Blob]:
        blobs = {}
        for position, (function, body) in enumerate(calls):
            if not 0 <= function < functions:
                raise InvalidRequest(
                    f"task {position} is for function {function} of {functions} (from 0)",
                    task_id=task_uuid(prefix, position),
                )
            if isinstance(body, Blob):
                blobs[body.name] = body
            elif len(body) > INLINE_LIMIT:
                raise PayloadTooLarge(
                    f"the arguments of task {position} are {len(body)} bytes; "
                    f"over {INLINE_LIMIT} they go into a blob",
                    task_id=task_uuid(prefix, position),
                )
        return list(blobs.values())


def function_indexes(calls: list[Call], functions: int) -> bytes | None:
    """Return which function each task of a batch calls, two bytes each, little-endian; None: all call the only
    one."""
    if functions == 1:
        return None
    return struct.pack(f"<{len(calls)}H", *(function for function, _ in calls))


def _addition(row: NewBatch) -> Addition:
    """Return what a batch adds to what is kept for its user, besides files."""
    return Addition(row.owner, len(row.tasks))


def _same_owner(owner: str | None, asking: str, prefix: bytes) -> None:
    if owner != asking:
        raise taken(prefix)
