"""What the workers of an Executor are like: they see what its program sees at the moment when it is made."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from compute_executor import devices
from compute_executor.functions import module_changes
from compute_executor.protocol.frames import PoolSpec, WorkerDevices
from compute_executor.protocol.resources import count
from compute_executor.serialization import native
from compute_executor.surroundings import interpreter_options, messages, observe, pack, usable_cpus, wire_text
from compute_executor.thread_limits import thread_variables

CREDENTIALS = frozenset(
    {
        "COMPUTE_EXECUTOR_TOKEN",
        "GLOBUS_COMPUTE_CLIENT_SECRET",
        "FUNCX_SDK_CLIENT_SECRET",
        "GLOBUS_CLI_CLIENT_SECRET",
    }
)
"""Environment variables that open a service: workers do not get them."""


def pool_spec(
    max_workers: int | None,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
    label: str,
    output: str,
    *,
    gpus: Any = None,
    threads: int | None = None,
    script: Mapping[str, Any] | None = None,
) -> PoolSpec:
    """Return the workers' view of the world: what the caller sees at this moment. ``gpus``, ``threads``: of the
    workers, as an Executor takes them; ``script``: what else workers are told of the program's script. Raises
    TypeError and ValueError for wrong ones."""
    shared = [] if gpus is None else [WorkerDevices(*one) for one in devices.of_workers(gpus)]
    threads = 0 if threads is None else count("threads_per_worker", threads)
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        cwd = ""  # it was removed: workers start in one that is removed as well
    return PoolSpec(
        max_workers=max_workers or len(shared) or max(1, usable_cpus() // (threads or 1)),
        python=wire_text(sys.executable),
        path=[wire_text(entry or cwd) for entry in sys.path],
        cwd=wire_text(cwd),
        environ={
            wire_text(name): wire_text(value)
            for name, value in os.environ.items()
            if name and name not in CREDENTIALS
        }
        | (thread_variables(threads) if threads else {}),
        initializer=None if initializer is None else native.dumps_call((initializer, tuple(initargs)), {}),
        label=label,
        python_version=f"{sys.version_info[0]}.{sys.version_info[1]}",
        interpreter=[wire_text(option) for option in interpreter_options()],
        surroundings=pack({**observe(), **(messages() if output == "program" else {}), **(script or {})}),
        to_program=output == "program",
        threads=threads,
        devices=shared,
    )


def as_of_now(
    first: PoolSpec, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
) -> PoolSpec:
    """Return the spec ``first`` with what the program sees by now: it may have changed its folder, its variables, its
    levels of logging or the globals of the initializer since."""
    output = "program" if first.to_program else "log"
    found = pool_spec(
        first.max_workers,
        initializer,
        initargs,
        first.label,
        output,
        threads=first.threads or None,
        script=_of_script(),
    )
    return msgspec.structs.replace(found, devices=first.devices)


def _of_script() -> dict[str, Any]:
    """Return what the program's script has set in modules, and which generators of random numbers it has seeded."""
    found = {"modules": module_changes.observe(), "seeded": module_changes.seeded()}
    return {name: one for name, one in found.items() if one}
