"""A laboratory for engines: real worker processes, driven by a scripted other side on an event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import pytest

from compute_executor.endpoint.pool.engine import ProcessEngine
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.protocol.frames import TIMEOUT, VALUE, Blob, PoolSpec, Reason, Written
from compute_executor.protocol.resources import Resources
from compute_executor.serialization import exceptions, native
from tests.endpoint.tasks import POOL

PATIENCE = 15.0
"""Seconds after which a wait fails. Nothing here takes that long unless it hangs."""


class Script:
    """The other side of an engine (EngineEvents): gives what :meth:`submit` got, remembers what it is told."""

    def __init__(self) -> None:
        self.todo: deque[Assignment] = deque()
        self.codes: dict[int, Any] = {}
        self.asked: list[int] = []
        self.ends: dict[int, TaskEnded] = {}
        self.kept: set[int] = set()
        self.order: list[int] = []
        self.begun: dict[int, float] = {}
        self.given_back: list[int] = []
        self.requeue = False
        """Whether what is returned is given again, as a service does."""
        self.losses: dict[int, Reason] = {}
        self.troubles: list[str] = []
        self.texts: dict[int, bytes] = {}
        self.parts: list[tuple[int, Written]] = []
        self.batch = 7
        self.engine: ProcessEngine
        self.folder: Path
        self._count = 0
        self._assigned: dict[int, Assignment] = {}
        self._numbers: dict[Any, int] = {}
        self._changed = asyncio.Event()

    # -- what tests do --

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        walltime: float | None = None,
        needs: Resources | None = None,
        **kwargs: Any,
    ) -> int:
        """A call for the engine; returns its position."""
        number = self._numbers.setdefault(function, len(self._numbers))
        if number not in self.codes:
            self.codes[number] = _by_value(function)
        return self.assign(number, native.dumps_call(args, kwargs), walltime, needs)

    def assign(
        self, number: int, body: Any, walltime: float | None = None, needs: Resources | None = None
    ) -> int:
        """The same with everything given as it travels."""
        self._count += 1
        self._assigned[self._count] = Assignment(self.batch, self._count, 1, number, body, walltime, needs)
        self.todo.append(self._assigned[self._count])
        return self._count

    def last(self) -> int:
        """The position that was given last."""
        return self._count

    def wake(self) -> None:
        """Tell the engine that there is work."""
        self.engine.wake(POOL)

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Submit, wait, return the value or raise the exception."""
        position = self.submit(function, *args, **kwargs)
        self.wake()
        return await self.result(position)

    async def result(self, position: int) -> Any:
        """The value of a task, or its exception raised."""
        await self.until(lambda: position in self.ends)
        return self.outcome(position)

    def outcome(self, position: int) -> Any:
        """The same of a task that has ended."""
        ended = self.ends[position]
        body = ended.body
        if isinstance(body, Blob):
            body = (self.folder / "blobs" / body.name).read_bytes()
        if ended.status == VALUE:
            return native.loads(body)
        if ended.status == TIMEOUT:
            return msgspec.msgpack.decode(body, type=Reason)
        raise exceptions.decode(body)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for the engine to have said something."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            self._changed.clear()
            left = deadline - time.monotonic()
            assert left > 0, f"waited in vain; {self.state()}"
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except (TimeoutError, asyncio.TimeoutError):  # not the same before Python 3.11
                continue

    def state(self) -> str:
        """What is known, for the message of a test that fails."""
        known = {key: value for key, value in vars(self).items() if key not in ("codes", "ends", "_assigned")}
        return f"{known!r:.5000}; ended {sorted(self.ends)}; workers {self.engine.workers()}"

    def pids(self) -> list[int]:
        """The living workers."""
        return [view.pid for view in self.engine.workers()]

    # -- EngineEvents --

    def take(self, pool: bytes, limit: int) -> list[Assignment]:
        assert limit > 0
        return [self.todo.popleft() for _ in range(min(limit, len(self.todo)))]

    def function_code(self, number: int) -> Any:
        self.asked.append(number)
        return self.codes[number]

    def began(self, pool: bytes, tasks: list[tuple[int, int, int, float]]) -> None:
        assert tasks
        for _, position, _, moment in tasks:
            assert position not in self.begun
            self.begun[position] = moment
        self._changed.set()

    def ended(self, pool: bytes, outcomes: list[TaskEnded], *, kept: bool = False) -> None:
        for outcome in outcomes:
            assert outcome.position not in self.ends, "ended twice"
            assert outcome.worker, "who ran it is known"
            self.ends[outcome.position] = outcome
            if outcome.output is not None:
                self.texts[outcome.position] = whole(outcome.output)
            if kept:
                self.kept.add(outcome.position)
            self.order.append(outcome.position)
        self._changed.set()

    def progress(self) -> tuple[int, int]:
        return len(self.ends), len(self.ends)

    def returned(self, pool: bytes, tasks: list[tuple[int, int, int]]) -> None:
        assert tasks
        self.given_back += [position for _, position, _ in tasks]
        if self.requeue:
            self.todo.extendleft(self._assigned[position] for _, position, _ in reversed(tasks))
        self._changed.set()

    def lost(
        self,
        pool: bytes,
        batch: int,
        position: int,
        attempt: int,
        reason: Reason,
        *,
        output: Written | None = None,
        worker: int = 0,
    ) -> None:
        assert worker or not reason.began, "whose process died is known"
        self.losses[position] = reason
        if output is not None:
            self.texts[position] = whole(output)
        self._changed.set()

    def broken(self, pool: bytes, message: str) -> None:
        self.troubles.append(message)
        self._changed.set()

    def output(self, pool: bytes, batch: int, position: int, part: Written) -> None:
        self.parts.append((position, part))
        self._changed.set()


def whole(output: Written) -> bytes:
    """The end of what a task has written to stdout and stderr, after how much is missing."""
    missing = sum(output.starts[:2])
    return (b"[%d bytes dropped]\n" % missing if missing else b"") + output.out + output.err


def _by_value(function: Callable[..., Any]) -> bytes:
    """The code of a function, without its test module, which workers cannot import."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    ours = module if module is not None and "tests" in (getattr(module, "__file__", None) or "") else None
    if ours is None:
        return native.dumps(function)
    cloudpickle.register_pickle_by_value(ours)
    try:
        return native.dumps(function)
    finally:
        cloudpickle.unregister_pickle_by_value(ours)


Scenario = Callable[[Script], Awaitable[None]]
Lab = Callable[..., Script]
"""What the fixture `lab` is."""


@pytest.fixture(scope="session", autouse=True)
def libuv_ready() -> None:
    """libuv makes a pipe for the whole process with its first loop and keeps it: not a leak of a test."""
    pytest.importorskip("uvloop").new_event_loop().close()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """``lab(scenario, **fields of PoolSpec)``: run a scenario with an engine that has one pool, opened."""
    for name in ("blobs", "rings"):
        (tmp_path / name).mkdir()

    def run(scenario: Scenario, *, uv: bool = False, **fields: Any) -> Script:
        return _run(_experiment(scenario, tmp_path, fields), uv)

    return run


async def _experiment(scenario: Scenario, folder: Path, fields: dict[str, Any]) -> Script:
    script = Script()
    script.folder = folder
    script.engine = ProcessEngine(script, blob_folder=folder / "blobs", ring_folder=folder / "rings")
    script.engine.open(POOL, spec(**fields))
    try:
        await asyncio.wait_for(scenario(script), 2 * PATIENCE)
    finally:
        began = time.monotonic()
        await script.engine.close()
        assert time.monotonic() - began < 2.0, "closing takes too long"
    with pytest.raises(ChildProcessError):  # no child is left, not even a zombie
        os.waitpid(-1, os.WNOHANG)
    return script


def _run(experiment: Any, uv: bool) -> Script:
    if not uv:
        return asyncio.run(experiment)  # type: ignore[no-any-return]
    loop = pytest.importorskip("uvloop").new_event_loop()
    try:
        return loop.run_until_complete(experiment)  # type: ignore[no-any-return]
    finally:
        loop.close()


def spec(**fields: Any) -> PoolSpec:
    """A PoolSpec of this very process, but for ``fields``."""
    given: dict[str, Any] = {
        "max_workers": 1,
        "python": sys.executable,
        "path": list(sys.path),
        "cwd": os.getcwd(),
        "environ": dict(os.environ),
    }
    return PoolSpec(**(given | fields))
