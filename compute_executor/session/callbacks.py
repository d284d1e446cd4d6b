"""The thread that runs the done-callbacks of a session, so that none of them can hold up the connection.

A callback may wait for a lock, for another future or for ever. On the I/O thread it would keep every other result
from its future, and every `cancel` from its answer. Callbacks of a future that its caller cancels run in the caller's
thread, as in the standard pools; all others here, one after the other, in the order in which the futures ended.

The price is one switch between threads for a future that has callbacks; one without has none of this.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

from compute_executor.future import ComputeFuture


class CallbackRunner:
    """Queue of ended futures and the thread that calls their callbacks; it starts with the first. Any thread."""

    def __init__(self) -> None:
        self._ended: SimpleQueue[ComputeFuture[Any] | None] = SimpleQueue()  # reentrant, unlike a condition
        self._lock = threading.RLock()  # of the thread's start and of `closed`
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, future: ComputeFuture[Any]) -> None:
        """Have the callbacks of ``future`` called; here and now if no thread can be started any more."""
        with self._lock:
            if self._has_thread():
                self._ended.put(future)
                return
        future.run_callbacks(BaseException)

    def _has_thread(self) -> bool:
        if self._closed:
            return False
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="compute-executor-callbacks", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no room for one more, or the interpreter is about to exit
                return False
            self._thread = thread
        return True

    def _work(self) -> None:
        while (future := self._ended.get()) is not None:
            future.run_callbacks(BaseException)
            del future  # or the last one would live until the next

    def is_own_thread(self) -> bool:
        """Return whether the caller is a callback on this thread."""
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """End the thread when all that came before is done."""
        with self._lock:
            self._closed = True
            self._ended.put(None)

    def join(self, timeout: float | None) -> bool:
        """Wait until the thread has ended; return whether it has. ``timeout`` in seconds."""
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        if thread.is_alive():
            return False
        self._thread = None  # a thread that has ended is not to live on in a circle of objects
        return True
