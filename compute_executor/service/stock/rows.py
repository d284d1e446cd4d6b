"""What the tables of stock peers hold. Plain values."""

from __future__ import annotations

import json
import uuid
from typing import Any, NamedTuple

from compute_executor.service.access import Owned


class EndpointRow(NamedTuple):
    """A registered endpoint. ``allowed``: the functions that it runs, None for any. ``state``: what its last
    heartbeat said, ``seen`` when that was; times are Unix times."""

    id: uuid.UUID
    owner: str
    name: str
    display_name: str
    multi_user: bool
    public: bool
    group: str | None
    allowed: list[str] | None
    metadata: dict[str, Any]
    state: dict[str, Any]
    seen: float
    locked_until: float
    created: float

    @property
    def owned(self) -> Owned:
        """As rules see it. Everybody may see a public one."""
        return Owned(self.owner, self.group, self.public)

    @property
    def usable(self) -> Owned:
        """As rules see it when something is to be run. Stock endpoints call themselves public so that users find
        them; only if it knows its users apart (multi-user, by its identity mapping) may everybody run there."""
        return Owned(self.owner, self.group, self.public and self.multi_user)

    def permits(self, function: bytes) -> bool:
        """Whether it runs this function at all."""
        return self.allowed is None or str(uuid.UUID(bytes=function)) in self.allowed


class UserEndpointRow(NamedTuple):
    """A user endpoint, which is a pool. ``details``: what its workers last said of themselves."""

    id: uuid.UUID
    endpoint: uuid.UUID
    owner: str
    owner_name: str
    config: dict[str, Any]
    runtime: dict[str, Any]
    details: dict[str, Any]
    state: dict[str, Any]
    seen: float


class Given(NamedTuple):
    """Tasks ``start`` to ``stop`` of a batch were given to the broker, or (``back``) did not get there after all."""

    user_endpoint: bytes
    batch: int
    start: int
    stop: int
    attempt: int
    back: bool


def endpoint(row: Any) -> EndpointRow:
    """A row of query all_endpoints."""
    id, owner, name, display_name, multi_user, public, group, allowed, metadata, state, *times = row
    return EndpointRow(
        uuid.UUID(bytes=id),
        owner,
        name,
        display_name,
        bool(multi_user),
        bool(public),
        group,
        json.loads(allowed) if allowed is not None else None,
        json.loads(metadata),
        json.loads(state),
        *times,
    )


def endpoint_values(row: EndpointRow) -> tuple[Any, ...]:
    """The values of query put_endpoint."""
    return (
        row.id.bytes,
        row.owner,
        row.name,
        row.display_name,
        row.multi_user,
        row.public,
        row.group,
        json.dumps(row.allowed) if row.allowed is not None else None,
        json.dumps(row.metadata),
        row.seen,
        row.created,
    )


def user_endpoint(row: Any) -> UserEndpointRow:
    """A row of query all_user_endpoints."""
    id, endpoint, owner, owner_name, *documents, seen = row
    ids = (uuid.UUID(bytes=id), uuid.UUID(bytes=endpoint))
    return UserEndpointRow._make((*ids, owner, owner_name, *map(json.loads, documents), seen))


def user_endpoint_values(row: UserEndpointRow) -> tuple[Any, ...]:
    """The values of query put_user_endpoint."""
    return (
        row.id.bytes,
        row.endpoint.bytes,
        row.owner,
        row.owner_name,
        json.dumps(row.config),
        json.dumps(row.runtime),
    )


def given(row: Any) -> Given:
    """A row of query all_given."""
    return Given._make((*row[:5], bool(row[5])))
