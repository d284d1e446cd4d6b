"""May what was accepted still run? Asked again between the submit and the run, because in between a user may leave
a group, an endpoint may be shared no more, or list other functions.

    reconsider, endpoint_changed -> judged -> queued and leased tasks that may not run end as REFUSED
    refuse                                    what comes back later (from a lost worker, say) ends when it is taken

What has begun goes on. Batches are judged when something changes, not for each task: what is denied is noted in the
batch. Owner: the loop thread.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable

from compute_executor.protocol.frames import REFUSED, Reason
from compute_executor.service.access import Identity, may
from compute_executor.service.endpoints.engines import Engines
from compute_executor.service.endpoints.registry import Endpoints
from compute_executor.service.endpoints.rows import EndpointRow
from compute_executor.service.scheduling.dispatch import Dispatch
from compute_executor.service.scheduling.queues import OpenBatch
from compute_executor.service.tasks.functions import Functions
from compute_executor.service.tasks.open_batches import OpenBatches
from compute_executor.service.tasks.outcomes import Outcomes, made_here
from compute_executor.service.tasks.queue_control import QueueControl

log: logging.Logger = logging.getLogger(__name__)


class AuthorizationRecheck:
    """The authorization of tasks that are open."""

    def __init__(
        self,
        *,
        dispatch: Dispatch,
        batches: OpenBatches,
        functions: Functions,
        outcomes: Outcomes,
        endpoints: Endpoints,
        engines: Engines,
        queues: QueueControl,
    ) -> None:
        self._dispatch = dispatch
        self._batches = batches
        self._functions = functions
        self._outcomes = outcomes
        self._endpoints = endpoints
        self._engines = engines
        self._queues = queues
        self._changed: dict[str, Identity | None] = {}  # by `reconsider`
        self._seen: dict[str, Identity] = {}  # at submits

    # -- what changes -------------------------------------------------------------------------------------

    def seen(self, who: Identity) -> None:
        """Note the identity of a user who submits: the best that is known until `reconsider` is called."""
        self._seen[who.id] = who

    def reconsider(self, user: str, identity: Identity | None) -> None:
        """Judge the open batches of a user whose identity has changed: who is in other groups, say, or is no user
        any more (None)."""
        self._changed[user] = identity
        for batch in self._dispatch.batches():
            if batch.owner == user:
                self._judge(batch)

    def endpoint_changed(self, endpoint: uuid.UUID) -> None:
        """Judge the open batches for an endpoint that has registered again: it may be shared otherwise, or permit
        other functions."""
        for batch in self._dispatch.batches():
            if self._engines.endpoint_of(batch.pool) == endpoint:
                self._judge(batch)

    def accepted(self, batch: OpenBatch) -> None:
        """Judge a new batch, if its user has changed since the service started: maybe while it was stored."""
        if batch.owner in self._changed:
            self._judge(batch)

    def _endpoint(self, batch: OpenBatch) -> EndpointRow | None:
        """Return the registered endpoint that a batch is for; None if it is for the built-in one."""
        endpoint = self._engines.endpoint_of(batch.pool)
        return None if endpoint is None else self._endpoints.find(endpoint)

    # -- judging ------------------------------------------------------------------------------------------

    def _judge(self, batch: OpenBatch) -> None:
        batch.denied = {
            number: why
            for number in batch.functions
            if (why := self._why_not(batch, self._functions.id(number))) is not None
        }
        if not batch.denied:
            return
        try:
            by_function = self._batches.positions(batch)
        except Exception:  # the disk: they are refused when they are taken
            log.exception("tasks of batch %s cannot be read; those denied end later", batch.prefix.hex())
            return
        for number, why in batch.denied.items():
            self._queues.withdraw(batch, by_function.get(number, []), REFUSED, _reason(why))

    def _why_not(self, batch: OpenBatch, function: bytes) -> str | None:
        """Return why a function may not run for the owner of a batch where that is queued; None if it may."""
        who = self._changed.get(batch.owner, self._seen.get(batch.owner))
        name = f"function {uuid.UUID(bytes=function)}"
        if who is None:
            return (
                f"{name} was not run: its caller {batch.owner} {_GONE}"
                if batch.owner in self._changed
                else None
            )
        if not may(who, "run function", self._functions.owned(function)):
            return f"{name} was not run: it is no longer shared with {batch.owner}"
        return _why_not_there(who, name, function, self._endpoint(batch))

    # -- taking -------------------------------------------------------------------------------------------

    def refuse(self, leased: Iterable[tuple[OpenBatch, int, int]]) -> None:
        """End tasks (batch, position, function) that were leased and may not run any more."""
        for batch, position, function in leased:
            done = self._dispatch.withdrawn(batch, [position])
            reason = _reason(batch.denied[function])
            self._outcomes.put(made_here([(batch, position) for position in done], REFUSED, reason))


_GONE = "is no user of this service any more"


def _why_not_there(who: Identity, name: str, function: bytes, endpoint: EndpointRow | None) -> str | None:
    if endpoint is None:
        return None
    if not may(who, "run on endpoint", endpoint.usable):
        return f"{name} was not run: endpoint {endpoint.id} is no longer shared with {who.id}"
    if not endpoint.permits(function):
        return f"{name} was not run: endpoint {endpoint.id} no longer permits it"
    return None


def _reason(why: str) -> Reason:
    return Reason(why, None, False, 0)
