"""The command that starts the MPI ranks of a call, in the variable in which `MPIFunction` looks for it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from compute_executor import surroundings

VARIABLE = "PARSL_MPI_PREFIX"
"""As at endpoints of Globus Compute, whose workers set it."""

_OF_SLURM = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
"""By which launchers find the nodes of a job. A call has one machine, that of its worker, and not the job's first."""


@contextlib.contextmanager
def set_for(ranks: int) -> Iterator[None]:
    """Have the variable while a call runs that may start so many ranks."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = prefix(ranks)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


def prefix(ranks: int) -> str:
    """Return what to write before a command, on this machine."""
    launcher = surroundings.mpi_launcher(os.environ)
    hidden = " ".join(f"-u {name}" for name in _OF_SLURM if name in os.environ)
    return f"env {hidden} {launcher} -n {ranks}" if hidden else f"{launcher} -n {ranks}"
