"""The process that runs one pool of a service under an account of the pool's user: an endpoint whose workers are what
the user's Executor asked for.

The service starts it as that account, with an environment and a folder of the account's own:

    standard input    a `PoolTicket`, with the address of the service and a token; its end is the end of this process
    standard output   what it says to the service: CONNECTED, or the error that ends it

The token opens the stream of this pool, and nothing else. It is in no argument and no variable.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

from compute_executor.endpoint.agent.engines import OpenEngine, ProcessWorkers, RunningEngine
from compute_executor.endpoint.agent.folder import Credentials, EndpointFolder
from compute_executor.endpoint.agent.process import AgentProcess, EndingMode
from compute_executor.endpoint.agent.service_link import ServicePlace
from compute_executor.endpoint.leases.holder import LeaseHolder
from compute_executor.endpoint.pool.engine import ProcessEngine
from compute_executor.endpoint.settings import EndpointSettings
from compute_executor.errors import ComputeError, EndpointTaken
from compute_executor.local.log import open_log
from compute_executor.protocol.frames import PoolSpec
from compute_executor.surroundings import neutral

CONNECTED = b"connected\n"

FREE_WITHIN = 10.0
"""Seconds that an earlier process of this pool may take to end."""

_LENGTH = struct.Struct("!Q")
_NAME = "pool"


class PoolTicket(msgspec.Struct, frozen=True):
    """What the process is to do. ``certificate``: of the service, in PEM, if it has one."""

    url: str
    certificate: str
    endpoint: str
    token: str
    spec: PoolSpec

    def __repr__(self) -> str:
        return f"PoolTicket(url={self.url!r}, endpoint={self.endpoint!r}, token=...)"


def packed(ticket: PoolTicket) -> bytes:
    """Return a ticket as it is written into the standard input of the process."""
    body = msgspec.msgpack.encode(ticket)
    return _LENGTH.pack(len(body)) + body


def _read(descriptor: int) -> PoolTicket:
    with open(descriptor, "rb", closefd=False, buffering=0) as file:
        (size,) = _LENGTH.unpack(_exactly(file.read, _LENGTH.size))
        return msgspec.msgpack.decode(_exactly(file.read, size), type=PoolTicket)


def _exactly(read: Callable[[int], bytes | None], size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = read(size - len(found))
        if not more:
            raise EOFError("the service has gone")
        found += more
    return found


def main() -> None:
    """Run the pool until the service ends it."""
    service, report = _take_standard_streams()
    neutral()
    try:
        ticket = _read(service)
    except EOFError:
        return
    try:
        uvloop.run(_run(ticket, service, report))
    except ComputeError as error:
        _tell(report, json.dumps(error.document()).encode() + b"\n")
        sys.exit(1)


def _take_standard_streams() -> tuple[int, int]:
    """Return the service's two pipes, under numbers that no worker inherits."""
    service, report = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
    return service, report


def _tell(report: int, said: bytes) -> None:
    try:
        os.write(report, said)
    except OSError:  # the service has gone
        return


async def _run(ticket: PoolTicket, service: int, report: int) -> None:
    folder = EndpointFolder(_NAME)
    folder.prepare()
    open_log(folder.log, take_output=True)
    lock = await _lock(folder)
    place = ServicePlace(ticket.url, pinned=ticket.certificate)
    agent = AgentProcess(
        folder,
        EndpointSettings(),
        lambda: Credentials(ticket.endpoint, ticket.token),
        lambda: place,
        replace=True,  # the service has one process for a pool
        first=lambda: _tell(report, CONNECTED),
        open_engine=_opener(ticket.spec),
    )
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(agent.run())

    def over() -> None:
        loop.remove_reader(service)
        agent.end(EndingMode.NOW)

    loop.add_reader(service, over)
    try:
        await running
    finally:
        loop.remove_reader(service)
        os.close(lock)


async def _lock(folder: EndpointFolder) -> int:
    """Return the lock of the folder. The process before, of a service that was killed, may be ending."""
    deadline = time.monotonic() + FREE_WITHIN
    while (lock := folder.lock()) is None:
        if time.monotonic() > deadline:
            raise EndpointTaken(f"another process has {folder.here}")
        await asyncio.sleep(0.05)
    return lock


def _opener(spec: PoolSpec) -> OpenEngine:
    async def open_pool(
        _settings: EndpointSettings, folder: EndpointFolder, rings: Path, pool: bytes, holder: LeaseHolder
    ) -> RunningEngine:
        engine = ProcessEngine(holder, blob_folder=folder.blobs, ring_folder=rings)
        return ProcessWorkers(engine, pool, spec, holder)

    return open_pool
