"""How many threads the libraries in a worker start: one place for Executors and for sweeps. No I/O."""

from __future__ import annotations

from collections.abc import MutableMapping

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""What OpenMP, OpenBLAS, MKL, BLIS, Accelerate, numexpr and numba read, as in joblib and dask."""


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables by which these libraries start ``threads`` threads."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def limit_threads(environ: MutableMapping[str, str], cpus: int, workers: int, threads: int | None) -> None:
    """Set how many threads the libraries of a worker start: ``threads``, else so many that all workers together
    have no more than there are CPUs. What the user has set stays, unless ``threads`` is given."""
    number = threads or max(1, cpus // max(1, workers))
    for name, value in thread_variables(number).items():
        if threads is not None or name not in environ:
            environ[name] = value
