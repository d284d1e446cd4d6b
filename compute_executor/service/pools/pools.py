"""Pools of workers: one for each Executor, and for each user a default one for everything else.

    open_pool -> in use -> closing -> ended        closing: no new tasks, those accepted still run
                       \\-> failed                  its workers cannot start; submissions are refused

A pool belongs to the subscribers (connections) that opened it. When the last of them has gone without closing it,
and for `ServiceLimits.pool_grace` none comes back, it is closed on their behalf. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from compute_executor.errors import EndpointNotShared, InvalidRequest, NotFound, PoolBroken
from compute_executor.protocol.frames import PoolSpec
from compute_executor.protocol.resources import ResourceOffer, offer_of
from compute_executor.service.access import LOCAL_USER, Identity, Owned, check, may, owned_by
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.pools import specification
from compute_executor.service.pools.container_pools import container_pool_id
from compute_executor.service.pools.containers import Containers
from compute_executor.service.pools.served import ServedUsers
from compute_executor.service.pools.subscriber import Subscriber
from compute_executor.service.quotas import require_quota
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.rows import ID_BYTES, PoolRow
from compute_executor.service.system_accounts import AccountUser, SystemAccount
from compute_executor.surroundings import mpi_launcher, usable_memory, wire_text

if TYPE_CHECKING:
    from compute_executor.endpoint.pool.engine import Engine

log: logging.Logger = logging.getLogger(__name__)

NO_POOL = bytes(ID_BYTES)
"""What a batch may say instead of the id of a pool: that of its user's default pool."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PoolSpec).decode


def default_pool_id(owner: str) -> bytes:
    """Return the id of the pool that serves tasks which this user submits without one. Users share no worker."""
    return hashlib.sha256(b"compute-executor default pool of " + owner.encode()).digest()[:ID_BYTES]


class PoolState:
    """One pool. ``running``: the engine knows it. ``user``: under whose account its workers run, if not under that of
    the service. ``failed``: why its workers cannot start, or "". ``base_pool``: the pool that this one is the variant
    in a container of, if it is. ``permanent``: it stays although nobody uses it; ``size``: bytes of the specification
    that its user has sent, 0 if the service made it."""

    __slots__ = (
        "base_pool",
        "closing",
        "failed",
        "grace_timer",
        "owner",
        "permanent",
        "running",
        "size",
        "spec",
        "user",
        "users",
    )

    def __init__(self, owner: str, spec: PoolSpec, size: int = 0, user: AccountUser | None = None) -> None:
        self.owner: str = owner
        self.user: AccountUser | None = user
        self.size: int = size
        self.spec: PoolSpec = spec
        self.base_pool: bytes | None = None
        self.users: list[Subscriber] = []
        self.running: bool = False
        self.closing: bool = False
        self.permanent: bool = False
        self.failed: str = ""
        self.grace_timer: asyncio.TimerHandle | None = None  # for a user to come back


class Pools:
    """All pools of the service. ``served``: the users whom its own workers serve; ``open_as``: starts workers under
    the account of a user; ``known_user``: the name of the user of a pool that had such workers before a restart."""

    def __init__(
        self,
        *,
        committer: Committer,
        dispatch: Dispatch,
        default: PoolSpec | None,
        containers: Containers,
        engine: Engine,
        limits: ServiceLimits,
        loop: asyncio.AbstractEventLoop,
        served: ServedUsers | None = None,
        open_as: Callable[[bytes, PoolSpec, AccountUser], object] | None = None,
        known_user: Callable[[bytes], str | None] = lambda _: None,
    ) -> None:
        self._open_as = open_as
        self._known_user = known_user
        self._served = served or ServedUsers()
        self._committer = committer
        self._dispatch = dispatch
        self._default = default
        self._containers = containers
        self._limits = limits
        self._loop = loop
        self._pools: dict[bytes, PoolState] = {}
        self._engine = engine
        containers.on_registered(self.try_again)

    # -- opening ------------------------------------------------------------------------------------------

    async def open(self, who: Identity, pool: bytes, spec: PoolSpec, user: Subscriber | None) -> None:
        """Make a pool durable and start it; again with the same id: only note who uses it."""
        if len(pool) != ID_BYTES or pool == NO_POOL:
            raise InvalidRequest("a pool is named by 16 bytes that are not all zero")
        account = self._served.account(who)
        if not 1 <= spec.max_workers <= self._limits.workers:
            raise InvalidRequest(f"a pool has 1 to {self._limits.workers} workers, not {spec.max_workers}")
        specification.check(spec)
        if spec.container is not None:
            self._containers.find(who, spec.container)
        found = self._pools.get(pool)
        if found is None:
            now, document = time.time(), _encode(spec)
            self._check_quota(who, len(document))
            await self._committer.commit(lambda writer: writer.add_pool(pool, who.id, document, now))
            found = self._pools.setdefault(pool, PoolState(who.id, spec, len(document), account))
        check(who, "use pool", Owned(found.owner), f"pool {pool.hex()}")
        if not found.failed and user is not None and user not in found.users:
            found.users.append(user)
        self._use(found, pool)

    def _check_quota(self, who: Identity, size: int) -> None:
        sizes = [one.size for one in self._pools.values() if one.size and one.owner == who.id]
        require_quota(self._limits, who, "user_pools", len(sizes))
        require_quota(self._limits, who, "user_pool_bytes", sum(sizes), size)

    def _run(self, pool: bytes, found: PoolState) -> None:
        if found.running:
            return
        found.running = True
        try:
            if found.user is not None and self._open_as is not None:
                self._open_as(pool, found.spec, found.user)
            else:
                self._served.check(found.owner)
                self._engine.open(pool, found.spec)
        except EndpointNotShared as error:  # it was open to all before a restart
            self.failed(pool, str(error))
        except Exception as error:  # one user's pool: the service goes on
            log.exception("pool %s cannot be opened", pool.hex())
            self.failed(pool, f"workers cannot start: {type(error).__name__}: {error}")

    def in_container(self, who: Identity, base_pool: bytes, container: bytes) -> bytes:
        """Return the id of the pool that is like an open one but for its workers, which are in a container. It is
        made when it is first submitted to, and ends some time after it was last. Raises PoolBroken."""
        if self._pools[base_pool].user is not None:
            self._served.check(who.id)
        pool = container_pool_id(base_pool, container)
        found = self._pools.get(pool)
        if found is None:
            spec = msgspec.structs.replace(self._pools[base_pool].spec, container=container)
            found = self._pools[pool] = PoolState(self._pools[base_pool].owner or who.id, spec)
            row = (pool, found.owner, _encode(spec), time.time())
            self._committer.soon(lambda writer: writer.add_pool(*row), _logged)
        found.base_pool = base_pool
        self._use(found, pool)
        return pool

    def _use(self, found: PoolState, pool: bytes) -> None:
        if found.failed:
            raise PoolBroken(found.failed, began=False)
        found.closing = False
        self._run(pool, found)
        self._watch(pool, found)

    def try_again(self, container: bytes) -> None:
        """Try again: what failed in this container may do better now: such pools are made anew when they are
        submitted to."""
        for pool, found in list(self._pools.items()):
            if found.failed and found.spec.container == container:
                found.closing = True
                self._end_if_empty(pool)

    def require(self, who: Identity, pool: bytes | None) -> bytes:
        """Return the id of the pool to submit to; None is the user's default one. Raises NotFound, PoolBroken."""
        if pool is None or pool == NO_POOL:
            return self._require_default(who.id, lambda _: self._served.account(who))
        self._served.check_at_all(who.id)
        found = self._pools.get(pool)
        if found is None or found.owner != who.id:
            self._served.account(who)  # who has none is told so
        try:
            check(who, "use pool", owned_by(None if found is None else found.owner), f"pool {pool.hex()}")
        except NotFound as error:
            raise _no_open_pool(pool) from error
        if found is None or found.closing:
            raise _no_open_pool(pool)
        if found.failed:
            raise PoolBroken(found.failed, began=False)
        return pool

    def offer(self, pool: bytes) -> ResourceOffer:
        """Return what the workers of a pool that there is have for a call, on this machine."""
        spec = self._pools[pool].spec
        return offer_of(spec, usable_memory(), mpi_launcher(spec.variables()))

    def _require_default(self, owner: str, account: Callable[[bytes], AccountUser | None]) -> bytes:
        """Return the id of a user's default pool. That of the user who runs the service lasts, those of others end
        some time after they were last submitted to. ``account``: under which its workers run, if it is made now."""
        self._served.check_at_all(owner)
        if self._default is None:
            raise NotFound("this service runs no workers of its own: name a pool or an endpoint")
        pool = default_pool_id(owner)
        found = self._pools.get(pool)
        if found is None:
            user = account(pool)
            spec = self._default if user is None else _of_account(self._default, user.account)
            found = self._pools[pool] = PoolState(owner, spec, user=user)
            found.permanent = owner == LOCAL_USER
        self._use(found, pool)
        return pool

    def restore(self, row: PoolRow) -> None:
        """Restore a pool that was there before a restart; it runs if it has open tasks."""
        found = self._pools[row.id] = PoolState(row.owner, _decode(row.spec), len(row.spec))
        try:
            found.user = self._served.account_again(row.owner, self._known_user(row.id))
        except EndpointNotShared as error:  # it was open to all before, or has no account any more
            self.failed(row.id, str(error))
            return
        if self._dispatch.open_in(row.id):
            self._run(row.id, found)
        self._watch(row.id, found)

    def failure(self, pool: bytes) -> str:
        """Return why the workers of a pool cannot start; "" if they can."""
        found = self._pools.get(pool)
        return found.failed if found is not None else ""

    def to_program(self, pool: bytes) -> bool:
        """Return whether what tasks of this pool write goes to their client, and not into the log: of one that is
        elsewhere, it does."""
        found = self._pools.get(pool)
        return found is None or found.spec.to_program

    def container(self, pool: bytes) -> bytes | None:
        """Return the container that the workers of a pool start in, if they do."""
        found = self._pools.get(pool)
        return found.spec.container if found is not None else None

    def restore_default(self, owner: str, pool: bytes) -> None:
        """Start a user's default pool, if ``pool``, which has tasks from before a restart, is that one. It is not
        stored: its workers are what the service is started with."""
        if pool not in self._pools and pool == default_pool_id(owner) and self._default is not None:
            try:
                self._require_default(
                    owner, lambda name: self._served.account_again(owner, self._known_user(name))
                )
            except EndpointNotShared as error:
                self._pools[pool] = PoolState(owner, self._default)
                self.failed(pool, str(error))
                self._watch(pool, self._pools[pool])

    def exists(self, pool: bytes) -> bool:
        """Return whether tasks of this pool can be run."""
        return pool in self._pools

    # -- ending -------------------------------------------------------------------------------------------

    def close(self, who: Identity, pool: bytes) -> None:
        """Note that no more tasks will come: end it when it is empty. Unknown, or somebody else's: it has ended
        already."""
        found = self._pools.get(pool)
        if found is not None and may(who, "use pool", Owned(found.owner)):
            for other in [pool, *(name for name, one in self._pools.items() if one.base_pool == pool)]:
                self._pools[other].closing = True
                self._end_if_empty(other)

    def leave(self, user: Subscriber) -> None:
        """Note that a connection is gone; pools that only it used wait for it to come back."""
        for pool, found in list(self._pools.items()):
            if user in found.users:
                found.users.remove(user)
                self._watch(pool, found)

    def _watch(self, pool: bytes, found: PoolState) -> None:
        if found.grace_timer is not None:
            found.grace_timer.cancel()
            found.grace_timer = None
        if not found.users and not found.permanent:
            found.grace_timer = self._loop.call_later(self._limits.pool_grace, self._abandoned, pool)

    def _abandoned(self, pool: bytes) -> None:
        self._pools[pool].closing = True
        self._end_if_empty(pool)

    def emptied(self, pool: bytes) -> None:
        """Note that the last open task of a pool has ended."""
        if pool in self._pools:
            self._end_if_empty(pool)

    def _end_if_empty(self, pool: bytes) -> None:
        found = self._pools[pool]
        if not found.closing or self._dispatch.open_in(pool):
            return
        if found.grace_timer is not None:
            found.grace_timer.cancel()
        del self._pools[pool]
        if found.running:
            self._engine.close_pool(pool)
        self._committer.soon(lambda writer: writer.drop_pool(pool), _logged)

    def failed(self, pool: bytes, message: str) -> None:
        """Note that its workers cannot start. Refuse what comes, tell who uses it."""
        found = self._pools.get(pool)
        if found is None or found.failed:
            return
        log.error("pool %s: %s", pool.hex(), message)
        found.failed = message
        for user in list(found.users):
            user.pool_failed(pool, message)

    def stop(self) -> None:
        """Note that the service ends: wait for nobody."""
        for found in self._pools.values():
            if found.grace_timer is not None:
                found.grace_timer.cancel()

    def view(self) -> list[dict[str, Any]]:
        """Return what `status` shows of each pool."""
        return [_view(pool, found, self._dispatch.open_in(pool)) for pool, found in self._pools.items()]


def _of_account(default: PoolSpec, account: SystemAccount) -> PoolSpec:
    """Return the default workers, as they are under an account."""
    home = account.home if os.path.isdir(account.home) else "/"
    environ = {wire_text(name): wire_text(text) for name, text in account.environment().items()}
    return msgspec.structs.replace(default, environ=environ, cwd=wire_text(home))


def _view(pool: bytes, found: PoolState, open_tasks: int) -> dict[str, Any]:
    container = found.spec.container
    return {
        "pool": pool.hex(),
        "label": found.spec.label,
        "container": None if container is None else str(uuid.UUID(bytes=container)),
        "max_workers": found.spec.max_workers,
        "open_tasks": open_tasks,
        "clients": len(found.users),
        "state": "failed" if found.failed else "closing" if found.closing else "open",
    }


def _logged(_result: object, error: Exception | None) -> None:
    if error is not None:
        log.warning("a pool that has ended stays in the store until the next start: %s", error)


def _no_open_pool(pool: bytes) -> NotFound:
    return NotFound(f"there is no open pool {pool.hex()} for you: open it before submitting to it")
