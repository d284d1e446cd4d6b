"""Workers that pilots bring, on slots that an engine finds: a `engines.RunningEngine`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from compute_executor.endpoint.agent.folder import EndpointFolder
from compute_executor.endpoint.leases import frames
from compute_executor.endpoint.leases.holder import LeaseHolder
from compute_executor.endpoint.pilots import ticket as tickets
from compute_executor.endpoint.pilots.blocks import Blocks
from compute_executor.endpoint.pilots.engine import PilotEngine
from compute_executor.endpoint.pilots.engine_process import EngineProcess
from compute_executor.endpoint.pilots.records import PilotRecords
from compute_executor.endpoint.pilots.scaling import BlockLimits
from compute_executor.endpoint.pilots.slots import SlotOrder
from compute_executor.endpoint.pool.engine import Engine
from compute_executor.endpoint.settings import EndpointSettings
from compute_executor.errors import InvalidRequest
from compute_executor.protocol.resources import ResourceOffer, least

log: logging.Logger = logging.getLogger(__name__)

KEPT_OUTPUT = 14 * 86_400.0
"""Seconds for which the output of blocks is kept, at least until the next start."""


class PilotWorkers:
    """See the module. Made by `open_pilots`."""

    def __init__(self, pilots: PilotEngine, process: EngineProcess, holder: LeaseHolder) -> None:
        self.engine: Engine = cast(Engine, _Closing(pilots, self))
        self.blocks: Blocks
        self._pilots = pilots
        self._process = process
        self._holder = holder
        self._queued = 0
        self._offer: ResourceOffer | None = None  # of the pilots seen last: the next ones are like them
        self._running: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Ask for blocks when there is work, from now on."""
        self._running = asyncio.ensure_future(self.blocks.run())

    def demand(self) -> int:
        """Return how many tasks run or wait, here and at the service."""
        return self._holder.open + self._queued

    async def close(self) -> None:
        """End the blocks and the engine."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._pilots.close()
        await self._process.close()

    # -- RunningEngine ------------------------------------------------------------------------------------

    def workers(self) -> int:
        """See RunningEngine."""
        return self._pilots.count()

    def failed(self, message: str) -> None:
        """See RunningEngine. The blocks try again by themselves."""

    def queued(self, count: int) -> None:
        """See RunningEngine."""
        self._queued = count

    def shared_dropped(self, names: list[str]) -> None:
        """See RunningEngine."""
        self._pilots.shared_gone(names)

    def recall(self, tasks: list[frames.TaskName], done: Callable[[], None]) -> None:
        """See RunningEngine."""
        self._pilots.recall(tasks, done)

    def state(self) -> dict[str, Any]:
        """See RunningEngine."""
        pilots = [one for one in self._pilots.pilots() if one.session is not None]
        self._offer = least([one.offer for one in pilots if one.offer is not None]) or self._offer
        return {
            "trouble": self.blocks.trouble,
            "blocks": self.blocks.view(),
            "queued": self._queued,
            "offer": None if self._offer is None else self._offer._asdict(),
            "pilots": [
                {"host": one.host, "slot": one.slot, "workers": one.workers, "leased": len(one.leased)}
                for one in pilots
            ],
        }


class _Closing:
    """The engine of pilots, whose end is also that of the blocks."""

    def __init__(self, pilots: PilotEngine, owner: PilotWorkers) -> None:
        self._pilots = pilots
        self._owner = owner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pilots, name)

    async def close(self) -> None:
        """See Engine."""
        await self._owner.close()


async def open_pilots(
    settings: EndpointSettings, folder: EndpointFolder, rings: Path, pool: bytes, holder: LeaseHolder
) -> PilotWorkers:
    """Return the engine that the settings name, started, with what an earlier start has left ended. Raises
    InvalidRequest."""
    records = PilotRecords(rings)
    made: list[PilotWorkers] = []

    def reason(slot: str) -> str | None:
        return made[0].blocks.reason(slot)

    def look_soon() -> None:
        made[0].blocks.look_soon()

    def job(slot: str) -> str:
        return made[0].blocks.job(slot)

    pilots = PilotEngine(
        holder,
        pool,
        records,
        folder.blobs,
        shared=holder.shared_by,
        reason=reason,
        job=job,
        look_soon=look_soon,
        changed=holder.workers_changed,
    )
    ticket_file = folder.here / tickets.FILE
    ticket = await _listen(pilots, settings, ticket_file)
    order = SlotOrder(
        str(ticket_file),
        tickets.dumps(ticket),
        f"ce-{folder.name}-{rings.name}",
        str(_scripts(folder)),
        settings.workers,
        settings.variables,
        settings.folder,
        settings.gpus,
        settings.threads_per_worker,
    )
    process = EngineProcess(
        settings.engine,
        settings.options(),
        order,
        folder.engine_log,
        mark=folder.engine_mark,
        started=folder.announce_engine,
    )
    workers = PilotWorkers(pilots, process, holder)
    made.append(workers)
    workers.blocks = Blocks(
        process,
        pilots,
        _limits(settings),
        folder.here / "jobs.json",
        demand=workers.demand,
        broken=lambda message: holder.broken(pool, message),
    )
    try:
        await process.start()
    except BaseException:
        await workers.close()
        raise
    await workers.blocks.end_orphans()
    workers.begin()
    return workers


def _limits(settings: EndpointSettings) -> BlockLimits:
    most = settings.max_blocks or settings.kind.max_blocks
    if settings.min_blocks > most:
        raise InvalidRequest(f"min_blocks is {settings.min_blocks}, which is more than max_blocks, {most}")
    idle = settings.idle or settings.kind.idle
    return BlockLimits(1, settings.min_blocks, most, idle)


def _scripts(folder: EndpointFolder) -> Path:
    """Return the folder for the scripts and output of jobs, without those of long ago."""
    folder.jobs.mkdir(mode=0o700, exist_ok=True)
    oldest = time.time() - KEPT_OUTPUT
    for path in folder.jobs.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
    return folder.jobs


async def _listen(pilots: PilotEngine, settings: EndpointSettings, file: Path) -> tickets.Ticket:
    """Listen where pilots of an earlier start look for us, if that is free: so they learn at once that they are
    orphans."""
    before = 0
    with contextlib.suppress(OSError, ValueError):
        before = tickets.loads(file.read_text(encoding="utf-8")).addresses[0][1]
    ticket = tickets.new_ticket([])
    host = settings.own_address or "0.0.0.0"
    try:
        found = await pilots.listen(host, before, ticket.key)
    except OSError:
        found = await _listen_anywhere(pilots, host, ticket)
    ticket = ticket._replace(addresses=[(one, found) for one in _addresses(settings.own_address)])
    tickets.write(file, ticket)
    return ticket


async def _listen_anywhere(pilots: PilotEngine, host: str, ticket: tickets.Ticket) -> int:
    try:
        return await pilots.listen(host, 0, ticket.key)
    except OSError as error:
        raise InvalidRequest(f"cannot listen for pilots on {host}: {error}") from None


def _addresses(chosen: str) -> list[str]:
    """Return how this machine may be reached from others: a pilot tries them in turn."""
    if chosen:
        return [chosen]
    found: list[str] = []
    with contextlib.suppress(OSError):
        found += [str(one[4][0]) for one in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # of documentation (RFC 5737): nothing is sent, a route is chosen
        found.append(probe.getsockname()[0])
    return list(dict.fromkeys([*found, "127.0.0.1"]))
