"""A worker that was started before anybody asked for it: half of the time until a first result is a worker's start.

When a pool ends, one more process is started as its workers were, in the hope that the same program runs again soon.
It has imported the worker's own modules, has none of the caller's, and waits for its SETUP. A worker and a spare
differ in nothing but when they were started: the spare is taken only by a pool that would start its own the very
same way, and only while what a start looks at is as it was. All else is in the SETUP.

Against forking workers from a prepared process: there is no thread, lock, seed or module of one worker that another
could find in itself, and life line and process group are made as for any other worker.

Belongs to the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from typing import NamedTuple

from compute_executor.endpoint.pool.launch import Launch
from compute_executor.endpoint.pool.process import WorkerProcess
from compute_executor.endpoint.pool.result_files import ResultRingFiles

KEPT_FOR = 60.0
"""Seconds that a spare waits (some 12 MB), as long as an embedded service does by default."""

SITES = ("site-packages", "dist-packages")
"""Folders from which the interpreter runs code when it starts (.pth files). Installing something changes them."""

Stamp = tuple[tuple[int, ...] | None, ...]


class WorkerKind(NamedTuple):
    """How a process was started, and what the files looked like that a start reads."""

    launch: object
    stamp: Stamp


class PrestartedWorker:
    """The spare of an engine: one or none. Implements process.ProcessOwner."""

    def __init__(self, ring_files: ResultRingFiles) -> None:
        self._ring_files = ring_files
        self._process: WorkerProcess | None = None
        self._like: WorkerKind | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: set[asyncio.Future[None]] = set()

    def prepare(self, launch: Launch, path: Iterable[str]) -> None:
        """Have a worker of a pool that starts its own this way; instead of another, of which there is no use."""
        like = _like(launch, path)
        if like is None or like == self._like:
            return
        self._end()
        with contextlib.suppress(OSError):  # then a pool will find out, and say so
            self._process = WorkerProcess(launch, "", self._ring_files, _Unclaimed(self))
            self._like = like
            self._timer = asyncio.get_running_loop().call_later(KEPT_FOR, self._end)

    def take(self, launch: Launch, path: Iterable[str]) -> WorkerProcess | None:
        """Return the spare, if it was started as a worker of this pool would be."""
        if self._process is None or _like(launch, path) != self._like:
            return None
        process = self._process
        self._forget()
        return process

    def lost(self, process_owner: _Unclaimed) -> None:
        """Note that it is dead: killed by somebody, or its interpreter does not start."""
        if self._process is not None and self._process.owner is process_owner:
            self._forget()

    async def close(self) -> None:
        """End it. Returns when it is gone."""
        self._end()
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        self._forget()
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leaving.add(gone)
        gone.add_done_callback(self._leaving.discard)
        process.owner = _Ending(gone)
        process.kill()  # it has nothing to lose

    def _forget(self) -> None:
        self._process = self._like = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Unclaimed:
    """Who is told of a spare that nobody has taken."""

    def __init__(self, spare: PrestartedWorker) -> None:
        self._spare = spare

    def received(self, kind: int, payload: bytes) -> None:
        """Note that it says nothing before its SETUP."""

    def turn_over(self) -> None:
        """Nothing."""

    def died(self, exit_code: int) -> None:  # noqa: ARG002 - of no interest
        """See PrestartedWorker.lost."""
        self._spare.lost(self)


class _Ending:
    """Who is told of a spare that is being ended."""

    def __init__(self, gone: asyncio.Future[None]) -> None:
        self._gone = gone

    def received(self, kind: int, payload: bytes) -> None:
        """Nothing."""

    def turn_over(self) -> None:
        """Nothing."""

    def died(self, exit_code: int) -> None:  # noqa: ARG002 - of no interest
        """Note that it is gone."""
        self._gone.set_result(None)


def _like(launch: Launch, path: Iterable[str]) -> WorkerKind | None:
    """None: no spare for such a pool."""
    if launch.way is None:
        return None
    command, cwd, _ = launch.way
    sites = [folder for folder in path if os.path.basename(folder) in SITES]
    where = os.path.realpath(command[0])
    return WorkerKind(launch.way, (*map(_stamp, [where, *sites]), _place(cwd)))


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _place(folder: str) -> tuple[int, ...] | None:
    """Return which folder it is; one of the same name, made anew, is another. What lies in it is of no interest."""
    stamp = _stamp(folder)
    return stamp and stamp[:2]
