"""Puts the parts of a service together over a state folder: store, blobs, engine, coordinator."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from compute_executor.endpoint.environments.environments import Environments
from compute_executor.endpoint.pool.engine import Engine, ProcessEngine
from compute_executor.endpoint.pool.events import EngineEvents
from compute_executor.errors import ServiceUnavailable
from compute_executor.local.state import BLOBS, DATABASE, RINGS, check_folder, trouble
from compute_executor.protocol.frames import PoolSpec
from compute_executor.service.blobs.folder import BlobFolder
from compute_executor.service.globus_compute.peers import BrokerSettings
from compute_executor.service.limits import ServiceLimits
from compute_executor.service.service import Service, WhoIs
from compute_executor.service.store.store import Store
from compute_executor.service.wiring import Components
from compute_executor.surroundings import pack, usable_cpus, wire_text

if TYPE_CHECKING:
    from compute_executor.service.run_as.kind import RunAs

_OURS = ("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONUTF8")
"""Set by `local.embedded` for the service process alone."""


async def open_service(
    folder: Path,
    *,
    durable: bool,
    limits: ServiceLimits | None = None,
    broker: BrokerSettings | None = None,
    who_is: WhoIs | None = None,
    held: bool = False,
    umask: int = 0o077,
    operators: frozenset[str] | None = None,
    run_as: RunAs | None = None,
) -> Service:
    """Return the service that the folder holds, started: what was open goes on. ``who_is``, ``held``: see
    `service.Service`. ``umask``: of tasks that name no pool. ``operators``: see `served.ServedUsers`; ``run_as``:
    under which accounts the tasks of all others run.

    Raises ServiceUnavailable or VersionMismatch if the folder cannot be used.
    """
    blobs, rings = _subfolder(folder / BLOBS), _subfolder(folder / RINGS)

    def engine(events: EngineEvents) -> Engine:
        return ProcessEngine(events, blob_folder=blobs, ring_folder=rings, durable=durable)

    store = _open_store(folder / DATABASE, durable=durable)
    try:
        parts = Components(
            store,
            BlobFolder(blobs, sync=durable),
            engine,
            environments=Environments(folder / "environments"),
            limits=limits or ServiceLimits(),
            default_pool=default_pool(umask),
            broker=broker,
            operators=operators,
            run_as=run_as,
        )
        service = Service(parts, rings, who_is=who_is)
        await service.start(held=held)
    except BaseException:
        store.close()
        raise
    return service


def _open_store(path: Path, *, durable: bool) -> Store:
    """Return the store; what is wrong with it is told with its place and the room there. A full disk has many faces:
    SQLite calls it an I/O error where its shared memory cannot grow."""
    try:
        return Store(path, durable=durable)
    except ServiceUnavailable as error:
        place = os.statvfs(path.parent)
        room = place.f_bavail * place.f_frsize // 1024
        raise type(error)(f"cannot open {path} ({room} KiB free there): {error}") from error


def default_pool(umask: int = 0o077) -> PoolSpec:
    """Return the workers for tasks that name no pool (`Client.run`): as many as there are CPUs, in the user's home,
    with the interpreter, environment and packages of the service. They end with the service, and start on demand."""
    environ = {wire_text(name): wire_text(value) for name, value in os.environ.items() if name not in _OURS}
    home = os.path.expanduser("~")
    return PoolSpec(
        max_workers=usable_cpus(),
        python=wire_text(sys.executable),
        path=[wire_text(entry) for entry in sys.path],
        cwd=wire_text(home) if os.path.isdir(home) else "/",
        environ=environ,
        label="default",
        surroundings=pack({"umask": umask}),
    )


def _subfolder(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise trouble("make", path, error) from error
    check_folder(path)
    return path
