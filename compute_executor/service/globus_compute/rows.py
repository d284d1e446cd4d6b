"""What the tables of stock peers hold. Plain values."""

from __future__ import annotations

import json
import uuid
from typing import Any, NamedTuple


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


class PublishedRange(NamedTuple):
    """Tasks ``start`` to ``stop`` of a batch were given to the broker, or (``back``) did not get there after all."""

    user_endpoint: bytes
    batch: int
    start: int
    stop: int
    attempt: int
    back: bool


def user_endpoint(row: Any) -> UserEndpointRow:
    """Return a row of query all_user_endpoints."""
    id, endpoint, owner, owner_name, *documents, seen = row
    ids = (uuid.UUID(bytes=id), uuid.UUID(bytes=endpoint))
    return UserEndpointRow._make((*ids, owner, owner_name, *map(json.loads, documents), seen))


def user_endpoint_values(row: UserEndpointRow) -> tuple[Any, ...]:
    """Return the values of query put_user_endpoint."""
    return (
        row.id.bytes,
        row.endpoint.bytes,
        row.owner,
        row.owner_name,
        json.dumps(row.config),
        json.dumps(row.runtime),
    )


def given(row: Any) -> PublishedRange:
    """Return a row of query all_given."""
    return PublishedRange._make((*row[:5], bool(row[5])))
