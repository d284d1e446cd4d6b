"""A pilot: a process on a machine that an engine has found, which starts our workers and takes tasks from its
endpoint.

    python -m compute_executor.endpoint.pilots.pilot TICKET [--workers N] [--slot NAME]

It is a holder like an endpoint itself, over TCP. What it keeps lies in a folder of this machine and goes with it. It
ends when it is told to, when its endpoint cannot be reached for a while, when its job's time limit nears, or with
whoever started it. Owner of everything: the loop's thread.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from compute_executor import system
from compute_executor.endpoint.leases import clocks, frames
from compute_executor.endpoint.leases.bodies import BodyExchange, discard, shared_room
from compute_executor.endpoint.leases.hello import hello_of
from compute_executor.endpoint.leases.holder import LeaseHolder
from compute_executor.endpoint.leases.send_list import SendList
from compute_executor.endpoint.own_workers import local_offer, worker_spec
from compute_executor.endpoint.pilots import ticket as tickets
from compute_executor.endpoint.pilots.ticket import Ticket
from compute_executor.endpoint.pilots.wire import PilotWire, connect
from compute_executor.endpoint.pool.engine import ProcessEngine
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.settings import EndpointSettings
from compute_executor.errors import ComputeError, NotAuthorized
from compute_executor.protocol.frames import Blob
from compute_executor.protocol.resources import ResourceOffer

log: logging.Logger = logging.getLogger(__name__)

PREFETCH = 0.02
"""Seconds of work that a pilot has ahead of each worker. It counts as begun if the whole machine dies."""

GONE_AFTER = 30.0
"""Seconds without its endpoint after which a pilot ends: nobody waits for its results any more."""

AGAIN = 0.5
"""Seconds between two tries to connect."""

STATE_EVERY = 5.0
"""Seconds between two signs of life."""

BEFORE_LIMIT = 10.0
"""Seconds before the time limit of its job at which a pilot takes no more tasks, or as long as tasks take, if
longer."""

_POOL = b"workers of pilot"


class PilotLink:
    """The open connection. Implements `leases.holder.HolderConnection`."""

    def __init__(self, blobs: Path, theirs: Path | None, clock_ahead: float) -> None:
        self.frames: SendList = SendList()
        self.bodies: BodyExchange = BodyExchange(blobs, self.frames, theirs=theirs, proven=True)
        self.clock_ahead = clock_ahead

    def put(self, frame: object) -> None:
        """See HolderConnection."""
        self.frames.put(frame)


class Pilot:
    """One pilot. ``slot``: what the engine calls its place; ``folder``: of this machine."""

    def __init__(self, ticket: Ticket, settings: EndpointSettings, slot: str, folder: Path) -> None:
        self._ticket = ticket
        self._settings = settings
        self._slot = slot
        self._blobs, self._rings = folder / "blobs", folder / "rings"
        self._machine = secrets.token_hex(16)
        self._over: asyncio.Future[str]
        self._reached = time.monotonic()
        self._holder: LeaseHolder
        self._link: PilotLink | None = None
        self._workers: int
        self._offer: ResourceOffer
        self._limit = time_limit()

    async def run(self) -> str:
        """Until it is over; why."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        for folder in (self._blobs, self._rings):
            folder.mkdir(mode=0o700)
        spec = worker_spec(self._settings, self._slot)
        self._workers, self._offer = spec.max_workers, local_offer(spec)
        self._holder = LeaseHolder(
            _POOL,
            lambda: spec.max_workers,
            stored=self._stored,
            failed=self._end,
            prefetch=PREFETCH,
            room=shared_room(self._blobs),
            discard=partial(discard, self._blobs),
        )
        engine = ProcessEngine(self._holder, blob_folder=self._blobs, ring_folder=self._rings)
        self._holder.engine = engine
        engine.open(_POOL, spec)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, f"it got {signal.Signals(number).name}")
        running = [
            asyncio.ensure_future(self._stay_connected()),
            asyncio.ensure_future(self._mind_the_limit()),
        ]
        ends: list[asyncio.Future[Any]] = [*running, self._over]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._link is not None and self._over.done():
                self._link.put(frames.HolderState({**self._state(), "ending": self._over.result()}))
            await engine.close()
            await self._leave()
        finally:
            for one in running:
                one.cancel()
            ended = await asyncio.gather(*running, return_exceptions=True)
        if self._over.done():
            return self._over.result()
        return "; ".join(str(one) for one in ended if isinstance(one, Exception)) or "it was idle"

    def _end(self, why: str) -> None:
        if not self._over.done():
            self._over.set_result(why)

    async def _leave(self) -> None:
        """Report what was stopped, and give back the rest."""
        self._holder.drain()
        deadline = time.monotonic() + 3.0
        while self._link is not None and not self._holder.idle and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if self._link is not None and self._holder.idle:
            self._link.put(frames.Leaving())
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._link.frames.written(), 1.0)

    async def _mind_the_limit(self) -> None:
        """Take no more tasks when the time limit of the job nears, and end when those that run have ended."""
        if self._limit is None:
            await asyncio.Event().wait()
            return
        while time.time() < self._limit - max(BEFORE_LIMIT, self._holder.mean):
            await asyncio.sleep(1.0)
        self._holder.drain()
        while not self._holder.idle:
            await asyncio.sleep(0.1)
        self._end("the time limit of its job nears")

    # -- the connection -----------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        while True:
            for host, port in self._ticket.addresses:
                try:
                    await self._converse(await connect(host, port, self._ticket.key))
                except NotAuthorized as error:
                    self._end(str(error))
                    return
                except (ComputeError, OSError) as error:
                    log.info("%s port %d: %s", host, port, error)
            if time.monotonic() - self._reached > GONE_AFTER:
                self._end(f"its endpoint was not reached for {GONE_AFTER:.0f} s")
                return
            await asyncio.sleep(AGAIN)

    async def _converse(self, wire: PilotWire) -> None:
        hello = hello_of(
            self._machine, 1, socket.gethostname(), "pilot", join=True, replace=False, label=self._slot
        )
        sent = time.time()
        await wire.send(msgspec.json.encode(hello))
        welcome = msgspec.json.decode(await wire.receive(), type=frames.GrantorWelcome)
        theirs = shared_folder(welcome.blob_folder, self._ticket)
        link = self._link = PilotLink(self._blobs, theirs, clocks.ahead(sent, time.time(), welcome.clock))
        self._holder.connected(link)
        running = [
            asyncio.ensure_future(one)
            for one in (link.frames.write_to(wire.send), self._receive(wire), self._tell_state(link))
        ]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            next(one for one in running if one.done()).result()
        finally:
            self._reached, self._link = time.monotonic(), None
            self._holder.disconnected()
            for one in running:
                one.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            link.bodies.close()
            wire.close()

    async def _receive(self, wire: PilotWire) -> None:
        while True:
            frame = frames.decode_to_holder(await wire.receive())
            if isinstance(frame, frames.EndHolder):
                if frame.drain:
                    self._holder.drain()
                self._end("its endpoint has told it to end")
            else:
                self._holder.received(frame)

    async def _tell_state(self, link: PilotLink) -> None:
        while True:
            link.put(frames.HolderState(self._state()))
            await asyncio.sleep(STATE_EVERY)

    def _state(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "slot": self._slot,
            "workers": self._workers,
            "offer": self._offer._asdict(),
            "running": self._holder.running,
            "limit": self._limit,
        }

    def _stored(self, outcomes: list[TaskEnded]) -> None:
        discard(self._blobs, [one.body.name for one in outcomes if isinstance(one.body, Blob)])


def shared_folder(named: str | None, ticket: Ticket) -> Path | None:
    """Return the endpoint's folder of bodies, if the file systems of this machine have it: then this very ticket lies
    beside it. None for one of the same name that is another machine's."""
    if not named:
        return None
    folder = Path(named)
    try:
        beside = tickets.loads((folder.parent / tickets.FILE).read_text(encoding="utf-8"))
        mine = folder.stat().st_uid == os.getuid()
    except (OSError, ValueError):
        return None
    return folder if mine and hmac.compare_digest(beside.key, ticket.key) else None


def time_limit() -> float | None:
    """Return the Unix time at which Slurm ends the job that this process is in, if it does."""
    job = os.environ.get("SLURM_JOB_ID")
    if not job or not shutil.which("squeue"):
        return None
    try:
        told = subprocess.run(
            ["squeue", "-h", "-o", "%e", "-j", job], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        return datetime.fromisoformat(told).timestamp()
    except (OSError, ValueError, subprocess.SubprocessError):  # UNLIMITED, or Slurm does not say
        return None


def main() -> int:
    """Return the program."""
    parser = argparse.ArgumentParser(
        prog="python -m compute_executor.endpoint.pilots.pilot", description=__doc__
    )
    parser.add_argument("ticket", help="the file of the ticket, or - to read it from the standard input")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--slot", default=os.environ.get("SLURM_JOB_ID", ""))
    parser.add_argument("--folder", default="")
    parser.add_argument("--gpus", default="")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--life", type=int, help="descriptor of a pipe: its end is ours")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    if chosen.life is not None:
        system.die_with(chosen.life)
    text = sys.stdin.read() if chosen.ticket == "-" else Path(chosen.ticket).read_text(encoding="utf-8")
    settings = EndpointSettings(
        workers=chosen.workers, folder=chosen.folder, gpus=chosen.gpus, threads_per_worker=chosen.threads
    )
    scratch = tempfile.mkdtemp(prefix="compute-executor-pilot-")
    try:
        pilot = Pilot(tickets.loads(text), settings, chosen.slot, Path(scratch))
        log.info("pilot on %s has ended: %s", socket.gethostname(), uvloop.run(pilot.run()))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
