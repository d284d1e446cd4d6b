"""The worker processes of an endpoint on one machine: what they are, and what each has to give."""

from __future__ import annotations

import os
import sys

from compute_executor import devices
from compute_executor.endpoint.settings import ENGINE_VARIABLE, EndpointSettings
from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import PoolSpec, WorkerDevices
from compute_executor.protocol.resources import ResourceOffer, offer_of
from compute_executor.surroundings import (
    messages,
    mpi_launcher,
    pack,
    usable_cpus,
    usable_memory,
    wire_text,
)
from compute_executor.thread_limits import thread_variables

_OURS = ("PYTHONPATH", "PYTHONSAFEPATH", "COMPUTE_EXECUTOR_TOKEN", ENGINE_VARIABLE)


def worker_spec(settings: EndpointSettings, name: str) -> PoolSpec:
    """Return the workers of an endpoint: its own interpreter, packages and environment, with what is configured."""
    environ = {key: value for key, value in os.environ.items() if key not in _OURS} | settings.variables
    threads = settings.threads_per_worker
    seen = _devices(settings.gpus)
    if threads:
        environ |= thread_variables(threads)
    place = os.path.expanduser(settings.folder or "~")
    if settings.folder and not os.path.isdir(place):
        raise InvalidRequest(f"the folder {place}, where tasks are to run, does not exist: make it first")
    return PoolSpec(
        max_workers=settings.workers or len(seen) or max(1, usable_cpus() // (threads or 1)),
        python=wire_text(sys.executable),
        path=[wire_text(entry) for entry in sys.path if entry],
        cwd=wire_text(place if os.path.isdir(place) else "/"),
        environ={wire_text(key): wire_text(value) for key, value in environ.items()},
        label=name,
        python_version=f"{sys.version_info[0]}.{sys.version_info[1]}",
        surroundings=pack({"umask": _umask()} | messages()),
        to_program=True,
        threads=threads,
        devices=seen,
    )


def local_offer(spec: PoolSpec) -> ResourceOffer:
    """Return what such workers have on this machine."""
    return offer_of(spec, usable_memory(), mpi_launcher(spec.variables()))


def _devices(gpus: str) -> list[WorkerDevices]:
    if not gpus:
        return []
    try:
        found = devices.of_workers(gpus if gpus == "all" else [one.strip() for one in gpus.split(",")])
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"the workers cannot have the devices {gpus!r}: {error}") from None
    return [WorkerDevices(*one) for one in found]


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
