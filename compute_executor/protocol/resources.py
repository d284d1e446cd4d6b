"""What a call takes of a machine, what a machine offers, and whether the one fits into the other. Pure.

ex.options(cores=4, memory="8GB", gpus=1, nodes=2, ranks=8) -> Options -> Resources
                                                                         | misfits
                                      workers of an Executor or endpoint -> ResourceOffer
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from compute_executor import checks
from compute_executor.errors import InvalidRequest, ResourcesNotOffered
from compute_executor.protocol.frames import Options, PoolSpec
from compute_executor.sizes import bytes_of

MOST = 1_000_000
"""Of cores, devices, nodes or ranks that a call may ask for: more is a slip of the keyboard."""

MOST_MEMORY = 1 << 62

_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"))


class Resources(NamedTuple):
    """What one call takes. ``cores``: of each of its ``ranks``; ``memory``: bytes, of all of them together; ``gpus``:
    devices that it sees; ``nodes``: machines."""

    cores: int = 1
    memory: int = 0
    gpus: int = 0
    nodes: int = 1
    ranks: int = 1

    @property
    def all_cores(self) -> int:
        """The cores of all ranks."""
        return self.cores * self.ranks


class ResourceOffer(NamedTuple):
    """What the workers on one machine have. ``workers``: how many; ``cores``, ``gpus``: of each worker; ``memory``:
    bytes, of all of them together, 0 if it is not known; ``launcher``: the program that starts MPI ranks there, or
    ""; None: not known."""

    workers: Annotated[int, msgspec.Meta(ge=1, le=MOST)]
    cores: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 1
    memory: Annotated[int, msgspec.Meta(ge=0, le=MOST_MEMORY)] = 0
    gpus: Annotated[int, msgspec.Meta(ge=0, le=MOST)] = 0
    launcher: Annotated[str, msgspec.Meta(max_length=4096)] | None = None


class WorkerShare(NamedTuple):
    """What a call occupies of an offer: as many workers as have its cores together, and bytes of memory."""

    workers: int = 1
    memory: int = 0


# -- from options -------------------------------------------------------------------------------------------


def count(name: str, value: Any) -> int:
    """Return a number of things. Raises TypeError for what is no whole number (True, "4", 4.0), ValueError
    outside of 1 to `MOST`."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r} of type bool")
    return checks.integer(name, value, least=1, most=MOST)


def memory_size(name: str, value: Any) -> int:
    """Return the bytes, of a number of them or of text. Raises TypeError and ValueError.

    >>> memory_size("memory", "8GB"), memory_size("memory", "1.5 GiB"), memory_size("memory", 4096)
    (8000000000, 1610612736, 4096)
    """
    if isinstance(value, str):
        try:
            value = bytes_of(value)
        except ValueError as error:
            raise ValueError(f"{name} must be bytes or a size, and {error}") from None
    if isinstance(value, bool):
        raise TypeError(f"{name} must be bytes or a size such as '8GB', not {value!r} of type bool")
    number = checks.integer(name, value, least=1)
    if number > MOST_MEMORY:
        raise ValueError(f"{name} is {number} bytes, which no machine has")
    return number


def resources_of(options: Options) -> Resources | None:
    """Return what each call with these options takes; None if that is one worker, as for most."""
    asked = (options.cores, options.memory, options.gpus, options.nodes, options.ranks)
    if asked == (None, None, None, None, None):
        return None
    return Resources(
        options.cores or 1, options.memory or 0, options.gpus or 0, options.nodes or 1, options.ranks or 1
    )


def check_values(options: Options) -> None:
    """Raise InvalidRequest for figures that no call can have: of a client that has not looked at them."""
    if resources_of(options) is None:
        return
    for name, most in (
        ("cores", MOST),
        ("memory", MOST_MEMORY),
        ("gpus", MOST),
        ("nodes", MOST),
        ("ranks", MOST),
    ):
        value = getattr(options, name)
        if value is not None and not 1 <= value <= most:
            raise InvalidRequest(f"{name} may be 1 to {most}, not {value}")


# -- whether it fits ----------------------------------------------------------------------------------------


def offer_of(spec: PoolSpec, memory: int = 0, launcher: str | None = None) -> ResourceOffer:
    """Return what a pool of workers offers, on a machine with so much memory."""
    gpus = len(spec.devices[0].names) if spec.devices else 0
    return ResourceOffer(spec.max_workers, spec.threads or 1, memory, gpus, launcher)


def offer_from(document: object) -> ResourceOffer | None:
    """Return the offer in what a machine says of itself (its ``_asdict``); None if there is none that can be one."""
    if not isinstance(document, dict):
        return None
    known = {name: document[name] for name in ResourceOffer._fields if name in document}
    try:
        return msgspec.convert(tuple(ResourceOffer(**known)), ResourceOffer)
    except (TypeError, msgspec.ValidationError):
        return None


def least(offers: Sequence[ResourceOffer]) -> ResourceOffer | None:
    """Return what each of several machines has, of which any may be given a call; None of none."""
    if not offers:
        return None
    sizes = [one.memory for one in offers if one.memory]
    launchers = [one.launcher for one in offers]
    return ResourceOffer(
        min(one.workers for one in offers),
        min(one.cores for one in offers),
        min(sizes, default=0),
        min(one.gpus for one in offers),
        "" if "" in launchers else launchers[0],
    )


def share_of(asked: Resources, offer: ResourceOffer) -> WorkerShare:
    """Return what a call occupies.

    >>> share_of(Resources(cores=4), ResourceOffer(workers=8, cores=2))
    WorkerShare(workers=2, memory=0)
    """
    return WorkerShare(math.ceil(asked.all_cores / offer.cores), asked.memory)


def misfits(asked: Resources, offer: ResourceOffer) -> str:
    """Return what of it the offer cannot give, with both figures; "" if it fits."""
    found = []
    there = offer.workers * offer.cores
    if asked.all_cores > there:
        each = "" if offer.cores == 1 else f" of {offer.cores} cores each"
        ranks = "" if asked.ranks == 1 else f" ({asked.ranks} ranks)"
        found.append(
            f"cores={asked.all_cores}{ranks}, and {_things(offer.workers, 'worker')}{each} are there"
        )
    if asked.memory and offer.memory and asked.memory > offer.memory:
        found.append(f"memory={size_text(asked.memory)}, and {size_text(offer.memory)} are there")
    if asked.gpus > offer.gpus:
        found.append(f"gpus={asked.gpus}, and {_things(offer.gpus, 'device')} for each worker are there")
    if asked.nodes > 1:
        found.append(
            f"nodes={asked.nodes}, and a call runs on 1 machine there (submit a job for it, or take a stock endpoint "
            "with GlobusMPIEngine)"
        )
    if asked.ranks > 1 and offer.launcher == "":
        found.append(
            f"ranks={asked.ranks}, and nothing there starts them: no mpiexec or mpirun is on PATH, or the "
            "workers are ranks themselves"
        )
    return "; ".join(found)


def check_fit(asked: Resources | None, offer: Callable[[], ResourceOffer], who: str) -> None:
    """Raise ResourcesNotOffered, with both figures, for what ``who`` cannot give."""
    if asked is not None and (why := misfits(asked, offer())):
        raise ResourcesNotOffered(f"a call asks {who} for {why}: ask for less, or for another endpoint")


def size_text(size: int) -> str:
    """Return the bytes for people.

    >>> size_text(8_000_000_000), size_text(512)
    ('7.5 GiB (8000000000 bytes)', '512 bytes')
    """
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name} ({size} bytes)"
    return f"{size} bytes"


def _things(number: int, name: str) -> str:
    return f"{number or 'no'} {name}{'' if number == 1 else 's'}"


# -- for endpoints of Globus Compute ------------------------------------------------------------------------


def stock_specification(options: Options) -> dict[str, Any] | None:
    """Return the ``resource_specification`` of Parsl's MPI mode that nodes and ranks mean. Raises ResourcesNotOffered
    where they mean none. Source: "MPI and Multi-node Apps" in Parsl's user guide."""
    given = options.resource_specification
    if options.nodes is None and options.ranks is None:
        return given
    nodes, ranks = options.nodes or 1, options.ranks or options.nodes or 1
    if given is not None:
        raise ResourcesNotOffered(
            f"nodes={nodes} and ranks={ranks} are a resource_specification at such an endpoint, and one is given "
            f"({given!r:.200}): give either"
        )
    if ranks % nodes:
        raise ResourcesNotOffered(
            f"ranks={ranks} cannot be divided among nodes={nodes} evenly, which such an endpoint needs: take a "
            f"multiple of {nodes}"
        )
    return {"num_nodes": nodes, "num_ranks": ranks, "ranks_per_node": ranks // nodes}
