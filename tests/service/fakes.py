"""A service for the routes to call: keeps what it is given, answers what the test put in."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from compute_executor.errors import InvalidRequest, NotFound
from compute_executor.protocol import frames
from compute_executor.service.access import Identity
from compute_executor.service.audit import Audit
from compute_executor.service.service import Service
from compute_executor.service.store.rows import FunctionRow, GroupBatch, KnownSubmit
from compute_executor.service.tasks.additions import Addition


class View(NamedTuple):
    status: str
    outcome: frames.Result | None


class FakeEndpoints:
    """The registered endpoints of a service that has none."""

    def row(self, who: Identity, endpoint: uuid.UUID) -> Any:
        raise NotFound(f"there is no endpoint {endpoint} for you")

    def visible(self, who: Identity, role: str | None) -> list[Any]:
        return []


class FakeResultQueues:
    """Remembers for which task groups a queue was wanted."""

    def __init__(self) -> None:
        self.queues = self
        self.groups: list[bytes] = []

    @contextlib.asynccontextmanager
    async def wanted(self, who: Identity, group: bytes) -> AsyncIterator[None]:
        self.groups.append(group)
        yield


class FakeRights:
    """Every blob is everybody's."""

    def put(self, who: Identity, name: str) -> None:
        """May be put."""

    def check_read(self, who: Identity, name: str) -> None:
        """May be read."""


@dataclass
class FakeService:
    blob_rights: FakeRights = field(default_factory=FakeRights)
    endpoints: FakeEndpoints = field(default_factory=FakeEndpoints)
    globus_compute: FakeResultQueues = field(default_factory=FakeResultQueues)
    batches: list[frames.Submit] = field(default_factory=list)
    functions: dict[bytes, tuple[FunctionRow, frames.Body]] = field(default_factory=dict)
    keys: dict[str, KnownSubmit] = field(default_factory=dict)
    views: dict[tuple[bytes, int], View] = field(default_factory=dict)
    cancelled: list[Any] = field(default_factory=list)
    pools: dict[bytes, Any] = field(default_factory=dict)
    raises: Exception | None = None
    audit: Audit = field(default_factory=Audit)

    async def register(
        self,
        who: Identity,
        digest: bytes,
        name: str,
        code: frames.Body,
        description: str = "",
        metadata: dict[str, Any] | None = None,
        public: bool = False,
        group: str | None = None,
        container: bytes | None = None,
        only_on: bytes | None = None,
    ) -> bytes:
        self._maybe_raise()
        function_id = uuid.uuid5(uuid.NAMESPACE_OID, who.id + digest.hex()).bytes
        row = FunctionRow(
            function_id,
            who.id,
            digest,
            "",
            name,
            description,
            metadata or {},
            public,
            group,
            container,
            only_on,
            None,
            0,
            0.0,
        )
        self.functions[function_id] = (row, code)
        return function_id

    registered = Service.registered

    def function(self, who: Identity, function_id: bytes) -> FunctionRow:
        return self._found(function_id)[0]

    def function_body(self, who: Identity, function_id: bytes) -> frames.Body:
        return self._found(function_id)[1]

    async def delete_function(self, who: Identity, function_id: bytes) -> None:
        self._found(function_id)
        del self.functions[function_id]

    def _found(self, function_id: bytes) -> tuple[FunctionRow, frames.Body]:
        if function_id not in self.functions:
            raise NotFound("no such function for you")
        return self.functions[function_id]

    async def submit(self, who: Identity, batch: frames.Submit, key: tuple[str, bytes] | None = None) -> None:
        self._maybe_raise()
        self.batches.append(batch)
        if key is not None:
            self.keys[key[0]] = KnownSubmit(key[1], batch.prefix, batch.group, batch.endpoint)

    def known_submit(self, who: Identity, key: tuple[str, bytes]) -> KnownSubmit | None:
        found = self.keys.get(key[0])
        if found is not None and found.digest != key[1]:
            raise InvalidRequest("another request")
        return found

    def task(self, who: Identity, prefix: bytes, position: int) -> View:
        if (prefix, position) not in self.views:
            raise NotFound("no such task for you")
        return self.views[prefix, position]

    def begin_upload(self, who: Identity, size: int) -> Addition:
        """Every file may be uploaded."""
        return Addition(who.id, size, files=1)

    def end_upload(self, announced: Addition, size: int | None) -> None:
        """Not counted."""

    def task_details(self, outcome: frames.Result) -> dict[str, Any]:
        return {"os": "fake"}

    def group_tasks(self, who: Identity, group: bytes) -> list[GroupBatch]:
        return [GroupBatch(batch.prefix, batch.count, 1.5) for batch in self.batches if batch.group == group]

    async def cancel(
        self, who: Identity, tasks: list[tuple[bytes, list[int]]]
    ) -> list[tuple[bytes, list[int]]]:
        self.cancelled.append(tasks)
        return [(prefix, positions[:1]) for prefix, positions in tasks]

    async def open_pool(self, who: Identity, pool: bytes, spec: frames.PoolSpec) -> None:
        self.pools[pool] = spec

    def close_pool(self, who: Identity, pool: bytes) -> None:
        del self.pools[pool]

    def overview(self) -> dict[str, Any]:
        self._maybe_raise()
        return {"tasks": {"queued": 0}}

    def figures(self, who: Identity) -> dict[str, Any]:
        return self.overview()

    def busy(self) -> bool:
        return False

    def _maybe_raise(self) -> None:
        if self.raises is not None:
            raise self.raises
