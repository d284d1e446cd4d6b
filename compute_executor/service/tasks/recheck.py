"""May what was accepted still run? Asked again between the submit and the run, because in between a user may leave
a group, an endpoint may be shared no more, or list other functions.

    reconsider, endpoint_changed -> judged -> queued and leased tasks that may not run end as REFUSED
    sift                                      what comes back later (from a lost worker, say) ends when it is taken

What has begun goes on. Batches are judged when something changes and not for each task, so `sift` costs nothing as
long as nothing is barred. Owner: the loop thread.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable

from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.protocol.frames import REFUSED, Reason
from compute_executor.service.access import Identity, may
from compute_executor.service.endpoints.engines import Engines
from compute_executor.service.endpoints.registry import Endpoints
from compute_executor.service.endpoints.rows import EndpointRow
from compute_executor.service.scheduling.dispatch import Dispatch, OpenBatch
from compute_executor.service.tasks.functions import Functions
from compute_executor.service.tasks.open_batches import OpenBatches
from compute_executor.service.tasks.outcomes import Outcomes, made_here

log = logging.getLogger(__name__)

Barred = dict[int, str]  # numbers of the functions of a batch that may not run, and why
Withdraw = Callable[[OpenBatch, list[int], int, Reason], list[int]]


class AuthorizationRecheck:
    """The authorization of tasks that are open. ``withdraw``: ends those tasks of a batch that have not begun."""

    def __init__(
        self,
        *,
        dispatch: Dispatch,
        batches: OpenBatches,
        functions: Functions,
        outcomes: Outcomes,
        endpoints: Endpoints,
        engines: Engines,
        withdraw: Withdraw,
    ) -> None:
        self._dispatch = dispatch
        self._batches = batches
        self._functions = functions
        self._outcomes = outcomes
        self._endpoints = endpoints
        self._engines = engines
        self._withdraw = withdraw
        self._told: dict[str, Identity | None] = {}  # by `reconsider`
        self._seen: dict[str, Identity] = {}  # at submits
        self._barred: dict[int, Barred] = {}

    # -- what changes -------------------------------------------------------------------------------------

    def seen(self, who: Identity) -> None:
        """Somebody submits: the best that is known of users whom nobody has spoken of."""
        self._seen[who.id] = who

    def reconsider(self, user: str, identity: Identity | None) -> None:
        """This user is somebody else now: in other groups, say; or nobody (None)."""
        self._told[user] = identity
        for batch in self._dispatch.batches():
            if batch.owner == user:
                self._judge(batch)

    def endpoint_changed(self, endpoint: uuid.UUID) -> None:
        """An endpoint has registered again: it may be shared otherwise, or permit other functions."""
        for batch in self._dispatch.batches():
            if self._engines.endpoint_of(batch.lane.pool) == endpoint:
                self._judge(batch)

    def accepted(self, number: int) -> None:
        """A batch is open now. What has changed while it was stored holds for it, too."""
        batch = self._dispatch.by_number(number)
        if batch is not None and batch.owner in self._told:
            self._judge(batch)

    def finished(self, number: int) -> None:
        """A batch is open no more."""
        self._barred.pop(number, None)

    def _endpoint(self, batch: OpenBatch) -> EndpointRow | None:
        """The registered endpoint that a batch is for; None if it is for the built-in one."""
        endpoint = self._engines.endpoint_of(batch.lane.pool)
        return None if endpoint is None else self._endpoints.find(endpoint)

    # -- judging ------------------------------------------------------------------------------------------

    def _judge(self, batch: OpenBatch) -> None:
        numbers = self._batches.function_numbers(batch.number)
        barred = {
            number: why
            for number in numbers
            if (why := self._why_not(batch, self._functions.id(number))) is not None
        }
        if not barred:
            self._barred.pop(batch.number, None)
            return
        self._barred[batch.number] = barred
        try:
            by_number = self._batches.positions(batch.number)
        except Exception:  # the disk: what is taken later is sifted
            log.exception("tasks of batch %s cannot be read; those barred end later", batch.prefix.hex())
            return
        for number, why in barred.items():
            self._withdraw(batch, by_number.get(number, []), REFUSED, _reason(why))

    def _why_not(self, batch: OpenBatch, function: bytes) -> str | None:
        """Why a function may not run for the owner of a batch where that is queued; None if it may."""
        who = self._told.get(batch.owner, self._seen.get(batch.owner))
        name = f"function {uuid.UUID(bytes=function)}"
        if who is None:
            return (
                f"{name} was not run: its caller {batch.owner} {_GONE}" if batch.owner in self._told else None
            )
        if not may(who, "run function", self._functions.owned(function)):
            return f"{name} was not run: it is shared with {batch.owner} no more"
        return _why_not_there(who, name, function, self._endpoint(batch))

    # -- taking -------------------------------------------------------------------------------------------

    def sift(self, taken: list[Assignment]) -> list[Assignment]:
        """What may run of the tasks that an engine is about to be given; the others end."""
        if not self._barred:
            return taken
        return [one for one in taken if not self._ended(one)]

    def _ended(self, one: Assignment) -> bool:
        why = self._barred.get(one.batch, {}).get(one.function)
        batch = self._dispatch.by_number(one.batch)
        if why is None or batch is None:
            return False
        done = self._dispatch.withdrawn(batch, [one.position])
        self._outcomes.put(made_here([(batch, position) for position in done], REFUSED, _reason(why)))
        return True


_GONE = "is no user of this service any more"


def _why_not_there(who: Identity, name: str, function: bytes, endpoint: EndpointRow | None) -> str | None:
    if endpoint is None:
        return None
    if not may(who, "run on endpoint", endpoint.usable):
        return f"{name} was not run: endpoint {endpoint.id} is shared with {who.id} no more"
    if not endpoint.permits(function):
        return f"{name} was not run: endpoint {endpoint.id} permits it no more"
    return None


def _reason(why: str) -> Reason:
    return Reason(why, None, False, 0)
