"""What an engine asks of whoever gives it work, and tells it. All calls are made on the loop's thread."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Protocol

import msgspec

from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.worker.messages import Key
from compute_executor.protocol.frames import Body, Reason, Written


class TaskEnded(NamedTuple):
    """A task has ended. ``status``: VALUE, EXCEPTION, TIMEOUT or LOST of protocol.frames, which say what ``body`` is.
    ``began`` and ``ended`` are unix times. ``output``: the end of what it has written. ``worker``: the process that
    ran it; 0: not known, or none did."""

    batch: int
    position: int
    attempt: int
    status: int
    body: Body
    began: float
    ended: float
    output: Written | None = None
    worker: Annotated[int, msgspec.Meta(ge=0, le=(1 << 31))] = 0


class WorkerView(NamedTuple):
    """A worker, for people to look at. ``state``: starting, idle, running or ending. ``task``: batch and position."""

    pid: int
    pool: bytes
    state: str
    task: tuple[int, int] | None


class EngineEvents(Protocol):
    """The other side of an engine. Methods must not block; they may call the engine's."""

    def take(self, pool: bytes, limit: int) -> list[Assignment]:
        """Return up to ``limit`` tasks to run now; from here on they are the engine's until it reports on each."""
        ...

    def function_code(self, number: int) -> Body:
        """Return the code of a function that was assigned. Asked once per worker and function."""
        ...

    def began(self, pool: bytes, tasks: list[tuple[int, int, int, float]]) -> None:
        """Note that these (batch, position, attempt, unix time) run, and for so long that it is worth saying."""

    def ended(self, pool: bytes, outcomes: list[TaskEnded], *, kept: bool = False) -> None:
        """Note that these have ended. ``kept``: each is in the result ring of its worker, and stays there until
        `progress` says that it is stored."""

    def progress(self) -> tuple[int, int]:
        """Return how many outcomes were ever taken in, by `ended` or otherwise, and how many of these, the first, are
        stored."""
        ...

    def returned(self, pool: bytes, tasks: list[Key]) -> None:
        """Note that these have surely not begun and are not the engine's any more: to be given again, at the same
        attempt."""

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
        """Note that this one had begun, and its worker is dead. ``output``: the end of what it has written.
        ``worker``: the process that it was."""

    def broken(self, pool: bytes, message: str) -> None:
        """Note that workers of this pool cannot start, or its initializer raised: it takes no more tasks. What still
        runs is reported as usual, what had not begun was returned before."""

    def output(self, pool: bytes, batch: int, position: int, part: Written) -> None:
        """Pass on what the task has written since the last such call, while it runs, before it ends with more than
        fits its result, or in its last moments."""
