"""Programs that are run to build something: their output goes into a log, their end is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Sequence
from pathlib import Path

from compute_executor.errors import PoolBroken

LAST_WORDS = 4000
"""Characters of the end of a log that an error repeats."""

PROBE_PATIENCE = 20.0
"""Seconds that a program may take to say what it is."""

_LEFT_OUT = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSAFEPATH",
    "VIRTUAL_ENV",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
)


class BuildLog:
    """The log of a build: a file that grows, and can be read meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def say(self, line: str) -> None:
        """Append a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def end(self, most: int = LAST_WORDS) -> str:
        """Return the last characters of it."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read().decode(errors="replace").strip()
        return ""


def environ() -> dict[str, str]:
    """Return the environment variables of a build: ours, without what would make it install elsewhere, and no
    secrets."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _LEFT_OUT and not ("SECRET" in name or name.endswith("TOKEN"))
    }


async def run(command: Sequence[str], log: BuildLog, cwd: Path) -> None:
    """Run it to its end. Raises PoolBroken with the end of the log if it fails. Cancelled: it is killed."""
    log.say(f"$ {shlex.join(command)}")
    with log.path.open("ab") as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=cwd,
                env=environ(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise PoolBroken(f"{command[0]} cannot be run: {error}", began=False) from error
    code = await _end(process)
    if code != 0:
        raise PoolBroken(
            f"{os.path.basename(command[0])} ended with {code}. The end of the log:\n{log.end()}", began=False
        )


async def _end(process: asyncio.subprocess.Process) -> int:
    try:
        return await process.wait()
    except asyncio.CancelledError:
        await _kill(process)
        raise


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End it and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def output(*command: str) -> tuple[int, str]:
    """Exit code and output of a short program; -1 and the reason if it cannot be run or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environ(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return -1, str(error)
    try:
        text, _ = await asyncio.wait_for(process.communicate(), PROBE_PATIENCE)
    except (TimeoutError, asyncio.TimeoutError):  # not the same before Python 3.11
        await _kill(process)
        return -1, f"no answer in {PROBE_PATIENCE:g} s"
    except asyncio.CancelledError:
        await _kill(process)
        raise
    return process.returncode or 0, text.decode(errors="replace").strip()
