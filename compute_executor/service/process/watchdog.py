"""Says so when the event loop does not come round for long, and what it did then.

    loop:    tick .. tick .. tick ......................... tick      late: how long, and with how much CPU
    thread:  look .. look .. look .. look: no tick since -> the stack of the loop's thread

Both do next to nothing fifty times a second, and ten times while the loop has nothing to do. A turn is told when the
loop's own thread used so much CPU time in it; what a busy machine takes from it is nobody's fault. One between
the limit and a period more may be missed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

log: logging.Logger = logging.getLogger(__name__)

LONGEST = 0.05
"""Seconds of CPU time that a turn of the loop may take: others wait for so long."""
PERIOD = 0.02
"""Seconds between two looks."""
IDLE_PERIOD = 0.1
"""The same while nothing is done: a service that waits for work is to cost a machine next to nothing."""
IDLE = 0.001
"""Seconds of CPU time that a loop with nothing to do takes in a period, at most: the tick itself."""
QUIET = 1.0
"""Seconds between two lines in the log, at least."""
FRAMES = 6

Report = Callable[[float, float, str], None]
"""Is told of a long turn: its seconds, those of CPU time, and what the loop was seen at."""


class LoopWatchdog:
    """Watches the loop that it is started on. ``clock``: seconds, monotonic; ``cpu``: seconds of CPU time of the
    thread that asks. Ticks belong to the loop's thread, looks to a thread of its own."""

    def __init__(
        self,
        report: Report | None = None,
        *,
        period: float = PERIOD,
        longest: float = LONGEST,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._report = report or LogOfTurns(clock)
        self._period = self._busy_period = period
        self._longest = longest
        self._clock = clock
        self._cpu = cpu
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._ends = threading.Event()
        self._watched = 0
        self._due = self._used = 0.0
        self._ticks = 0
        self._seen = (-1, "")  # after how many ticks, and what the loop's thread did then

    def start(self) -> None:
        """Begin, on the loop's thread."""
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._next()
        self._thread = threading.Thread(target=self._look_on, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, on the loop's thread."""
        self._ends.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join()

    def _next(self) -> None:
        assert self._loop is not None
        self._due, self._used = self._clock() + self._period, self._cpu()
        self._timer = self._loop.call_later(self._period, self._tick)

    def _tick(self) -> None:
        """Note that the loop has come round."""
        late, used = self._clock() - self._due, self._cpu() - self._used
        if min(late, used) > self._longest:
            ticks, what = self._seen
            self._report(late, used, what if ticks == self._ticks else "unknown")
        self._ticks += 1
        self._period = IDLE_PERIOD if used < IDLE else self._busy_period
        self._next()

    def _look_on(self) -> None:
        before = -1
        while not self._ends.wait(self._period):
            before = self.look(before)

    def look(self, ticks_before: int) -> int:
        """If the loop has not ticked since the last look, remember what it is doing; how often it has ticked."""
        if self._ticks == ticks_before and self._seen[0] != ticks_before:
            frame = sys._current_frames().get(self._watched)
            self._seen = (ticks_before, where(frame))
        return self._ticks


class LogOfTurns:
    """A Report that writes into the log: not more than a line a second, with how many were left out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._quiet_until = 0.0
        self._left_out = 0

    def __call__(self, seconds: float, cpu: float, what: str) -> None:
        """See `Report`."""
        if self._clock() < self._quiet_until:
            self._left_out += 1
            return
        others = f" ({self._left_out} others since the last line)" if self._left_out else ""
        log.warning(
            "a turn of the loop took %d ms, %d ms of CPU: %s%s", seconds * 1000, cpu * 1000, what, others
        )
        self._quiet_until, self._left_out = self._clock() + QUIET, 0


def where(frame: FrameType | None) -> str:
    """Return the innermost functions of a stack, in a line."""
    found: list[str] = []
    while frame is not None and len(found) < FRAMES:
        code = frame.f_code
        found.append(f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(found)
