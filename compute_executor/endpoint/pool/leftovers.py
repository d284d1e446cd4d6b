"""What a service that was killed has left: workers that are still dying, and results that it had not stored.

Used at a start, before anything is concluded from begun logs and before any worker starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator

from compute_executor import system
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.pool import blob
from compute_executor.endpoint.pool.result_files import SUFFIX
from compute_executor.endpoint.worker import result_ring
from compute_executor.errors import NotAuthorized

log: logging.Logger = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that workers have to be gone. The kernel kills them as their service dies (system.die_with), which takes
milliseconds; more only if one has gigabytes to give back. Workers are promised to end within 2 s of their service."""

KILLED_PATIENCE = 1.0
"""Seconds more after SIGKILL. One that is in the kernel then (a dead network disk) will not run another line of a
task, so nothing that matters can happen any more."""

LOOK_EVERY = 0.005
"""Seconds between two looks: flock has no time limit of its own."""


async def wait_until_gone(folder: str | os.PathLike[str]) -> None:
    """Return when no worker of an earlier service runs, or has SIGKILL on its way."""
    if await _all_gone(folder, PATIENCE):
        return
    for path in _alive(folder):
        _kill(path)
    if not await _all_gone(folder, KILLED_PATIENCE):
        log.warning("workers of the service before are not gone after SIGKILL: %s", _alive(folder))


async def _all_gone(folder: str | os.PathLike[str], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while _alive(folder):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_EVERY)
    return True


def _alive(folder: str | os.PathLike[str]) -> list[str]:
    """Return the result rings of workers that are not dead."""
    return [path for path in _paths(folder) if _is_held(path) and not _is_dead(path)]


def _is_held(path: str) -> bool:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return system.is_locked(file)
    finally:
        os.close(file)


def _is_dead(path: str) -> bool:
    """Return whether the worker is known to be dead, though somebody holds its result ring: a process that a task has
    forked and let go, which runs no tasks. Of a worker in a container only the lock is known."""
    pid, started = _user(path)
    return pid > 1 and started > 0 and system.start_time(pid) != started


def _kill(path: str) -> None:
    pid, started = _user(path)
    if pid > 1 and started > 0 and system.start_time(pid) == started:
        log.warning("worker %d runs on after its service: SIGKILL", pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)  # a worker leads a process group


def _user(path: str) -> tuple[int, int]:
    with open(path, "rb") as file:
        return result_ring.user(file.read(64))


def finished(folder: str | os.PathLike[str]) -> Iterator[TaskEnded]:
    """Yield what workers had finished and may not be stored, in the order in which each worker did."""
    for path in _paths(folder):
        with open(path, "rb") as file:
            data = file.read(result_ring.SIZE + 1)
        worker, _ = result_ring.user(data[:64])
        for batch, position, attempt, status, in_file, began, ended, body in result_ring.intact(data):
            with contextlib.suppress(ValueError):  # no name of a file: a task has written over it
                yield TaskEnded(
                    batch,
                    position,
                    attempt,
                    status,
                    blob(body) if in_file else body,
                    began,
                    ended,
                    worker=worker,
                )


def clear(folder: str | os.PathLike[str]) -> None:
    """Remove the result rings of a service that is gone, once what they hold is stored."""
    for path in _paths(folder):
        os.unlink(path)


def _paths(folder: str | os.PathLike[str]) -> list[str]:
    """Return the files of workers. What has taken their place (a pipe, a link) is nobody's, and reading it might not
    end."""
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if entry.name.endswith(SUFFIX)]
    strange = [entry.path for entry in found if not entry.is_file(follow_symlinks=False)]
    if strange:
        raise NotAuthorized(f"{strange[0]} is no plain file. Remove it: no service has made it")
    return sorted(entry.path for entry in found)
