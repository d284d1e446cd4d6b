"""The machines of an endpoint as the service sees them. Plain values; owner: the loop thread."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from compute_executor.endpoint.leases.balance import Load
from compute_executor.endpoint.leases.frames import HolderHello
from compute_executor.endpoint.leases.grantor import GrantedLeases, GrantorSession
from compute_executor.protocol.resources import ResourceOffer, offer_from

SILENT = 60.0
"""Seconds without a word after which a machine that is not connected counts as away."""


class KnownMachine(NamedTuple):
    """What is stored of a machine."""

    machine: str
    host: str
    generation: int
    engine: str
    version: str
    python: str
    heard: float


class Machine(GrantedLeases):
    """One machine, connected or not. ``session``: its connection, which ``end`` ends for a reason; ``trouble``: why
    it cannot start workers."""

    def __init__(self, pool: bytes, known: KnownMachine) -> None:
        super().__init__()
        self.pool = pool
        self.known: KnownMachine = known
        self.session: GrantorSession | None = None
        self.end: Callable[[str], object] = nobody
        self.state: dict[str, Any] = {}
        self.trouble = ""
        self.busy: float = time.monotonic()  # when it was given a task last, or has ended one

    @property
    def id(self) -> bytes:
        """What names it in the store."""
        return bytes.fromhex(self.known.machine)

    @property
    def name(self) -> str:
        """How people are told of it."""
        return self.known.host

    @property
    def load(self) -> Load:
        """What it holds, beside the workers that it last said it has."""
        workers = self.state.get("workers")
        return Load(workers if isinstance(workers, int) else 0, len(self.leased))

    def heard(self) -> None:
        """Note that it has said something."""
        self.known = self.known._replace(heard=time.time())

    def is_away(self) -> bool:
        """Return whether nothing is to be expected of it and nothing lost with it."""
        return self.session is None and not self.leased and time.time() - self.known.heard > SILENT

    def view(self) -> dict[str, Any]:
        """Return what `status` shows of it."""
        return {
            "machine": self.known.machine,
            "host": self.known.host,
            "engine": self.known.engine,
            "version": self.known.version,
            "python": self.known.python,
            "connected": self.session is not None,
            "heard": self.known.heard,
            "leased": len(self.leased),
            "trouble": self.trouble,
            "state": self._present_state(),
        }

    def _present_state(self) -> dict[str, Any]:
        """Return what it last said. No more runs there than it holds, which the service knows at once."""
        running = self.state.get("running")
        if not isinstance(running, int) or running <= len(self.leased):
            return self.state
        return {**self.state, "running": len(self.leased)}


class EndpointMachines:
    """All machines of one endpoint; its pool has the endpoint's id."""

    def __init__(self, endpoint: uuid.UUID) -> None:
        self.endpoint = endpoint
        self._machines: dict[bytes, Machine] = {}

    @property
    def pool(self) -> bytes:
        """The pool that tasks for this endpoint are in."""
        return self.endpoint.bytes

    def __len__(self) -> int:
        return len(self._machines)

    def __iter__(self) -> Iterator[Machine]:
        return iter(list(self._machines.values()))

    def find(self, machine: bytes) -> Machine | None:
        """Return the machine of this id."""
        return self._machines.get(machine)

    def require(self, known: KnownMachine) -> Machine:
        """Return the machine, made if it is new; what it says of itself now counts."""
        machine = self._machines.setdefault(bytes.fromhex(known.machine), Machine(self.pool, known))
        machine.known = known
        return machine

    def remove(self, machine: Machine) -> None:
        """Note that it is no machine of this endpoint any more."""
        self._machines.pop(machine.id, None)

    def others(self, machine: bytes) -> list[Machine]:
        """Return those beside this one that are at work, or hold tasks."""
        return [one for one in self if one.id != machine and not one.is_away()]

    def connected(self) -> list[Machine]:
        """Return those with a connection."""
        return [one for one in self if one.session is not None]

    def working(self) -> list[tuple[Machine, GrantorSession]]:
        """Return those that can be given tasks; the one that was given some last comes last."""
        return [(one, one.session) for one in self if one.session is not None and not one.trouble]

    def last(self, machine: Machine) -> None:
        """Note that this one was given tasks."""
        self._machines[machine.id] = self._machines.pop(machine.id)

    def offers(self) -> list[ResourceOffer]:
        """Return what the connected machines have for a call, of those that have told."""
        found = (offer_from(one.state.get("offer")) for one in self.connected())
        return [offer for offer in found if offer is not None]

    def known(self) -> list[dict[str, Any]]:
        """Return what is stored."""
        return [one.known._asdict() for one in self]


def nobody(_reason: str) -> None:
    """End the connection of a machine that has none."""


def known_of(hello: HolderHello) -> KnownMachine:
    """Return what a machine says of itself."""
    return KnownMachine(
        hello.machine,
        hello.host[:255],
        hello.generation,
        hello.engine[:64],
        hello.version[:64],
        hello.python[:64],
        time.time(),
    )


def stored_machines(state: dict[str, Any]) -> list[KnownMachine]:
    """Return what an endpoint's row has of its machines; entries that are none are left out."""
    found = []
    for entry in state.get("machines", ()):
        if isinstance(entry, dict) and set(KnownMachine._fields) <= set(entry):
            found.append(KnownMachine(**{name: entry[name] for name in KnownMachine._fields}))
    return found


def unknown_machine(machine: bytes) -> KnownMachine:
    """Return a machine of which only its leases are known."""
    return KnownMachine(machine.hex(), "a machine that is not known any more", 0, "", "", "", 0.0)
