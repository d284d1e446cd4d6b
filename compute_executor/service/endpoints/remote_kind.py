"""The port of a kind of registered endpoints: what the service asks of whatever speaks to them.

A registered endpoint is of one kind for good (`EndpointRow.kind`). Each kind has one engine, whose pools are on
endpoints of that kind; which they are, and what their ids mean, only the kind knows. All calls are made on the loop's
thread.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Protocol

from compute_executor.endpoint.pool.engine import Engine
from compute_executor.protocol.frames import Options, PoolSpec
from compute_executor.service.access import Identity
from compute_executor.service.endpoints.rows import EndpointRow
from compute_executor.service.system_accounts import AccountUser


class RemoteKind(Protocol):
    """A kind of registered endpoints. ``name``: as it is stored with each; ``engine``: runs tasks on all of them;
    ``takes_shared``: whether their workers can be given values that calls share."""

    @property
    def name(self) -> str: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def takes_shared(self) -> bool: ...

    async def start(self) -> None:
        """Begin to speak to endpoints. What was open before a restart is known by then: see `restore`."""

    async def close(self) -> None:
        """Stop speaking to endpoints, and close the engine. What they hold stays with them."""

    def restore(self) -> None:
        """Recover which tasks endpoints hold from before a restart, before any task is taken."""

    def place(self, who: Identity, endpoint: EndpointRow, options: Options) -> bytes:
        """Return the id of the pool on this endpoint for tasks of ``who``, who may run there. Raises ComputeError."""
        ...

    def endpoint_of(self, pool: bytes) -> uuid.UUID | None:
        """Return the endpoint that a pool is on; None if the pool is none of this kind."""
        ...

    def online(self, endpoint: EndpointRow) -> bool:
        """Return whether an endpoint was heard of lately."""
        ...

    def versions(self, endpoint: EndpointRow) -> dict[str, str]:
        """Return the versions of its workers by name (``python_version``, ``dill_version``), as far as they are
        known."""
        ...

    def worker_details(self, pool: bytes) -> dict[str, Any] | None:
        """Return what the workers of a pool say of themselves; None if nothing is known."""
        ...

    def batch_finished(self, pool: bytes, batch: int) -> None:
        """Forget which tasks of a batch were given to a pool: every outcome is stored."""

    async def recalled(self, pool: bytes) -> None:
        """Return when endpoints have given back what `Engine.withdraw` asked for and can be given back."""

    def outcomes_stored(self) -> None:
        """Acknowledge what endpoints have reported and is stored by now."""

    def bodies_deleted(self, names: list[str]) -> None:
        """Note that the files of these bodies are deleted: endpoints that keep one as a shared value need it no
        more."""

    async def deleted(self, endpoint: EndpointRow) -> None:
        """End the tasks that wait for an endpoint, which is registered no more."""


class AccountOpener(RemoteKind, Protocol):
    """What runs pools of the built-in endpoint under accounts of their users."""

    def open(self, pool: bytes, spec: PoolSpec, user: AccountUser) -> None:
        """Start workers under the account of the pool's user."""

    def close_pool(self, pool: bytes) -> None:
        """End the workers of a pool that is empty, if it is one of these."""

    def released(self, exists: Callable[[bytes], bool]) -> None:
        """Give up what pools held that were there before a restart and are not open now; forget those that do not
        exist any more."""
