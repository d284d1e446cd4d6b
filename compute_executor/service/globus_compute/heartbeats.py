"""Whether one user endpoint runs, and what follows if it does not. No I/O, no clock: times are passed in (seconds).

    down -> (start command) -> starting -> (report) -> running -> (last report, or no consumer) -> ended -> down

A stock endpoint acknowledges a task up to half a second after its engine has taken it, not when it is done: what it
had taken when it died is gone, and what it had not acknowledged yet may have begun, too. So before a dead one is
started again, its queue is drained: a message that was never delivered to it goes back to our own queue, the others
are *in doubt*. They are lost when three heartbeats have been missed; unless the very same process reports again: it
had only lost its connection, and its tasks still run (its engine outlives that).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

DEFAULT_PERIOD = 30.0
"""Seconds between two heartbeats, until one has told otherwise: the stock endpoint's default."""
MISSED = 3
"""Heartbeats that may be missing."""
ALONE = 20.0
"""Seconds without a consumer of the task queue after which there is no user endpoint: one that was cut off is back
within 10 (its longest pause)."""
COMMAND_LIFE = 20.0
"""Seconds that a start command is good for; after half as many again, another one is sent."""
STARTING = 10.0
"""Seconds after a start command in which the user endpoint is expected to come up: its queue is inspected often."""
UNANSWERED = 20
"""Start commands without a sign of the user endpoint after which the tasks that wait for it end."""
STILL_THERE = "Another instance of this endpoint is running"
"""Why a user endpoint refuses to start while the PID file of a killed one is younger than half a minute."""
TRIED_AGAIN = 10.0
"""Seconds until one that refused for that reason is told to start again."""

Task = tuple[int, int]  # batch and position


class HeartbeatReport(NamedTuple):
    """A heartbeat. ``process``: names this run of the user endpoint; ``idle``: it says that no task is with it."""

    active: bool
    period: float
    process: str
    idle: bool = False


class TasksInDoubt(NamedTuple):
    """An attempt at a task that may never have a result. ``process``: the run of the user endpoint that had taken
    it and seems to have ended; "" if its message may be gone with a deleted queue."""

    attempt: int
    process: str


def is_online(state: Mapping[str, object], seen: float, now: float) -> bool:
    """Return whether an endpoint that was heard of at ``seen``, with this heartbeat, counts as online."""
    period = state.get("heartbeat_period")
    if not isinstance(period, (int, float)) or period <= 0:
        period = DEFAULT_PERIOD
    return now - seen < MISSED * period


class LivenessMonitor:
    """What is known of one user endpoint. Owner: the loop thread."""

    def __init__(self) -> None:
        self.running: bool = False
        self.recovery_due: bool = False  # it has ended, and its queue was not drained yet
        self.in_doubt: dict[Task, TasksInDoubt] = {}
        self.commands: int = 0  # sent since it last gave a sign of life
        self._process = ""
        self._period = DEFAULT_PERIOD
        self._reported = self._hope_until = 0.0
        self._alone_since: float | None = None
        self._idle_since: float | None = None
        self._commanded: float | None = None
        self._unheard = True

    @property
    def process(self) -> str:
        """The run of the user endpoint that reported last."""
        return self._process

    # -- what is seen -------------------------------------------------------------------------------------

    def restored(self, process: str) -> None:
        """Note that it has tasks from before we were restarted: it is taken to run until it is missed."""
        self._process = process
        self.running = True

    def connected(self, now: float) -> None:
        """Note that we can hear again: what we did not hear before means nothing."""
        self._reported = now
        self._alone_since = None

    def report(self, report: HeartbeatReport, now: float) -> dict[Task, int]:
        """Note a heartbeat. Return the tasks that it clears: this very process has them still."""
        self._reported = now
        self._unheard = False
        self._period = report.period or self._period
        self._idle_since = (self._idle_since or now) if report.idle else None
        if not report.active:
            self._end()
            return {}
        cleared = {task: one.attempt for task, one in self.in_doubt.items() if one.process == report.process}
        for task in cleared:
            del self.in_doubt[task]
        self._process = report.process
        self.running, self.recovery_due, self.commands = True, False, 0
        self._alone_since = self._commanded = None
        return cleared

    def given(self) -> None:
        """Note that a task was given to it."""
        self._idle_since = None

    def observed(self, consumers: int, now: float) -> None:
        """Note how many consumers its task queue has: one is the user endpoint itself."""
        if consumers:
            self._alone_since = None
            self.commands = 0
            self.running = self.running or self._unheard  # it ran before we were restarted
            return
        if self._alone_since is None:
            self._alone_since = now
        if now - max(self._alone_since, self._reported) >= ALONE and self.running:
            self._end()

    def parent_restarted(self) -> None:
        """Note that the endpoint that started it is a new process; its children end with it."""
        if self.running:
            self._end()
        self._commanded = None

    def _end(self) -> None:
        self.running = False
        self.recovery_due = True
        self._commanded = None

    def recovered(self, taken: Iterable[tuple[Task, int]]) -> None:
        """Note that its queue was drained, and what it had taken out of it."""
        self.recovery_due = False
        self._hope_until = self._reported + MISSED * self._period
        self.in_doubt.update((task, TasksInDoubt(attempt, self._process)) for task, attempt in taken)

    def queue_deleted(self, tasks: Iterable[tuple[Task, int]], now: float) -> None:
        """Note that its queue was deleted, perhaps with these tasks in it."""
        self._hope_until = max(self._hope_until, now + MISSED * self._period)
        self.in_doubt.update((task, TasksInDoubt(attempt, "")) for task, attempt in tasks)

    def ended(self, task: Task) -> None:
        """Note that the task has an outcome."""
        self.in_doubt.pop(task, None)

    # -- what follows -------------------------------------------------------------------------------------

    def lost(self, now: float) -> dict[Task, int]:
        """Return the tasks in doubt whose results are not to be expected any more, with their attempts. They are in
        doubt no longer."""
        if now < self._hope_until:
            return {}
        lost, self.in_doubt = self.in_doubt, {}
        return {task: one.attempt for task, one in lost.items()}

    def expiry_due(self, now: float) -> bool:
        """Return whether tasks may have to be given up now, once all results that have come were read."""
        return bool(self.in_doubt and now >= self._hope_until) or self.forgotten(now)

    def starting(self, now: float) -> bool:
        """Return whether it is expected to come up any moment."""
        return not self.running and self._commanded is not None and now - self._commanded < STARTING

    @property
    def dormant(self) -> bool:
        """Whether there is nothing to find out about it until its endpoint can start it."""
        return not self.running and not self.recovery_due and not self.in_doubt

    def forgotten(self, now: float) -> bool:
        """Return whether it has said for so long that it has nothing to do that what it had taken will have no
        result. A stock endpoint forgets the results that the broker had not confirmed when the connection was
        lost."""
        if self._idle_since is None or not self.running:
            return False
        return now - self._idle_since >= MISSED * self._period + ALONE

    def command_due(self, now: float) -> bool:
        """Return whether a start command is to be sent, if there is work and an endpoint to send it to."""
        if self.running or self.recovery_due:
            return False
        return self._commanded is None or now - self._commanded > 1.5 * COMMAND_LIFE

    def refused(self, text: str, now: float) -> bool:
        """Note that it did not start, for this reason. Return whether another try would be in vain; else there will
        be one."""
        if STILL_THERE not in text:
            return True
        self._commanded = now - 1.5 * COMMAND_LIFE + TRIED_AGAIN
        return False

    def commanded(self, now: float) -> None:
        """Note that a start command was sent."""
        self._commanded = now
        self.commands += 1

    @property
    def unresponsive(self) -> bool:
        """Whether so many start commands had no effect that the tasks that wait for it are to end."""
        return self.commands > UNANSWERED
