"""The queue between submitting threads and the I/O thread, with the wake-up that a call may need.

A wake-up is a system call (10 us, most of a submit), so there is one only if the I/O thread sleeps, and then
only for the first call that waits and for the one that makes a batch full: it sleeps no longer than until the
first call is due anyway.

Everything here is under ``lock``, except ``wake``, which a finalizer may call at any point.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from compute_executor.batch import Call, CallBatch, Target, with_ids
from compute_executor.future import ComputeFuture
from compute_executor.session.buffer import Buffer

Callback = Callable[[], None]
"""What another thread has the I/O thread do."""

BatchMaker = Callable[[Target, list[Call[Any]]], CallBatch]
"""Makes a batch of calls: `batch.with_ids` or `batch.without_ids`."""


class SubmitQueue:
    """Thread-safe queue of calls and of callbacks for the I/O thread. Its holder may take the lock again: a finalizer
    can run inside any allocation."""

    def __init__(self, buffer: Buffer) -> None:
        self.lock: threading.RLock = threading.RLock()
        self._buffer = buffer
        self._with_ids: list[CallBatch] = []  # a task id was asked for
        self._callbacks: list[Callback] = []
        self._asleep = False
        self._wakers: tuple[socket.socket, ...] = ()
        self._waker: socket.socket | None = None
        self.submitted: int = 0
        """Calls that have left."""

    # -- any thread ------------------------------------------------------------------------------------------

    @property
    def batch_size(self) -> int:
        """How many calls leave together at most. It can be set, for calls that have not left."""
        return self._buffer.batch_size

    @batch_size.setter
    def batch_size(self, count: int) -> None:
        with self.lock:
            self._buffer.batch_size = count

    def add(self, call: Call[Any]) -> bool:
        """Append a call; return whether the I/O thread must be woken for it. The caller holds the lock."""
        buffer = self._buffer
        buffer.add(call)
        if self._asleep and (buffer.count == 1 or buffer.full()):
            self._asleep = False
            return True
        return False

    def wake(self) -> None:
        """Wake the I/O thread if there is one. Takes no lock."""
        waker = self._waker
        if waker is not None:
            with contextlib.suppress(OSError):  # full: it is awake already; closed: it is gone
                waker.send(b"\0")

    def run_in_loop(self, callback: Callback) -> bool:
        """Have the I/O thread call ``callback``; return False if there is no such thread."""
        with self.lock:
            if self._waker is None:
                return False
            self._callbacks.append(callback)
            self._asleep = False
        self.wake()
        return True

    def assign_ids(self) -> None:
        """Give all waiting calls their ids; they leave with the next flush."""
        with self.lock:
            while (taken := self._buffer.take()) is not None:
                self._with_ids.append(with_ids(*taken))
            self._asleep = False
        self.wake()

    def drop(self, futures: list[ComputeFuture[Any]]) -> list[Call[Any]]:
        """Cancel those whose calls have not left; return these calls."""
        with self.lock:
            calls = [one.call for one in futures if one.call is not None and self._buffer.drop(one.call)]
        for call in calls:
            call.future.call = None
            call.future.withdrawn()
        return calls

    def waiting(self) -> list[ComputeFuture[Any]]:
        """Return the futures of calls that have no id yet."""
        with self.lock:
            return [call.future for call in self._buffer.calls()]

    def is_locked_here(self) -> bool:
        """Return whether the calling thread holds the lock."""
        return bool(self.lock._is_owned())  # type: ignore[attr-defined]  # not in typeshed

    @property
    def count(self) -> int:
        """The number of calls that have not left."""
        return self._buffer.count + sum(batch.open for batch in self._with_ids)

    def clear(self) -> list[Call[Any]]:
        """Take out and return all calls that have not left: they never will."""
        with self.lock:
            calls = [call for batch in self._with_ids for call in batch.calls]
            self._with_ids.clear()
            while (taken := self._buffer.take()) is not None:
                calls += taken[1]
        for call in calls:
            call.future.call = None
        return calls

    # -- the I/O thread --------------------------------------------------------------------------------------

    def take(self, busy: bool, room: int, make: BatchMaker = with_ids) -> list[CallBatch]:
        """Return the batches to be sent now, at most ``room`` of the buffer. ``busy``: the service owes an answer.
        ``make``: whether calls get their ids here."""
        with self.lock:
            now = time.monotonic()
            batches, self._with_ids = self._with_ids, []
            while len(batches) < room and self._buffer.due(now, busy or bool(batches)):
                taken = self._buffer.take()
                assert taken is not None
                batches.append(make(*taken))
            self.submitted += sum(len(batch.calls) for batch in batches)
        return batches

    def callbacks(self) -> list[Callback]:
        """Return what other threads want called, each once."""
        with self.lock:
            callbacks, self._callbacks = self._callbacks, []
        return callbacks

    def pause(self, busy: bool, room: int) -> float | None:
        """Return the seconds to sleep: 0.0 if there is work, None for no limit."""
        with self.lock:
            if self._with_ids or self._callbacks:
                return 0.0
            if room <= 0:
                return None
            now = time.monotonic()
            if self._buffer.due(now, busy):
                return 0.0
            self._asleep = True
            deadline = self._buffer.deadline()
            return None if deadline is None else max(0.0, deadline - now)

    def awake(self) -> None:
        """Note that the I/O thread needs no wake-up now."""
        self._asleep = False

    # -- beginning and end -----------------------------------------------------------------------------------

    def open(self) -> socket.socket:
        """Make the pair of sockets that wakes the I/O thread; return the end that it watches."""
        reading, writing = self._wakers = socket.socketpair()
        reading.setblocking(False)
        writing.setblocking(False)
        self._waker = writing
        return reading

    def close(self) -> None:
        """Note that there is no I/O thread any longer."""
        with self.lock:
            self._waker = None
        for sock in self._wakers:
            sock.close()

    def forked(self) -> None:
        """Make a new lock, in the child of a fork: a thread of the parent's may hold the old one."""
        self.lock = threading.RLock()
        self.close()
