"""The process of an engine (`host`) as the endpoint sees it: asked, one request at a time, and started again when it
dies.

Owner: the loop's thread.
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
from pathlib import Path
from typing import Any

from compute_executor.endpoint.pilots.sources import SlotOrder, SlotState
from compute_executor.errors import InvalidRequest, ServiceUnavailable

log = logging.getLogger(__name__)

ANSWER_WITHIN = 90.0
"""Seconds for an answer: a batch system may be slow; one that says nothing for longer is taken for dead."""

END_WITHIN = 15.0
"""Seconds for the engine to end its jobs, at the end."""


def _mpiexec() -> str:
    """The program that starts MPI processes: beside our interpreter, or on the search path."""
    places = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    return shutil.which("mpiexec", path=places) or "mpiexec"


CODE = "from compute_executor.endpoint.pilots.host import main; import os; os._exit(main())"


class EngineProcess:
    """The process of one engine. ``engine``, ``options``, ``order``: see `sources.open_source`; ``output``: the file
    for what its libraries print."""

    def __init__(self, engine: str, options: dict[str, Any], order: SlotOrder, output: Path) -> None:
        self._first = {"engine": engine, "options": options, "order": list(order)}
        self._launcher = [_mpiexec(), "-n", "1"] if engine == "mpi" else []
        self._output = output
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self.workers = self.most = 0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it. Raises InvalidRequest with the engine's words if it cannot be used."""
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
                )
            except OSError as error:
                program = (self._launcher or [sys.executable])[0]
                raise InvalidRequest(f"the engine cannot be started: {program}: {error.strerror}") from None
        try:
            answer = await self._ask(self._first)
        except ServiceUnavailable as error:
            raise InvalidRequest(f"the engine ended at its start: {error}; see {self._output}") from None
        if "error" in answer:
            await self._process.wait()
            raise InvalidRequest(answer["error"])
        self.workers, self.most = int(answer["workers"]), int(answer["most"])

    async def _ask(self, document: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request. Raises ServiceUnavailable if the process is dead, or does not answer."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ServiceUnavailable("the engine does not run")
        async with self._lock:
            try:
                process.stdin.write(json.dumps(document).encode() + b"\n")
                await process.stdin.drain()
                line = await asyncio.wait_for(process.stdout.readline(), ANSWER_WITHIN)
            except asyncio.TimeoutError:
                self.kill()
                raise ServiceUnavailable(f"the engine did not answer for {ANSWER_WITHIN:.0f} s") from None
            except OSError as error:
                raise ServiceUnavailable(f"the engine's process is gone: {error}") from None
        if not line:
            raise ServiceUnavailable("the engine's process is gone")
        found: dict[str, Any] = json.loads(line)
        return found

    async def _done(self, document: dict[str, Any]) -> dict[str, Any]:
        answer = await self._ask(document)
        if "error" in answer:
            raise InvalidRequest(answer["error"])
        return answer

    async def start_slot(self, slot: str) -> SlotState:
        """Ask for one more slot. Raises InvalidRequest with the scheduler's words, ServiceUnavailable."""
        return SlotState(*(await self._done({"do": "start", "slot": slot}))["slot"])

    async def look(self) -> dict[str, SlotState]:
        """All slots. Raises InvalidRequest, ServiceUnavailable."""
        answer = await self._done({"do": "look"})
        self.most = int(answer["most"])
        return {slot: SlotState(*state) for slot, state in answer["slots"].items()}

    async def end_slots(self, slots: list[str]) -> None:
        """End these at once. Raises InvalidRequest, ServiceUnavailable."""
        await self._done({"do": "end", "slots": slots})

    async def adopt(self, slots: dict[str, SlotState]) -> None:
        """These were started by an earlier process. Raises InvalidRequest, ServiceUnavailable."""
        await self._done({"do": "adopt", "slots": slots})

    def kill(self) -> None:
        """SIGKILL, to all that it has started in its group."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Have it end its slots and itself."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), END_WITHIN)
        except asyncio.TimeoutError:
            self.kill()
            await process.wait()
