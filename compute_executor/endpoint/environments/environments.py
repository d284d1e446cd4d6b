"""The environments of an endpoint: each built once for its content, kept over restarts, and watched while it is made.

    <folder>/<digest>/log         what the builds of it have said
                      ready.json  the environment; written when it is complete, so whoever reads it has all of it
                      failed      why the last build failed; the next request begins another
                      <attempt>/  the files of a build. One without ready.json beside it is of a build that was
                                  interrupted, and goes with the next

A build is one asyncio task; whoever asks for the same content meanwhile waits for it. All is the loop thread's.
One service uses the folder at a time (it holds the state folder's lock).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from compute_executor.endpoint.environments import images, virtual
from compute_executor.endpoint.environments.commands import BuildLog
from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.environments.recipes import VENV, Image, Recipe, Source, digest
from compute_executor.errors import ComputeError, PoolBroken

QUEUED, BUILDING, READY, FAILED = "queued", "building", "ready", "failed"

AT_ONCE = 2
"""Builds that run at a time; they are limited by network and disk, and tasks want the CPUs."""

MOST_LOG = 1024 * 1024
"""Bytes of a log that are shown: the last ones."""

Build = Callable[[Source, Path, BuildLog], Awaitable[Environment]]
"""Makes an environment in an empty folder. Raises ComputeError if that cannot be done."""


async def build(source: Source, folder: Path, log: BuildLog) -> Environment:
    """Make it by the way that its kind needs."""
    if isinstance(source, Image):
        return await images.existing(source, folder, log)
    if source.kind == VENV:
        return await virtual.build(source, folder, log)
    return await images.build(source, folder, log)


class Environments:
    """See the module. ``folder`` is made when it is needed."""

    def __init__(self, folder: Path, build: Build = build) -> None:
        self._folder = folder
        self._build = build
        self._jobs: dict[str, asyncio.Task[Environment | str]] = {}
        self._running: set[str] = set()
        self._images: dict[
            str, Environment
        ] = {}  # looked for anew by each service: they may be removed meanwhile
        self._room = asyncio.Semaphore(AT_ONCE)

    # -- asking -------------------------------------------------------------------------------------------

    def status(self, source: Source) -> str:
        """QUEUED, BUILDING, READY or FAILED."""
        name = digest(source)
        if name in self._jobs:
            return BUILDING if name in self._running else QUEUED
        if self._found(source) is not None:
            return READY
        return FAILED if self._failure(name) else QUEUED

    def log(self, source: Source) -> str:
        """Return what the builds of it have said so far."""
        return BuildLog(self._folder / digest(source) / "log").end(MOST_LOG)

    def start(self, source: Source) -> None:
        """See that it is built. One whose build has failed is tried again."""
        name = digest(source)
        if name not in self._jobs and self._found(source) is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._folder / name / "failed")
            self._job(source)

    async def ready(self, source: Source) -> Environment:
        """Return the environment, when it is complete. Raises PoolBroken with the end of the log if its build fails,
        or has failed and was not asked for again."""
        name = digest(source)
        found = self._found(source)
        if found is not None:
            return found
        failure = "" if name in self._jobs else self._failure(name)
        outcome: Environment | str = failure
        if not failure:
            outcome = await asyncio.shield(self._job(source))
        if isinstance(outcome, str):
            raise PoolBroken(outcome, began=False)
        return outcome

    @property
    def pending(self) -> int:
        """How many are being built, or wait for it."""
        return len(self._jobs)

    def all(self) -> list[dict[str, str]]:
        """Return what `status` shows: every environment that has a folder, and how it is."""
        found = []
        for place in sorted(self._folder.glob("*/log")):
            name = place.parent.name
            ready = (place.parent / "ready.json").exists() or name in self._images
            state = READY if ready else FAILED if self._failure(name) else QUEUED
            found.append({"environment": name, "state": BUILDING if name in self._running else state})
        return found

    async def close(self) -> None:
        """Stop what is being built; the next service begins it anew."""
        jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    # -- building -----------------------------------------------------------------------------------------

    def _job(self, source: Source) -> asyncio.Task[Environment | str]:
        name = digest(source)
        if name not in self._jobs:
            self._jobs[name] = asyncio.get_running_loop().create_task(self._make(source, name))
            self._jobs[name].add_done_callback(lambda _: self._jobs.pop(name, None))
        return self._jobs[name]

    async def _make(self, source: Source, name: str) -> Environment | str:
        """Return the environment, or why there is none."""
        async with self._room:
            self._running.add(name)
            try:
                return await self._attempt(source, self._folder / name)
            except (ComputeError, OSError) as error:
                return await self._fail(self._folder / name, str(error))
            finally:
                self._running.discard(name)

    async def _attempt(self, source: Source, place: Path) -> Environment:
        place.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(_remove_attempts, place)
        folder = place / f"attempt-{os.urandom(4).hex()}"
        folder.mkdir()
        log = BuildLog(place / "log")
        log.say(f"# {msgspec.json.encode(source).decode()}")
        environment = await self._build(source, folder, log)
        log.say("# ready")
        if _is_venv(source):
            _write(place / "ready.json", msgspec.json.encode(environment))
        else:
            shutil.rmtree(folder, ignore_errors=True)
            self._images[place.name] = environment
        return environment

    async def _fail(self, place: Path, reason: str) -> str:
        with contextlib.suppress(OSError):  # a disk that is full: it is told all the same, and not kept
            BuildLog(place / "log").say(f"# failed: {reason.splitlines()[0] if reason else ''}")
            _write(place / "failed", reason.encode())
            await asyncio.to_thread(_remove_attempts, place)
        return reason or "its build failed"

    # -- what is on the disk ------------------------------------------------------------------------------

    def _found(self, source: Source) -> Environment | None:
        name = digest(source)
        if not _is_venv(source):
            return self._images.get(name)
        try:
            found = msgspec.json.decode((self._folder / name / "ready.json").read_bytes(), type=Environment)
        except (OSError, msgspec.DecodeError):
            return None
        return found if os.access(found.python, os.X_OK) else None  # its interpreter may have been removed

    def _failure(self, name: str) -> str:
        try:
            return (self._folder / name / "failed").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def _is_venv(source: Source) -> bool:
    return isinstance(source, Recipe) and source.kind == VENV


def _remove_attempts(place: Path) -> None:
    """Remove what builds that did not end well have left."""
    for left in place.glob("attempt-*"):
        shutil.rmtree(left, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    """Write all of it or nothing."""
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.rename(path)
