"""The endpoints that have registered: whose they are, what may be run there, when they were last heard.

Owner: the loop thread. All rows are in memory; each change is committed before it is answered.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from typing import Any, NamedTuple

from compute_executor.errors import EndpointLocked, FunctionNotPermitted, InvalidRequest
from compute_executor.service.access import NOBODYS, Identity, absent, check, may, shareable
from compute_executor.service.endpoints import rows
from compute_executor.service.endpoints.rows import EndpointRow
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.quotas import is_bounded, require_quota
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.reader import Reader

LOCKED = 600.0
"""Seconds that a stopped endpoint may not register again (the hosted service: "a short time")."""


FIRST_WITH_TEMPLATES = 4
"""The major version from which every Globus Compute endpoint starts user endpoints."""


class EndpointRegistration(NamedTuple):
    """What an endpoint says when it registers."""

    name: str
    display_name: str = ""
    multi_user: bool = False
    public: bool = False
    group: str | None = None
    allowed: list[str] | None = None
    metadata: dict[str, Any] = {}  # noqa: RUF012 - a NamedTuple's, and never changed


class Endpoints:
    """All registered endpoints."""

    def __init__(self, read: Reader, committer: Committer, limits: ServiceLimits) -> None:
        self._committer = committer
        self._limits = limits
        self._being_stored = Counter[str]()  # of each user
        self._rows = {row.id: row for row in map(rows.endpoint, read.rows("all_endpoints"))}

    # -- coming and going ---------------------------------------------------------------------------------

    async def register(
        self, who: Identity, kind: str, said: EndpointRegistration, endpoint: uuid.UUID | None
    ) -> EndpointRow:
        """Store a new endpoint of this kind, or one that comes back and may have changed. Raises NotFound,
        EndpointLocked, InvalidRequest if its id belongs to an endpoint of another kind, QuotaExceeded."""
        now = time.time()
        said = said._replace(group=shareable(who, said.group))
        old = self._rows.get(endpoint) if endpoint is not None else None
        if endpoint is not None and old is not None:
            check(who, "manage endpoint", old.owned, f"endpoint {endpoint}")
            _check_return(old, kind, now)
        elif is_bounded(who):
            has = sum(row.owner == who.id for row in self._rows.values()) + self._being_stored[who.id]
            require_quota(self._limits, who, "user_endpoints", has)
        row = EndpointRow(
            endpoint or uuid.uuid4(),
            kind,
            old.owner if old else who.id,
            *said,
            state=old.state if old else {},
            seen=now,
            locked_until=0.0,
            created=old.created if old else now,
        )
        self._being_stored[who.id] += old is None
        try:
            await self._committer.commit(lambda writer: writer.run("put_endpoint", rows.endpoint_values(row)))
        finally:
            self._being_stored[who.id] -= old is None
        self._rows[row.id] = row
        return row

    async def lock(self, who: Identity, endpoint: uuid.UUID) -> float:
        """Note that it may not register for a while; return until which Unix time. Raises NotFound."""
        row = self.managed(who, endpoint)
        until = time.time() + LOCKED
        await self._committer.commit(lambda writer: writer.run("lock_endpoint", (until, endpoint.bytes)))
        self._rows[endpoint] = row._replace(locked_until=until, seen=0.0)
        return until

    async def delete(self, who: Identity, endpoint: uuid.UUID) -> None:
        """Forget it. Raises NotFound."""
        self.managed(who, endpoint)
        await self._committer.commit(lambda writer: writer.run("drop_endpoint", (endpoint.bytes,)))
        self._rows.pop(endpoint, None)

    def heard(self, endpoint: uuid.UUID, state: dict[str, Any]) -> bool:
        """Note that a heartbeat came; return whether it is one that we know. It is stored with the next commit."""
        row = self._rows.get(endpoint)
        if row is None:
            return False
        now = time.time() if state.get("heartbeat_period") != 0 else 0.0  # 0: its last
        self._rows[endpoint] = row._replace(state=state, seen=now)
        values = (json.dumps(state), now, endpoint.bytes)
        self._committer.soon(lambda writer: writer.run("endpoint_seen", values), lambda _result, _error: None)
        return True

    # -- looking ------------------------------------------------------------------------------------------

    def find(self, endpoint: uuid.UUID) -> EndpointRow | None:
        """Return an endpoint, for the service itself."""
        return self._rows.get(endpoint)

    def of_kind(self, kind: str) -> list[EndpointRow]:
        """Return all endpoints of a kind, for the service itself."""
        return [row for row in self._rows.values() if row.kind == kind]

    def visible(self, who: Identity, role: str | None) -> list[EndpointRow]:
        """Return all that ``who`` may see, its own first; with role ``owner`` only those."""
        own = [row for row in self._rows.values() if row.owner == who.id]
        if role == "owner":
            return own
        others = [row for row in self._rows.values() if row.owner != who.id]
        return [*own, *(row for row in others if may(who, "read endpoint", row.owned))]

    def row(self, who: Identity, endpoint: uuid.UUID, action: str = "read endpoint") -> EndpointRow:
        """Return an endpoint that ``who`` may see, or change. Raises NotFound."""
        found = self._rows.get(endpoint)
        check(who, action, NOBODYS if found is None else found.owned, f"endpoint {endpoint}")
        assert found is not None
        return found

    def managed(self, who: Identity, endpoint: uuid.UUID) -> EndpointRow:
        """Return an endpoint that ``who`` may change. Raises NotFound."""
        return self.row(who, endpoint, "manage endpoint")

    def require(self, who: Identity, endpoint: uuid.UUID, functions: list[bytes]) -> EndpointRow:
        """Return an endpoint on which ``who`` may run these functions. Raises NotFound, FunctionNotPermitted."""
        row = self.row(who, endpoint)
        check(who, "run on endpoint", row.usable, f"endpoint {endpoint}")
        for function in functions:
            if not row.permits(function):
                raise FunctionNotPermitted(
                    f"function {uuid.UUID(bytes=function)} is not permitted on endpoint {endpoint}: it runs "
                    f"only the {len(row.allowed or [])} functions that its owner has listed"
                ) from absent(f"endpoint {endpoint}", forbidden="run this function on endpoint")
        return row


def _check_return(old: EndpointRow, kind: str, now: float) -> None:
    """Raise unless an endpoint that has registered before may register again now."""
    if old.kind != kind:
        raise InvalidRequest(
            f"endpoint {old.id} is registered as one of kind {old.kind}; one of kind {kind} needs an id of its own, "
            "or delete the old one first"
        )
    if old.locked_until > now:
        raise EndpointLocked(
            f"endpoint {old.id} was stopped by its owner; it may register again in {old.locked_until - now:.0f} s"
        )


def registration(document: Any) -> EndpointRegistration:
    """Return what a `documents.EndpointDocument` says. Raises InvalidRequest."""
    _check_release(document.metadata or {}, bool(document.multi_user))
    allowed = document.allowed_functions
    try:
        functions = [str(uuid.UUID(one)) for one in allowed] if allowed is not None else None
    except ValueError:
        raise InvalidRequest("allowed_functions is a list of function ids (UUIDs)") from None
    return EndpointRegistration(
        document.endpoint_name,
        document.display_name or document.endpoint_name,
        bool(document.multi_user),
        bool(document.public),
        document.group,
        functions,
        {**(document.metadata or {}), **_said_beside(document)},
    )


def _said_beside(document: Any) -> dict[str, Any]:
    """Return what an endpoint says of itself beside its metadata, and is only shown again."""
    names = ("description", "subscription_uuid", "high_assurance")
    return {name: said for name in names if (said := getattr(document, name)) is not None}


def _check_release(metadata: dict[str, Any], templates: bool) -> None:
    """Before 4.0, an endpoint that starts no user endpoints from templates takes tasks from a queue of its own, which
    nobody fills here. Raises InvalidRequest, which such an endpoint prints before it ends."""
    version = str(metadata.get("endpoint_version") or "")
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < FIRST_WITH_TEMPLATES and not templates:
        raise InvalidRequest(
            f"this is globus-compute-endpoint {version} without --multi-user, which is not served here. Update it to "
            f"{FIRST_WITH_TEMPLATES}.0 or newer, or configure it again with --multi-user"
        )
