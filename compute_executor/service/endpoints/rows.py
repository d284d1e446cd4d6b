"""What the table of registered endpoints holds. Plain values."""

from __future__ import annotations

import json
import uuid
from typing import Any, NamedTuple

from compute_executor.service.access import Owned


class EndpointRow(NamedTuple):
    """A registered endpoint. ``kind``: the name of the `remote_kind.RemoteKind` that speaks to it; ``allowed``: the
    functions that it runs, None for any; ``state``: what its last heartbeat said, ``seen`` when that was; times are
    Unix times."""

    id: uuid.UUID
    kind: str
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
        """Return whether it runs this function at all."""
        return self.allowed is None or str(uuid.UUID(bytes=function)) in self.allowed


def endpoint(row: Any) -> EndpointRow:
    """Return a row of query all_endpoints."""
    id, kind, owner, name, display_name, multi_user, public, group, allowed, metadata, state, *times = row
    return EndpointRow(
        uuid.UUID(bytes=id),
        kind,
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
    """Return the values of query put_endpoint."""
    return (
        row.id.bytes,
        row.kind,
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
