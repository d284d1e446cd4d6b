"""The process of one pool, under the account of the pool's user: started, started again when it dies, ended.

    starting -> connected ... dies -> waits, longer each time -> starting
                          \\-> told to end -> gone

It learns what it is to do from its standard input, and ends when that ends, which it does with this service however
that dies. Owner: the loop thread; what may block is done in others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from compute_executor.backoff import Backoff
from compute_executor.endpoint.agent.pool_agent import CONNECTED, PoolTicket, packed
from compute_executor.errors import ComputeError, ServiceUnavailable, from_document
from compute_executor.local.state import HOME
from compute_executor.service.system_accounts import SystemAccount

log: logging.Logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds before a process that has died is started again."""

ATTEMPTS = 4
"""Starts one after the other without a connection after which the pool counts as broken."""

STEADY = 60.0
"""Seconds after which a process that dies has not died of its start."""

END_WITHIN = 10.0
"""Seconds that a process has to end before it is killed."""

KEPT = 4000
"""Bytes of the end of what a process has said."""

_CODE = "from compute_executor.endpoint.agent.pool_agent import main; main()"


class PoolProcess:
    """The process of a pool. ``folder``: makes its folder, in any thread; ``ticket``: makes what it is told at each
    start; ``failed``: called with the reason when it cannot be started; ``after``: what has to end first."""

    def __init__(
        self,
        account: SystemAccount,
        folder: Callable[[], Path],
        ticket: Callable[[], PoolTicket],
        failed: Callable[[str], object],
        after: asyncio.Future[None] | None = None,
    ) -> None:
        self._account = account
        self._folder = folder
        self._ticket = ticket
        self._failed = failed
        self._process: subprocess.Popen[bytes] | None = None
        self._connected = False
        self._ending = False
        self._keeping = asyncio.ensure_future(self._keep(after))

    async def end(self) -> None:
        """End it and return when it is gone. What its workers have finished stays in its folder."""
        self._ending = True
        self._hang_up()
        _, late = await asyncio.wait([self._keeping], timeout=END_WITHIN)
        if late:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def ended(self) -> None:
        """Return when it has ended by itself, as it was told by its connection; see `expect_end`."""
        await asyncio.wait([self._keeping])

    def expect_end(self) -> None:
        """Note that it has been told to end when it has nothing more to do, and is not started again. If it cannot
        know, for want of a connection, it ends now."""
        self._ending = True
        if not self._connected:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    async def _keep(self, after: asyncio.Future[None] | None) -> None:
        if after is not None:
            await asyncio.wait([after])
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not self._ending:
            began, self._connected = time.monotonic(), False
            try:
                said = await self._run()
            except ServiceUnavailable as error:  # it can have no folder
                said = str(error)
            except OSError as error:  # of the system: no memory, or the account may not start the interpreter
                said = f"{sys.executable} cannot be started as {self._account.name}: {error.strerror}"
            if self._ending:
                return
            if self._connected and time.monotonic() - began > STEADY:
                backoff.succeeded()
            pause = backoff.failed()
            log.warning(
                "the process of %s has ended (%s); again in %.1f s", self._account.name, said[-500:], pause
            )
            if backoff.failures >= ATTEMPTS and not self._connected:
                self._failed(
                    f"no worker can be started under the account {self._account.name}: {said[-1000:]}"
                )
                return
            await asyncio.sleep(pause)

    async def _run(self) -> str:
        """Return one process from its start to its end; what it said last."""
        process = self._process = await asyncio.to_thread(self._start)
        try:
            if self._ending:
                self._hang_up()
            return await self._listen(process)
        finally:
            await asyncio.shield(asyncio.to_thread(_finish, process))
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        account, folder = self._account, self._folder()
        return subprocess.Popen(
            [sys.executable, "-I", "-c", _CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**account.environment(), HOME: os.fspath(folder)},
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
            umask=0o077,
            start_new_session=True,
        )

    async def _listen(self, process: subprocess.Popen[bytes]) -> str:
        telling = asyncio.ensure_future(asyncio.to_thread(_tell, process, packed(self._ticket())))
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
        assert process.stdout is not None
        pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
        said = b""
        try:
            while more := await reader.read(KEPT):
                said = (said + more)[-KEPT:]
                if CONNECTED in said:
                    self._connected, said = True, b""
        finally:
            pipe.close()
        await telling
        return _reason(said)


def _tell(process: subprocess.Popen[bytes], ticket: bytes) -> None:
    """Write the ticket; the pipe stays open. In a thread: it may be longer than a pipe holds."""
    assert process.stdin is not None
    with contextlib.suppress(OSError, ValueError):  # it has ended, and says why; or is to end
        process.stdin.write(ticket)
        process.stdin.flush()


def _finish(process: subprocess.Popen[bytes]) -> None:
    """Return when the process is gone, and what it has left in its process group. In a thread."""
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    deadline = time.monotonic() + END_WITHIN
    while _runs(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    with contextlib.suppress(
        ProcessLookupError
    ):  # before it is reaped: its number is nobody else's until then
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _runs(pid: int) -> bool:
    """Return whether a child of this process still runs; it is not reaped."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None


def _reason(said: bytes) -> str:
    """Return why a process has ended, from what it said last: an error, or the end of a traceback."""
    lines = said.decode("utf-8", "replace").strip().splitlines()
    if not lines:
        return "it said nothing"
    try:
        error: ComputeError = from_document(json.loads(lines[-1]))
    except Exception:  # its account can make it say anything
        return lines[-1]
    return str(error)
