"""Looks after a chunk of tasks that were expected to be short, from a thread of its own in the worker.

Deque operations are atomic, so that the main thread takes tasks from the left and the chunk watcher, when one of them
takes long, takes the rest from the right; each task is with exactly one of them. The thread looks every TICK
seconds while chunks flow and sleeps without waking when they do not. Tasks that travel alone never touch it.
A task that holds the interpreter lock all the time also holds up the chunk watcher.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import sleep
from typing import Protocol

from compute_executor.endpoint.worker import messages
from compute_executor.endpoint.worker.messages import TaskRecord

TICK = 0.005
"""A task that runs for one to two ticks while others wait in its chunk is called long."""

PARK_AFTER = 40
"""Ticks without a chunk after which the thread sleeps until the next one."""


class BeginListener(Protocol):
    """What the chunk watcher needs of the link to the engine."""

    def send(self, kind: int, payload: bytes = b"") -> None:
        """Send a frame."""

    def holding(self) -> bool:
        """Return whether there are results that the engine was not told of."""
        ...

    def tell_results(self) -> None:
        """Tell it."""


class ChunkWatcher:
    """The queue of unstarted tasks of the current chunk, and the thread that empties it in time."""

    def __init__(self, link: BeginListener, sleep: Callable[[float], object] = sleep) -> None:
        self._link = link
        self._sleep = sleep
        self._queue: deque[TaskRecord] = deque()
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._turns = 0  # rises whenever the main thread takes a task

    def guard(self, chunk: list[TaskRecord]) -> None:
        """Queue a chunk and see that somebody looks after it."""
        self._queue.extend(chunk)
        if not self._awake.is_set():
            self._awake.set()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="compute-executor chunk watcher", daemon=True
                )
                self._thread.start()

    @property
    def started(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None

    def awake(self) -> bool:
        """Return whether the thread is looking."""
        return self._awake.is_set()

    def next_task(self) -> TaskRecord | None:
        """Return the next task of the chunk, or None when it is done or was handed back."""
        self._turns += 1
        try:
            return self._queue.popleft()
        except IndexError:
            return None

    def _watch(self) -> None:
        idle = 0
        while True:
            turns = self._turns
            self._sleep(TICK)
            if self._queue or self._link.holding():
                idle = 0
                if turns == self._turns:
                    self._hand_back()
                continue
            idle += 1
            if idle > PARK_AFTER:
                idle = 0
                self._park()

    def _park(self) -> None:
        self._awake.clear()
        if not self._queue:  # else a chunk came in between, and whoever brought it saw us awake
            self._awake.wait()
        self._awake.set()

    def _hand_back(self) -> None:
        rest: deque[TaskRecord] = deque()
        while self._queue:
            try:
                rest.appendleft(self._queue.pop())
            except IndexError:  # the main thread was faster
                break
        try:
            self._link.tell_results()
            if rest:
                self._link.send(messages.RETURNED, messages.pack_keys([task[:3] for task in rest]))
        except OSError:  # the engine is gone; the main thread will notice
            return
