"""The engine of pools that run under accounts of their users: for each pool a process of the account (`process`),
which takes tasks as an endpoint of our own does.

    open -> its process starts -> it connects with the token of the pool -> tasks are leased to it
    close -> told to end when everything is stored -> gone -> its folder is removed

A service that is killed finds at its next start in the folders which pools there were, and each process in its own
what had begun and what was finished. Owner: the loop thread.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import secrets
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from compute_executor.endpoint.agent.pool_agent import PoolTicket
from compute_executor.endpoint.leases.frames import HolderHello
from compute_executor.endpoint.leases.grantor import GrantorSession
from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.protocol.frames import Blob, Body, Options, PoolSpec
from compute_executor.service.access import Identity
from compute_executor.service.agents.engine import AgentEngine
from compute_executor.service.agents.lease_records import LeaseRecords
from compute_executor.service.agents.machines import Machine, known_of
from compute_executor.service.auth.authenticators import new_token, token_digest
from compute_executor.service.endpoints.ids import BUILT_IN
from compute_executor.service.endpoints.rows import EndpointRow
from compute_executor.service.run_as.folders import PoolFolders
from compute_executor.service.run_as.process import PoolProcess
from compute_executor.service.system_accounts import AccountMap, AccountUser, SystemAccount
from compute_executor.surroundings import wire_text

if TYPE_CHECKING:
    from compute_executor.endpoint.pool.events import EngineEvents
    from compute_executor.service.scheduling.dispatch import Dispatch
    from compute_executor.service.store.committer import Committer
    from compute_executor.service.store.reader import Reader

log: logging.Logger = logging.getLogger(__name__)

EMPTY_WITHIN = 30.0
"""Seconds that the process of a closed pool has to leave by itself: it has no task any more."""

GONE = "no longer runs: the pool of this task cannot be opened again. It may have run there, or not"


class OwnAddress(NamedTuple):
    """Where processes of this machine find the service. ``certificate``: its own, in PEM, if it has one."""

    url: str
    certificate: str = ""


class RunAs(NamedTuple):
    """How tasks of users run under accounts of theirs: which, where their folders are, and where their processes find
    the service."""

    accounts: AccountMap
    folders: PoolFolders
    address: OwnAddress


class AccountPool:
    """One pool. ``token``: the hash of the token that its present process has."""

    def __init__(self, user: AccountUser, spec: PoolSpec) -> None:
        self.user = user
        self.spec = spec
        self.token = b""
        self.process: PoolProcess | None = None
        self.closing: asyncio.Task[None] | None = None


class AccountPools:
    """Pools of the built-in endpoint under accounts of their users: an `endpoints.remote_kind.AccountOpener`, and an
    Authenticator of their processes. ``shared``: what the tasks of a batch share, by its number; ``token_died``:
    called with the hash of each token that is no longer valid."""

    takes_shared = True
    name = "run-as"

    def __init__(
        self,
        *,
        read: Reader,
        committer: Committer,
        dispatch: Dispatch,
        events: EngineEvents,
        shared: Callable[[int], Sequence[Blob]],
        folders: PoolFolders,
        address: OwnAddress,
    ) -> None:
        self.token_died: Callable[[bytes], object] = lambda _: None
        self._events = events
        self._shared = shared
        self._records = LeaseRecords(read, committer)
        self._engine = AgentEngine(events, dispatch, self._records)
        self._folders = folders
        self._address = address
        self._pools: dict[bytes, AccountPool] = {}
        self._restored: set[bytes] = set()
        self._removing: dict[bytes, asyncio.Future[None]] = {}  # folders of pools that there were

    @property
    def engine(self) -> AgentEngine:
        """See RemoteKind."""
        return self._engine

    def runs(self, endpoint: uuid.UUID) -> bool:
        """Return whether this is the id of a pool of this kind."""
        return endpoint.bytes in self._pools

    async def identify(self, token: str) -> Identity | None:
        """See Authenticator. Found by its hash, so the time taken says nothing about it."""
        digest = token_digest(token)
        for pool, found in self._pools.items():
            if secrets.compare_digest(found.token, digest):
                name = f"pool {pool.hex()}"
                return Identity(name, name, endpoint=uuid.UUID(bytes=pool))
        return None

    # -- pools --------------------------------------------------------------------------------------------

    def open(self, pool: bytes, spec: PoolSpec, user: AccountUser) -> None:
        """Start the process of a pool, when an earlier one of the same id has ended."""
        before = self._pools.get(pool)
        found = self._pools[pool] = AccountPool(user, spec)
        self._restored.discard(pool)
        self._engine.machines(uuid.UUID(bytes=pool))
        found.process = PoolProcess(
            user.account,
            lambda: self._folders.make(pool, user),
            lambda: self._ticket(pool, found),
            lambda message: self._broken(pool, message),
            after=before.closing if before is not None else self._removing.get(pool),
        )

    def _broken(self, pool: bytes, message: str) -> None:
        """Note that no process of this pool can be started: its tasks end."""
        self._give_up(pool, message)
        self._events.broken(pool, message)

    def _give_up(self, pool: bytes, why: str) -> None:
        group = self._engine.machines(uuid.UUID(bytes=pool))
        for machine in group:
            self._engine.forget(group, machine, why)

    def _ticket(self, pool: bytes, found: AccountPool) -> PoolTicket:
        """Return what a new process of a pool is told; the token of the one before is no longer valid."""
        self._forget_token(found)
        token = new_token()
        found.token = token_digest(token)
        return PoolTicket(
            self._address.url,
            self._address.certificate,
            str(uuid.UUID(bytes=pool)),
            token,
            _as_account(found.spec, found.user.account),
        )

    def _forget_token(self, found: AccountPool) -> None:
        if found.token:
            self.token_died(found.token)
            found.token = b""

    def close_pool(self, pool: bytes) -> None:
        """End the process of a pool that is empty, when the service has stored what it has reported."""
        found = self._pools.get(pool)
        if found is not None and found.closing is None:
            found.closing = asyncio.ensure_future(self._close(pool, found))

    async def _close(self, pool: bytes, found: AccountPool) -> None:
        group = self._engine.machines(uuid.UUID(bytes=pool))
        assert found.process is not None
        found.process.expect_end()
        for machine in group.connected():
            assert machine.session is not None
            machine.session.end_holder(drain=True)
        try:
            await asyncio.wait_for(found.process.ended(), EMPTY_WITHIN)
        except asyncio.TimeoutError:
            await found.process.end()
        self._forget_token(found)
        self._give_up(pool, GONE)
        if self._pools.get(pool) is found:  # else it was opened again
            del self._pools[pool]
            self._engine.drop(group.endpoint, GONE)
        await asyncio.to_thread(self._folders.remove, pool)

    # -- RemoteKind ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See RemoteKind. Processes start when pools are opened."""

    def restore(self) -> None:
        """See RemoteKind. The folders tell which pools there were."""
        self._restored = set(self._folders.pools())
        for pool in self._restored:
            self._engine.machines(uuid.UUID(bytes=pool))
        self._engine.restore()

    def released(self, exists: Callable[[bytes], bool]) -> None:
        """Note that all pools that there were and are needed are open again: give up what the others held."""
        for pool in self._restored:
            self._give_up(pool, GONE)
            if not exists(pool):
                removing = asyncio.ensure_future(asyncio.to_thread(self._folders.remove, pool))
                self._removing[pool] = removing
                removing.add_done_callback(functools.partial(self._removed, pool))
        self._restored.clear()

    def _removed(self, pool: bytes, _done: object) -> None:
        del self._removing[pool]

    async def close(self) -> None:
        """See RemoteKind. What is open goes on at the next start."""
        await self._engine.close()
        closing = [found.closing for found in self._pools.values() if found.closing is not None]
        processes = [found.process for found in self._pools.values() if found.process is not None]
        await asyncio.gather(*(one.end() for one in processes), *closing, *self._removing.values())

    def endpoint_of(self, pool: bytes) -> uuid.UUID | None:
        """See RemoteKind."""
        return BUILT_IN if pool in self._pools else None

    def batch_finished(self, pool: bytes, batch: int) -> None:  # noqa: ARG002
        """See RemoteKind."""
        self._records.finished(batch)

    async def recalled(self, pool: bytes) -> None:
        """See RemoteKind."""
        await self._engine.recalled(pool)

    def outcomes_stored(self) -> None:
        """See RemoteKind."""
        self._engine.stored()

    def bodies_deleted(self, names: list[str]) -> None:
        """See RemoteKind."""
        self._engine.shared_gone(names)

    def worker_details(self, pool: bytes) -> dict[str, Any] | None:  # noqa: ARG002
        """See RemoteKind. They are our own workers."""
        return None

    def place(self, who: Identity, endpoint: EndpointRow, options: Options) -> bytes:  # noqa: ARG002
        """See RemoteKind. No endpoint is registered as one of this kind."""
        raise InvalidRequest(f"endpoint {endpoint.id} is the built-in one: leave it out")

    def online(self, endpoint: EndpointRow) -> bool:  # noqa: ARG002
        """See RemoteKind."""
        return True

    def versions(self, endpoint: EndpointRow) -> dict[str, str]:  # noqa: ARG002
        """See RemoteKind."""
        return {}

    async def deleted(self, endpoint: EndpointRow) -> None:
        """See RemoteKind. None is registered."""

    # -- the connections of processes: what `api.endpoint_stream` asks ------------------------------------

    def welcome(self, endpoint: uuid.UUID, hello: HolderHello) -> None:
        """Check whether a process may work for a pool: it has its token. What an earlier folder held is given up.
        Raises NotFound."""
        if not self.runs(endpoint):
            raise NotFound(f"pool {endpoint} has ended")
        group = self._engine.machines(endpoint)
        for machine in group.others(bytes.fromhex(hello.machine)):
            self._engine.forget(group, machine, GONE)

    def machine(self, endpoint: uuid.UUID, hello: HolderHello) -> Machine:
        """See `agents.kind.Agents`."""
        return self._engine.machines(endpoint).require(known_of(hello))

    def connected(self, machine: Machine, session: GrantorSession, end: Callable[[str], object]) -> None:
        """See `agents.kind.Agents`."""
        self._engine.connect(machine, session, end)

    def disconnected(self, machine: Machine, session: GrantorSession) -> None:
        """See `agents.kind.Agents`."""
        self._engine.disconnect(machine, session)

    def shared(self, number: int) -> Sequence[Blob]:
        """See `agents.kind.Agents`."""
        return self._shared(number)

    def code(self, number: int) -> Body:
        """See `agents.kind.Agents`."""
        return self._events.function_code(number)


def _as_account(spec: PoolSpec, account: SystemAccount) -> PoolSpec:
    """Return the workers that were asked for; what says who they are is the account's, and not the caller's."""
    own = {wire_text(name): wire_text(text) for name, text in account.identity().items()}
    return msgspec.structs.replace(spec, environ={**spec.environ, **own})
