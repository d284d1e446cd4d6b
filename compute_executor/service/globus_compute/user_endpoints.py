"""The user endpoints: which there are, and what was given to each through the broker. Owner: the loop thread."""

from __future__ import annotations

import json
import time
import uuid
from collections import deque
from collections.abc import Iterator
from typing import Any

from compute_executor.service.access import Identity
from compute_executor.service.globus_compute import documents, names, rows
from compute_executor.service.globus_compute.credit import MOST, Credit, workers
from compute_executor.service.globus_compute.heartbeats import HeartbeatReport, LivenessMonitor, Task
from compute_executor.service.globus_compute.rows import UserEndpointRow
from compute_executor.service.store.committer import Committer
from compute_executor.service.store.reader import Reader

WINDOW = 128
"""Tasks of one user endpoint that may be on their way to the broker without its confirmation; so many messages the
log queue keeps, which tells after a break which of them arrived."""


class UserEndpoint:
    """One of them. ``given``: what is out, with attempts, in the order in which it was published; ``queued``:
    those that may still be in its queue."""

    __slots__ = ("credit", "declared", "given", "in_flight", "queued", "recent", "row", "uncertain", "watch")

    def __init__(self, row: UserEndpointRow) -> None:
        self.row: UserEndpointRow = row
        self.watch: LivenessMonitor = LivenessMonitor()
        self.credit: Credit = Credit()
        self.credit.workers = workers(row.state)
        self.given: dict[Task, int] = {}
        self.recent: deque[Task] = deque(maxlen=WINDOW)  # given last: the log queue knows of them
        self.queued: deque[Task] = deque(maxlen=MOST)
        self.in_flight: int = 0  # published, not confirmed
        self.uncertain: bool = False  # whether something given has arrived must be looked up
        self.declared: bool = False  # its queues exist, as far as this connection knows

    @property
    def pool(self) -> bytes:
        """The id of the pool that it is."""
        return self.row.id.bytes

    def note(self, task: Task, attempt: int, function: int | None = None) -> None:
        """Note that a task is given to the broker."""
        self.given[task] = attempt
        self.credit.given(task, function)
        self.watch.given()
        self.recent.append(task)
        self.queued.append(task)

    def delivered(self, count: int) -> None:
        """Note that the first ``count`` of ``queued`` have left the queue."""
        for _ in range(min(count, len(self.queued))):
            self.queued.popleft()

    def forget(self, task: Task) -> int:
        """Note that it is not out any more. Return its attempt; 0 if it was not out."""
        self.credit.dropped(task)
        return self.given.pop(task, 0)


class UserEndpoints:
    """All of them, by the id of their pool."""

    def __init__(self, read: Reader, committer: Committer) -> None:
        self._read = read
        self._committer = committer
        found = map(rows.user_endpoint, read.rows("all_user_endpoints"))
        self._known = {row.id.bytes: UserEndpoint(row) for row in found}

    def require(
        self,
        who: Identity,
        endpoint: uuid.UUID,
        config: dict[str, Any] | None,
        runtime: dict[str, Any] | None,
    ) -> bytes:
        """Return the pool of this user and configuration; it is stored before any batch that is submitted after
        this."""
        id = names.user_endpoint_id(endpoint, who.id, config)
        if id.bytes not in self._known:
            row = UserEndpointRow(
                id, endpoint, who.id, who.name, config or {}, documents.runtime_of(runtime), {}, {}, 0.0
            )
            values = rows.user_endpoint_values(row)
            self._known[id.bytes] = UserEndpoint(row)
            self._committer.soon(lambda writer: writer.run("put_user_endpoint", values), _ignore)
        return id.bytes

    def get(self, pool: bytes) -> UserEndpoint | None:
        """Return the user endpoint that a pool is."""
        return self._known.get(pool)

    def of(self, endpoint: uuid.UUID) -> list[UserEndpoint]:
        """Return all user endpoints of an endpoint."""
        return [one for one in self._known.values() if one.row.endpoint == endpoint]

    def __iter__(self) -> Iterator[UserEndpoint]:
        return iter(list(self._known.values()))

    def forget(self, one: UserEndpoint) -> None:
        """Note that its endpoint is deleted."""
        self._known.pop(one.pool, None)
        self._committer.soon(lambda writer: writer.run("drop_user_endpoint", (one.pool,)), _ignore)

    # -- what is stored of them ---------------------------------------------------------------------------

    def given_before(self) -> Iterator[rows.PublishedRange]:
        """Return what was given by the service before us, in order."""
        return map(rows.given, self._read.rows("all_given"))

    def heard(self, one: UserEndpoint, state: dict[str, Any]) -> None:
        """Store a heartbeat."""
        now = time.time()
        one.row = one.row._replace(state=state, seen=now)
        one.credit.workers = workers(state)
        values = (json.dumps(state), now, one.pool)
        self._committer.soon(lambda writer: writer.run("user_endpoint_seen", values), _ignore)

    def detailed(self, one: UserEndpoint, details: dict[str, Any]) -> None:
        """Store what a worker said of itself, if that is news."""
        if details != one.row.details:
            one.row = one.row._replace(details=details)
            values = (json.dumps(details), one.pool)
            self._committer.soon(lambda writer: writer.run("user_endpoint_details", values), _ignore)


def report(state: dict[str, Any]) -> HeartbeatReport:
    """Return what a user endpoint's heartbeat says."""
    period = state.get("heartbeat_period")
    process = f"{state.get('start_unix')} {state.get('posix_pid')}"
    # Engines that count their tasks ever (total_tasks) count those that are out; the others always say 0.
    idle = "total_tasks" in state and not state.get("outstanding_tasks", 1)
    return HeartbeatReport(bool(state.get("active", True)), float(period) if period else 0.0, process, idle)


def _ignore(_result: object, _error: Exception | None) -> None:
    """Ignore a failure: what could not be stored is said again: by the next heartbeat, the next result, the next
    submit."""
