"""The process of an endpoint on one machine.

    lock -> generation -> what earlier ones left -> engine -> id and token -> connected ... until told to end
                                                                     \\-> drain: take no more, end what runs, leave

The service hears of an endpoint when its engine has started: a start that fails leaves nothing there.

Killed at any point: the kernel ends the workers; the next start finds in the rings what had begun and what was
finished (`recovery`), and the service gives again what had not begun. Owner of everything: the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from compute_executor.endpoint.agent.engines import OpenEngine, RunningEngine, open_engine
from compute_executor.endpoint.agent.folder import Credentials, EndpointFolder
from compute_executor.endpoint.agent.recovery import EarlierGenerations, earlier
from compute_executor.endpoint.agent.service_link import Locate, ServiceLink
from compute_executor.endpoint.leases import frames
from compute_executor.endpoint.leases.bodies import discard, shared_room
from compute_executor.endpoint.leases.hello import hello_of
from compute_executor.endpoint.leases.holder import LeaseHolder
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.settings import EndpointSettings
from compute_executor.errors import NotAuthorized
from compute_executor.protocol.frames import Blob

log: logging.Logger = logging.getLogger(__name__)

LEAVE_WITHIN = 5.0
"""Seconds at the end for the service to store the last outcomes. What it has not stored is reported by the next
start."""

LOOK_EVERY = 0.1
"""Seconds between two looks at whether a draining endpoint has nothing more to do."""


class EndingMode(enum.Enum):
    """How the process is to end."""

    NOW = "what runs is stopped"
    DRAIN = "what runs may end"


class AgentProcess:
    """One run of an endpoint. ``admit``: gives its id and token at the service, and may block; called once its
    engine has started. ``join``, ``replace``: see `frames.HolderHello`; ``first``: called when the service has let it
    in; ``lost``: see `ServiceLink`. `run` raises what ``admit`` and `ServiceLink.run` do."""

    def __init__(
        self,
        folder: EndpointFolder,
        settings: EndpointSettings,
        admit: Callable[[], Credentials],
        locate: Locate,
        *,
        join: bool = False,
        replace: bool = False,
        first: Callable[[], object] = lambda: None,
        lost: Callable[[str], object] = lambda _: None,
        open_engine: OpenEngine = open_engine,
    ) -> None:
        self._open_engine = open_engine
        self._folder = folder
        self._settings = settings
        self._admit = admit
        self._locate = locate
        self._join = join
        self._replace = replace
        self._first = first
        self._lost = lost
        self._ending: asyncio.Future[EndingMode]
        self._draining = False
        self._started = time.time()
        self._engine: RunningEngine
        self._holder: LeaseHolder
        self._link: ServiceLink

    async def run(self) -> None:
        """Until told to end, by a signal or by the service."""
        folder = self._folder
        loop = asyncio.get_running_loop()
        self._ending = loop.create_future()
        generation = folder.next_generation()
        folder.announce(generation)
        if count := folder.end_engine_left():
            log.warning("%d processes that the engine of an earlier start had left were ended", count)
        rings = folder.rings / str(generation)
        rings.mkdir(mode=0o700)
        before = await earlier(folder.rings, generation, folder.blobs, folder.host)
        _sweep(folder.blobs, before)
        self._holder = LeaseHolder(
            self._pool,
            self._workers,
            leftovers=before,
            stored=self._stored,
            failed=self._failed,
            recall=self._recall,
            waiting=self._queued,
            room=shared_room(folder.blobs),
            discard=partial(discard, folder.blobs),
            shared_dropped=self._shared_dropped,
        )
        self._engine = await self._open_engine(self._settings, folder, rings, self._pool, self._holder)
        self._holder.engine = self._engine.engine
        self._link = self._make_link(generation, await self._admitted())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.end, EndingMode.NOW)
        loop.add_signal_handler(signal.SIGUSR1, self.end, EndingMode.DRAIN)
        try:
            await self._serve()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
                loop.remove_signal_handler(number)

    @property
    def _pool(self) -> bytes:
        return b"endpoint-workers"

    async def _admitted(self) -> Credentials:
        try:
            return await asyncio.to_thread(self._admit)
        except BaseException:
            await self._engine.engine.close()
            raise

    def _make_link(self, generation: int, credentials: Credentials) -> ServiceLink:
        folder = self._folder

        def hello() -> frames.HolderHello:
            return hello_of(
                folder.machine(),
                generation,
                folder.host,
                self._settings.engine,
                join=self._join,
                replace=self._replace,
            )

        return ServiceLink(
            locate=self._locate,
            token=credentials.token,
            hello=hello,
            holder=self._holder,
            blobs=folder.blobs,
            state=self._state,
            first=self._first_connection,
            lost=self._lost,
            told_to_end=lambda drain: self.end(EndingMode.DRAIN if drain else EndingMode.NOW),
        )

    def _first_connection(self) -> None:
        self._replace = False  # once is enough: at the next connection there is nothing to replace
        first, self._first = self._first, lambda: None
        first()

    # -- its end ------------------------------------------------------------------------------------------

    def end(self, mode: EndingMode) -> None:
        """End the process soon. A second time, or without draining: now."""
        if self._ending.done():
            return
        if mode is EndingMode.DRAIN and not self._draining:
            log.info("draining: %d tasks run", self._holder.running)
            self._draining = True
            self._holder.drain()
            return
        self._ending.set_result(mode)

    async def _serve(self) -> None:
        link = asyncio.ensure_future(self._link.run())
        drained = asyncio.ensure_future(self._until_drained())
        ends: list[asyncio.Future[Any]] = [link, drained, self._ending]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if link.done():
                link.result()
        except NotAuthorized:
            self._folder.forget_credentials()
            raise
        finally:
            await self._leave()
            for one in (link, drained):
                one.cancel()
            await asyncio.gather(link, drained, return_exceptions=True)

    async def _until_drained(self) -> None:
        while not (self._draining and self._holder.idle):
            await asyncio.sleep(LOOK_EVERY)

    async def _leave(self) -> None:
        """Stop what runs, let the service store what there is, and say goodbye."""
        self._holder.draining = True
        await self._engine.engine.close()
        self._holder.drain()
        deadline = time.monotonic() + LEAVE_WITHIN
        while self._link.connected and not self._holder.idle and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_EVERY / 5)
        if self._holder.idle:
            self._link.say(frames.Leaving())
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._link.written(), 1.0)
        else:
            log.warning("%d outcomes are not stored yet: the next start reports them", self._holder.unstored)

    # -- for the holder ------------------------------------------------------------------------------------

    def _workers(self) -> int:
        return self._engine.workers()

    def _recall(self, tasks: list[frames.TaskName], done: Callable[[], None]) -> None:
        self._engine.recall(tasks, done)

    def _queued(self, count: int) -> None:
        self._engine.queued(count)

    def _failed(self, message: str) -> None:
        """Note that no worker can start: try again after a while."""
        log.error("no worker can start: %s", message)
        self._engine.failed(message)

    def _stored(self, outcomes: list[TaskEnded]) -> None:
        """Note that the service has these: their files are of no use here any more."""
        discard(self._folder.blobs, [one.body.name for one in outcomes if isinstance(one.body, Blob)])

    def _shared_dropped(self, names: list[str]) -> None:
        self._engine.shared_dropped(names)

    def _state(self) -> dict[str, Any]:
        return {
            "host": self._folder.host,
            "pid": os.getpid(),
            "up": time.time() - self._started,
            "workers": self._workers(),
            "held": self._holder.open,
            "running": self._holder.running,
            "unstored": self._holder.unstored,
            "draining": self._draining,
            **self._engine.state(),
        }


def _sweep(blobs: Path, before: EarlierGenerations) -> None:
    """Remove the bodies of earlier starts, but for results that are not stored yet: arguments and shared values come
    again with their tasks."""
    kept = before.bodies()
    discard(blobs, [path.name for path in blobs.iterdir() if path.name not in kept])
