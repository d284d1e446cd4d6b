"""Run Python functions somewhere else: on this machine, on a service of your own, on Globus Compute.

from compute_executor import Executor

with Executor() as ex:
    results = list(ex.map(simulate, parameters))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compute_executor._version import __version__

if TYPE_CHECKING:
    from compute_executor import errors as errors
    from compute_executor import serialize as serialize
    from compute_executor import testing as testing
    from compute_executor.executor import Executor as Executor
    from compute_executor.future import ComputeFuture as ComputeFuture
    from compute_executor.progress_bar import progress as progress
    from compute_executor.sdk.client import Client as Client
    from compute_executor.sdk.containers import ContainerSpec as ContainerSpec
    from compute_executor.sdk.shell_function import MPIFunction as MPIFunction
    from compute_executor.sdk.shell_function import ShellFunction as ShellFunction
    from compute_executor.sdk.shell_function import ShellResult as ShellResult
    from compute_executor.serialization.refs import Ref as Ref
    from compute_executor.sweeps.result import SweepResult as SweepResult
    from compute_executor.sweeps.sweep import sweep as sweep

__all__ = [
    "Client",
    "ComputeFuture",
    "ContainerSpec",
    "Executor",
    "MPIFunction",
    "Ref",
    "ShellFunction",
    "ShellResult",
    "SweepResult",
    "__version__",
    "progress",
    "sweep",
]

_HOMES = {
    "Executor": "compute_executor.executor",
    "ComputeFuture": "compute_executor.future",
    "Client": "compute_executor.sdk.client",
    "ContainerSpec": "compute_executor.sdk.containers",
    "MPIFunction": "compute_executor.sdk.shell_function",
    "ShellFunction": "compute_executor.sdk.shell_function",
    "ShellResult": "compute_executor.sdk.shell_function",
    "Ref": "compute_executor.serialization.refs",
    "progress": "compute_executor.progress_bar",
    "sweep": "compute_executor.sweeps.sweep",
    "SweepResult": "compute_executor.sweeps.result",
}

_MODULES = ("errors", "serialize", "testing")


def __getattr__(name: str) -> Any:
    """Import the public names when they are asked for (PEP 562): a worker, which imports parts of this
    package only, must start fast and may live where our dependencies are not installed. So are public modules."""
    if name not in _HOMES and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(_HOMES[name]), name)
