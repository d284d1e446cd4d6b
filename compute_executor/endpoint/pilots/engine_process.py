"""The process of an engine (`host`) as the endpoint sees it: asked, one request at a time, and started again when it
dies.

What it starts ends with it: it leads a session, and this process adopts what leaves that. What is left when both are
killed the next start of the endpoint finds (`agent.folder`). Owner: the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from compute_executor import system
from compute_executor.endpoint.pilots.slots import SlotOrder, SlotState
from compute_executor.errors import InvalidRequest, ServiceUnavailable

log: logging.Logger = logging.getLogger(__name__)

ANSWER_WITHIN = 90.0
"""Seconds for an answer: a batch system may be slow; one that says nothing for longer is taken for dead."""

LOOK_EVERY = 0.05
"""Seconds between two looks at whether it is dead, while an answer or its end is waited for."""

DEAD_WITHIN = 5.0
"""Seconds that processes may take to be dead after SIGKILL: one that is in the kernel then may take for ever."""

END_WITHIN = 15.0
"""Seconds for the engine to end its jobs, at the end."""


def _mpiexec() -> str:
    """Return the program that starts MPI processes: beside our interpreter, or on the search path."""
    places = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    return shutil.which("mpiexec", path=places) or "mpiexec"


CODE = "from compute_executor.endpoint.pilots.host import main; import os; os._exit(main())"


class EngineProcess:
    """The process of one engine. ``engine``, ``options``, ``order``: see `sources.open_source`; ``output``: the file
    for what its libraries print; ``mark``: NAME=VALUE for its environment; ``started``: called with its process id
    before it is asked for anything."""

    def __init__(
        self,
        engine: str,
        options: dict[str, Any],
        order: SlotOrder,
        output: Path,
        *,
        mark: str = "",
        started: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._first = {"engine": engine, "options": options, "order": list(order)}
        self._launcher = [_mpiexec(), "-n", "1"] if engine == "mpi" else []
        self._output = output
        self._environ = dict([mark.split("=", 1)]) if mark else {}
        self._started = started
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._open = False  # whether it has said that it can be used
        self.workers: int = 0
        self.most: int = 0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it; what one before it has left is ended. Raises InvalidRequest with the engine's words if it cannot
        be used."""
        system.adopt_orphans()
        await self._end_all()
        self._open = False
        with self._output.open("ab") as output:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._launcher,
                    sys.executable,
                    "-c",
                    CODE,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=output,
                    start_new_session=True,
                    limit=1 << 24,
                    env={**os.environ, **self._environ},
                )
            except OSError as error:
                program = (self._launcher or [sys.executable])[0]
                raise InvalidRequest(f"the engine cannot be started: {program}: {error.strerror}") from None
        try:
            self._started(self._process.pid)
        except OSError as error:
            await self._end_all()
            raise InvalidRequest(f"the engine is not started, for that cannot be recorded: {error}") from None
        try:
            answer = await self._ask(self._first)
        except ServiceUnavailable as error:
            raise InvalidRequest(f"the engine ended at its start: {error}; see {self._output}") from None
        if "error" in answer:
            await self.close()
            raise InvalidRequest(answer["error"])
        self.workers, self.most, self._open = int(answer["workers"]), int(answer["most"]), True

    async def _ask(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one request. Raises ServiceUnavailable if the process is dead by now, and why."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ServiceUnavailable("the engine does not run")
        async with self._lock:
            try:
                process.stdin.write(json.dumps(document).encode() + b"\n")
                await process.stdin.drain()
                line = await _first_of(process.stdout.readline(), _death(process))
            except asyncio.TimeoutError:
                await self._end_all()
                raise ServiceUnavailable(
                    f"the engine's process did not answer for {ANSWER_WITHIN:.0f} s and was ended"
                ) from None
            except OSError:
                line = b""
        if not line:
            await self._end_all()
            raise ServiceUnavailable(_ended(process.returncode or 0))
        found: dict[str, Any] = json.loads(line)
        if "gone" in found:
            await self._end_all()
            raise ServiceUnavailable(found["gone"])
        return found

    def check(self) -> None:
        """Raise ServiceUnavailable if it is dead."""
        if self._process is not None and self._process.returncode is not None:
            raise ServiceUnavailable(_ended(self._process.returncode))

    async def _done(self, document: dict[str, Any]) -> dict[str, Any]:
        answer = await self._ask(document)
        if "error" in answer:
            raise InvalidRequest(answer["error"])
        return answer

    async def start_slot(self, slot: str) -> SlotState:
        """Ask for one more slot. Raises InvalidRequest with the scheduler's words, ServiceUnavailable."""
        return SlotState(*(await self._done({"do": "start", "slot": slot}))["slot"])

    async def look(self) -> dict[str, SlotState]:
        """Return all slots. Raises InvalidRequest, ServiceUnavailable."""
        answer = await self._done({"do": "look"})
        assert self._process is not None
        system.reap_adopted(self._process.pid)
        self.most = int(answer["most"])
        return {slot: SlotState(*state) for slot, state in answer["slots"].items()}

    async def end_slots(self, slots: list[str]) -> None:
        """End these at once. Raises InvalidRequest, ServiceUnavailable."""
        await self._done({"do": "end", "slots": slots})

    async def adopt(self, slots: dict[str, SlotState]) -> None:
        """Note that these were started by an earlier process. Raises InvalidRequest, ServiceUnavailable."""
        await self._done({"do": "adopt", "slots": slots})

    async def _end_all(self) -> None:
        """SIGKILL to it and to all that it has started, in whatever session."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # where descendants cannot be told
        deadline = time.monotonic() + DEAD_WITHIN
        while (ended := system.end_descendants(os.getpid())) and time.monotonic() < deadline:
            log.info("%d processes of the engine are ended", ended)
            await asyncio.sleep(
                LOOK_EVERY
            )  # one whose parent dies is nobody's child for a moment: look again
        await _death(process)
        system.reap_adopted(process.pid)

    async def close(self) -> None:
        """Have it end its slots and itself; then what it has left is ended."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if self._open:  # before that it has no slots, and may be busy for long with what it cannot reach
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(_death(process), END_WITHIN)
        await self._end_all()


async def _first_of(answer: Coroutine[Any, Any, bytes], death: Coroutine[Any, Any, None]) -> bytes:
    """Return the answer; nothing if the process is dead: what it has started may hold its pipe open. Raises
    TimeoutError."""
    line, dead = asyncio.ensure_future(answer), asyncio.ensure_future(death)
    try:
        await asyncio.wait([line, dead], timeout=ANSWER_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        if not line.done() and not dead.done():
            raise asyncio.TimeoutError
        return line.result() if line.done() else b""
    finally:
        for one in (line, dead):
            one.cancel()
        await asyncio.gather(line, dead, return_exceptions=True)


async def _death(process: asyncio.subprocess.Process) -> None:
    """Return when it is dead. Its own ``wait`` returns when nobody holds its pipes any more, in some loops."""
    while process.returncode is None:
        await asyncio.sleep(LOOK_EVERY)


def _ended(code: int) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"has ended with code {code}"
    return f"the engine's process {how}"
