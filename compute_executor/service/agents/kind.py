"""Endpoints of our own as one kind of registered endpoints. Owner: the loop thread."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from compute_executor.endpoint.leases.frames import HolderHello
from compute_executor.endpoint.leases.grantor import GrantorSession
from compute_executor.errors import EndpointTaken, InvalidRequest, NotFound
from compute_executor.protocol.frames import Blob, Body, Options
from compute_executor.protocol.resources import check_fit, least, resources_of
from compute_executor.service.access import Identity, absent, may
from compute_executor.service.agents.engine import AgentEngine
from compute_executor.service.agents.lease_records import LeaseRecords
from compute_executor.service.agents.machines import EndpointMachines, Machine, known_of, stored_machines
from compute_executor.service.auth.endpoint_tokens import EndpointTokens
from compute_executor.service.endpoints.registry import EndpointRegistration, Endpoints
from compute_executor.service.endpoints.rows import EndpointRow
from compute_executor.service.limits import ServiceLimits

if TYPE_CHECKING:
    from compute_executor.endpoint.pool.events import EngineEvents
    from compute_executor.service.scheduling.dispatch import Dispatch
    from compute_executor.service.store.committer import Committer
    from compute_executor.service.store.reader import Reader

KIND = "compute_executor"
"""The name of this kind of endpoints in the store and in documents."""

REPLACED = "was replaced by another machine: it may run on there, or not"
FORGOTTEN = "was given up by the owner of the endpoint: it may run on there, or not"
DELETED = "was deleted by its owner"


class Agents:
    """An `endpoints.remote_kind.RemoteKind`. ``registered``: called with the id of an endpoint that has
    registered; ``shared``: what the tasks of a batch share."""

    name = KIND
    takes_shared = True

    def __init__(
        self,
        *,
        read: Reader,
        committer: Committer,
        dispatch: Dispatch,
        events: EngineEvents,
        endpoints: Endpoints,
        registered: Callable[[uuid.UUID], object],
        limits: ServiceLimits,
        shared: Callable[[int], Sequence[Blob]] = lambda _: (),
    ) -> None:
        self._endpoints = endpoints
        self._registered = registered
        self._shared = shared
        self._events = events
        self._records = LeaseRecords(read, committer)
        self._engine = AgentEngine(events, dispatch, self._records)
        self._most_machines = limits.endpoint_machines
        self.tokens: EndpointTokens = EndpointTokens(read, committer, limits.endpoint_machines)
        for row in endpoints.of_kind(KIND):
            group = self._engine.machines(row.id)
            for known in stored_machines(row.state):
                group.require(known)

    @property
    def engine(self) -> AgentEngine:
        """See RemoteKind."""
        return self._engine

    # -- RemoteKind ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See RemoteKind. Endpoints connect by themselves."""

    async def close(self) -> None:
        """See RemoteKind."""
        await self._engine.close()

    def restore(self) -> None:
        """See RemoteKind."""
        self._engine.restore()

    def place(self, who: Identity, endpoint: EndpointRow, options: Options) -> bytes:  # noqa: ARG002
        """See RemoteKind. An endpoint has one pool, which has its id. What not each of its machines can give is
        refused; where none has told yet what it has, the machine that is given the call ends it by name."""
        if options.container is not None:
            raise InvalidRequest(
                f"endpoint {endpoint.name} runs no containers: leave `container` out, or run on the service itself"
            )
        offer = least(self._engine.machines(endpoint.id).offers())
        if offer is not None:
            check_fit(resources_of(options), lambda: offer, f"endpoint {endpoint.name}")
        return endpoint.id.bytes

    def endpoint_of(self, pool: bytes) -> uuid.UUID | None:
        """See RemoteKind."""
        return self._engine.knows(pool)

    def online(self, endpoint: EndpointRow) -> bool:
        """See RemoteKind. As long as one of its machines is connected."""
        return bool(self._engine.machines(endpoint.id).connected())

    def versions(self, endpoint: EndpointRow) -> dict[str, str]:
        """See RemoteKind."""
        pythons = [one.known.python for one in self._engine.machines(endpoint.id) if one.known.python]
        return {"python_version": pythons[-1]} if pythons else {}

    def worker_details(self, pool: bytes) -> dict[str, Any] | None:  # noqa: ARG002
        """See RemoteKind. Nothing that stock SDKs need."""
        return None

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

    async def deleted(self, endpoint: EndpointRow) -> None:
        """See RemoteKind. Its machines find their tokens revoked."""
        await self.tokens.revoke(endpoint.id)
        self._engine.drop(endpoint.id, DELETED)

    # -- registering --------------------------------------------------------------------------------------

    async def register(self, who: Identity, said: EndpointRegistration) -> tuple[EndpointRow, str]:
        """Return an endpoint of ``who`` under this name, new or changed, and a token for it. Raises
        InvalidRequest."""
        known = self.owned(who, said.name)
        row = await self._endpoints.register(who, KIND, said, known.id if known else None)
        self._engine.machines(row.id)
        self._registered(row.id)
        return row, await self.tokens.issue(row.id)

    def owned(self, who: Identity, name: str) -> EndpointRow | None:
        """Return the endpoint that ``who`` has registered under this name."""
        mine = self._endpoints.visible(who, "owner")
        return next((row for row in mine if row.kind == KIND and row.name == name), None)

    def check_place(self, row: EndpointRow, machine: str) -> None:
        """Check whether a machine has an endpoint, or nobody has. Raises EndpointTaken."""
        group, asking = self._engine.machines(row.id), bytes.fromhex(machine)
        if group.find(asking) is None and (others := group.others(asking)):
            raise EndpointTaken(_taken(row.name, others))

    def visible(self, who: Identity) -> list[EndpointRow]:
        """Return all of this kind that ``who`` may see."""
        return [row for row in self._endpoints.visible(who, None) if row.kind == KIND]

    def find(self, who: Identity, name: str, action: str = "read endpoint") -> EndpointRow:
        """Return the endpoint of this name or id with which ``who`` may do this; its own first. Raises NotFound,
        InvalidRequest."""
        named = [row for row in self._endpoints.of_kind(KIND) if name in (str(row.id), row.name)]
        found = [row for row in named if may(who, action, row.owned)]
        mine = [row for row in found if row.owner == who.id]
        if len(mine or found) > 1:
            raise InvalidRequest(
                f"{len(found)} endpoints that you may use are called {name}: name one by its id"
            )
        if not found:
            there = ", ".join(sorted(row.name for row in self.visible(who))) or "none"
            raise NotFound(
                f"there is no endpoint {name[:100]!r} for you on this service; there are: {there}. Start one with "
                f"compute-executor endpoint start {name[:100]}"
            ) from absent("endpoint", forbidden=action if named else None)
        return (mine or found)[0]

    def view(self, who: Identity, row: EndpointRow) -> dict[str, Any]:
        """Return what is shown of an endpoint; its machines to those who may manage it, to others how many there
        are."""
        machines = [one.view() for one in self._engine.machines(row.id)]
        connected = [one for one in machines if one["connected"]]
        shown = {
            "endpoint_id": str(row.id),
            "name": row.name,
            "description": row.metadata.get("description", ""),
            "owner": row.owner,
            "public": row.public,
            "group": row.group,
            "allowed_functions": row.allowed,
            "online": bool(connected),
            "engine": machines[0]["engine"] if machines else "",
            "pythons": sorted({one["python"] for one in machines if one["python"]}),
            "workers": sum(_count(one["state"].get("workers")) for one in connected),
            "running": sum(_count(one["state"].get("running")) for one in connected),
            "open": self._engine.open_in(row.id.bytes),
        }
        mine = row.owner == who.id or who.admin
        return {**shown, "machines": machines} if mine else shown

    # -- machines -----------------------------------------------------------------------------------------

    def welcome(self, endpoint: uuid.UUID, hello: HolderHello) -> None:
        """Check whether a machine may work for an endpoint. Raises NotFound, EndpointTaken."""
        row = self._endpoints.find(endpoint)
        if row is None or row.kind != KIND:
            raise NotFound(f"endpoint {endpoint} is no longer registered here: start it again")
        group = self._engine.machines(endpoint)
        known = group.find(bytes.fromhex(hello.machine))
        if known is not None and hello.generation < known.known.generation:
            raise EndpointTaken(
                f"a newer process of endpoint {row.name} has run on {known.name}: this one is out of date"
            )
        if hello.replace:
            for machine in group.others(bytes.fromhex(hello.machine)):
                self._engine.forget(group, machine, REPLACED)
        elif not hello.join:
            self.check_place(row, hello.machine)
        if known is None:
            self._make_place(row, group)

    def _make_place(self, row: EndpointRow, group: EndpointMachines) -> None:
        """Forget machines that have gone, the longest first, where there are too many. Raises EndpointTaken."""
        while len(group) >= self._most_machines:
            away = [one for one in group if one.is_away()]
            if not away:
                raise EndpointTaken(f"endpoint {row.name} has {len(group)} machines, which is the limit")
            group.remove(min(away, key=lambda one: one.known.heard))

    def machine(self, endpoint: uuid.UUID, hello: HolderHello) -> Machine:
        """Return the machine that says this of itself, and was welcome."""
        return self._engine.machines(endpoint).require(known_of(hello))

    def connected(self, machine: Machine, session: GrantorSession, end: Callable[[str], object]) -> None:
        """Note that a machine is connected by ``session``; ``end`` ends that connection for a reason."""
        self._engine.connect(machine, session, end)
        self._store(uuid.UUID(bytes=machine.pool))

    def disconnected(self, machine: Machine, session: GrantorSession) -> None:
        """Note that its connection has ended."""
        self._engine.disconnect(machine, session)
        self._store(uuid.UUID(bytes=machine.pool))

    def code(self, number: int) -> Body:
        """Return the code of a function, by the number that tasks name it by."""
        return self._events.function_code(number)

    def shared(self, number: int) -> Sequence[Blob]:
        """Return what the tasks of a batch share, by the number of the batch."""
        return self._shared(number)

    def _store(self, endpoint: uuid.UUID) -> None:
        self._endpoints.heard(endpoint, {"machines": self._engine.machines(endpoint).known()})

    def end_machines(self, row: EndpointRow, machine: str, *, drain: bool) -> int:
        """Tell the machines of an endpoint to end (all, or the one of this host or id); how many were told."""
        told = [one for one in self._named(row, machine) if one.session is not None]
        for one in told:
            assert one.session is not None
            one.session.end_holder(drain=drain)
        return len(told)

    def forget_machines(self, row: EndpointRow, machine: str) -> int:
        """Give up what the machines of an endpoint hold that are not connected; how many tasks that were."""
        group, count = self._engine.machines(row.id), 0
        for one in self._named(row, machine):
            if one.session is None:
                count += len(one.leased)
                self._engine.forget(group, one, FORGOTTEN)
        self._store(row.id)
        return count

    def _named(self, row: EndpointRow, machine: str) -> list[Machine]:
        """Return the machines of an endpoint: all, or those of this host or id. Raises NotFound."""
        every = list(self._engine.machines(row.id))
        found = [one for one in every if machine in ("", one.known.host, one.known.machine)]
        if machine and not found:
            hosts = ", ".join(one.known.host for one in every) or "none"
            raise NotFound(f"endpoint {row.name} has no machine {machine[:100]!r}; it has: {hosts}")
        return found


def registration(name: str, before: EndpointRow | None) -> EndpointRegistration:
    """Return what is registered under a name; of a new one, nothing but that."""
    if before is None:
        return EndpointRegistration(name, name)
    return EndpointRegistration(
        name, name, before.public, before.public, before.group, before.allowed, before.metadata
    )


def _taken(name: str, others: list[Machine]) -> str:
    told = "; ".join(
        f"{one.name} ({'connected' if one.session else 'not connected'}, {len(one.leased)} tasks)"
        for one in others
    )
    # what to do comes first: the close frame that takes it to the machine has 123 bytes
    return f"--join works beside, --replace takes the place of what has the endpoint {name} now: {told}"


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
