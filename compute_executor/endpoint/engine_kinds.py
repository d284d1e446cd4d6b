"""The kinds of engines that an endpoint can have, in one table: the command line, the settings and the endpoint's
process are made from it. `endpoint.pilots.sources` opens those whose workers are elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

ANY_NUMBER = 1_000_000

OF_BLOCKS = ("address", "min_blocks", "max_blocks", "idle")
"""Settings of every engine whose workers are elsewhere."""


class EngineKind(NamedTuple):
    """One kind. ``options``: the settings that are for it alone; ``extra``: of this package, with what it needs;
    ``idle``: seconds without a task after which a block ends; ``max_blocks``: by default; ``one_on_a_machine``:
    whether the workers of one machine are started from one place, which divides the devices among them;
    ``has_address``: whether the address in the settings is that of the engine, and not this machine's."""

    name: str
    options: tuple[str, ...] = ()
    extra: str = ""
    idle: float = 5.0
    max_blocks: int = ANY_NUMBER
    one_on_a_machine: bool = False
    has_address: bool = False

    @property
    def is_here(self) -> bool:
        """Whether its workers run on the endpoint's own machine, without blocks."""
        return self.name == PROCESS

    def allowed(self) -> tuple[str, ...]:
        """Return the settings that mean something to it, beside those that every endpoint has."""
        return self.options if self.is_here else (*self.options, *OF_BLOCKS)


PROCESS = "process"
"""The engine of worker processes on the endpoint's own machine."""

QUEUED = 60.0
"""Seconds without a task after which a block ends where a new one may wait in a queue."""

_SLURM = (
    "partition",
    "account",
    "nodes",
    "cores_per_node",
    "walltime",
    "worker_init",
    "scheduler_options",
    "exclusive",
)

KINDS = {
    kind.name: kind
    for kind in (
        EngineKind(PROCESS, one_on_a_machine=True),
        EngineKind("slurm", _SLURM, "slurm", QUEUED, 1, one_on_a_machine=True),
        EngineKind("parsl", ("config",), "parsl", QUEUED, one_on_a_machine=True),
        EngineKind("dask", ("scheduler",), "dask"),
        EngineKind("mpi", ("ranks",), "mpi"),
        EngineKind("ray", (), "ray", has_address=True),
    )
}


def kind_of(engine: str) -> EngineKind:
    """Return the kind of an engine. What has no name of a kind is a file with a function that returns an executor.

    >>> kind_of("slurm").max_blocks, kind_of("pools.py:make").options
    (1, ())
    """
    return KINDS.get(engine) or EngineKind(engine)


def strange(engine: str, given: set[str]) -> dict[str, list[str]]:
    """Return those of the given settings that mean nothing to an engine, with the engines to which they do.

    >>> strange("dask", {"partition", "scheduler", "folder"})
    {'partition': ['slurm']}
    """
    of_kinds = {name for kind in KINDS.values() for name in kind.allowed()}
    nothing = sorted((given & of_kinds) - set(kind_of(engine).allowed()))
    return {name: [kind.name for kind in KINDS.values() if name in kind.allowed()] for name in nothing}
