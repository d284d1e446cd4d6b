"""The connection to a service of this package. Implements `session.connection.Connection`.

The state of the protocol belongs to the I/O thread (loop.py): other threads look at it, and cancel, by having that
thread run a function for them. Large bodies, registrations and the lists of task groups are HTTP requests, made by
the calling thread.
"""

from __future__ import annotations

import socket
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from compute_executor.batch import Call, CallBatch
from compute_executor.errors import StorageFull
from compute_executor.functions.names import function_name
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import INLINE_LIMIT, Blob, Body, Register
from compute_executor.serialization.content import digest
from compute_executor.serialization.large import Content, Part, size, whole
from compute_executor.session.connection import ConnectionOwner
from compute_executor.session.storage import Storage
from compute_executor.session.stream import http_fallback
from compute_executor.session.stream.loop import StreamLoop
from compute_executor.session.withdrawal import Withdrawal

if TYPE_CHECKING:
    from compute_executor.session.view import SessionView

CANCEL_PATIENCE = 5.0
"""Seconds that a cancel waits for the service's answer before it says False."""


class StreamConnection:
    """See the module."""

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._queue = owner.queue
        self._loop: StreamLoop | None = None
        self._released: deque[str] = deque()
        self._ident: int | None = None  # of the I/O thread; the thread itself is in no circle of objects

    # -- the I/O thread --------------------------------------------------------------------------------------

    def start(self, waker: socket.socket) -> None:
        """Make the loop. Raises OSError if the file for a time line cannot be opened."""
        self._loop = StreamLoop(self._owner, waker, self._released)

    def run(self) -> None:
        """Run the loop on this thread until the session ends."""
        assert self._loop is not None
        self._ident = threading.get_ident()
        try:
            self._loop.run()
        finally:
            self._ident = None

    def is_own_thread(self) -> bool:
        """Return whether the caller runs on the I/O thread."""
        return threading.get_ident() == self._ident

    def forked(self) -> list[ComputeFuture[Any]]:
        """Let go of the parent's socket, in the child of a fork; return the futures that nobody will end here."""
        return [] if self._loop is None else self._loop.forked()

    # -- calls -----------------------------------------------------------------------------------------------

    def body(self, content: Content, what: str) -> Body:
        """Store large arguments beside the stream, once the service has said where."""
        storage = None if self._loop is None else self._loop.protocol.storage
        if storage is None:
            return whole(content)  # until it is known where it goes, the caller may change what it passed
        assert self._loop is not None
        refusal = self._loop.protocol.refusal
        if isinstance(refusal, StorageFull) and size(content) > INLINE_LIMIT:
            raise StorageFull(f"{what}: {size(content)} bytes, for which there is no room: {refusal.message}")
        return storage.store(content, what)

    def storage(self) -> Storage | None:
        """Return where large bodies go; the service is started or looked for if it was not yet."""
        loop = self._loop
        if loop is None:
            return None
        protocol = loop.protocol
        may_wait = not self.is_own_thread() and not self._queue.is_locked_here()
        if protocol.storage is None and may_wait and self._queue.run_in_loop(loop.locate):
            protocol.located.wait()
        return protocol.storage

    def hold(self, part: Part) -> None:
        """Have the service keep this part, although no call refers to it yet."""
        loop, blob = self._loop, Blob(part.name, part.size)
        if loop is not None:
            self._queue.run_in_loop(lambda: loop.protocol.hold([blob]))

    def released(self, name: str) -> None:
        """Note that nothing here refers to this part any more."""
        self._released.append(name)

    def discard(self, call: Call[Any]) -> None:
        """Delete the file of a call that has not left, and will not."""
        if self._loop is not None:
            self._loop.protocol.discard(call)

    def send_now(self) -> bool:
        """Send on the calling thread if the I/O thread sleeps; see `StreamLoop.send_now`."""
        return self._loop is not None and self._loop.send_now()

    def assign_ids(self) -> None:
        """Give every call that waits its task id."""
        self._queue.assign_ids()

    def withdraw(self, futures: list[ComputeFuture[Any]] | None, *, wait: bool) -> None:
        """Ask the service not to run these (None: all). The caller does not wait if it holds the queue's lock, as it
        may when the garbage collector closes a `map` in the middle of a submit."""
        loop = self._loop
        if loop is None:
            return
        if self.is_own_thread():
            http_fallback.withdraw(loop.protocol, futures)
            return
        wait = wait and not self._queue.is_locked_here()
        withdrawal = Withdrawal(futures, wait=wait)
        asked = self._queue.run_in_loop(lambda: loop.protocol.withdraw(withdrawal))
        if asked and wait:
            withdrawal.wait(CANCEL_PATIENCE)

    def cancellable(self, spared: int) -> list[ComputeFuture[Any]]:
        """Return all futures that have not ended but the oldest ``spared``, oldest first."""
        return self.open_futures()[spared:]

    def open_futures(self) -> list[ComputeFuture[Any]]:
        """Return the futures that have not ended, oldest first. One that leaves meanwhile is found in both places."""
        waiting = self._queue.waiting()
        found = self._in_loop(lambda loop: loop.protocol.router.futures()) + waiting
        return list({id(future): future for future in found}.values())

    # -- beyond calls ----------------------------------------------------------------------------------------

    def register(self, function: Any, code: bytes, description: str) -> str:
        """Register a function by HTTP; return its id."""
        api, name = self._owner.settings.peer.api(), function_name(function)
        body = Storage(api).store(code, f"the function {name}")
        return api.register(Register(digest(code), name, body, description))

    def reload(
        self, group: uuid.UUID, view: SessionView, known: Mapping[bytes, int]
    ) -> list[ComputeFuture[Any]]:
        """Return futures for a group's tasks that are not open here already."""
        counts = self._owner.settings.peer.api().group_tasks(group)
        wanted = {prefix: count for prefix, count in counts.items() if known.get(prefix, 0) < count}
        batches = [_batch(view, prefix, count) for prefix, count in wanted.items()]
        return self._in_loop(lambda loop: loop.protocol.adopt(group.bytes, batches))

    def describe(self) -> tuple[int, str]:
        """Return the number of tasks in flight, and the state of the stream in a word."""
        return (0, "not connected") if self._loop is None else self._loop.describe()

    def _in_loop(self, look: Callable[[StreamLoop], list[ComputeFuture[Any]]]) -> list[ComputeFuture[Any]]:
        """Return what ``look`` returns when the I/O thread, the owner of what it looks at, calls it."""
        loop = self._loop
        if loop is None:
            return []
        if self.is_own_thread():
            return look(loop)
        found: list[ComputeFuture[Any]] = []
        answered = threading.Event()

        def callback() -> None:
            found.extend(look(loop))
            answered.set()

        if self._queue.run_in_loop(callback):
            answered.wait()
        return found


def _batch(view: SessionView, prefix: bytes, count: int) -> CallBatch:
    futures = [view.future() for _ in range(count)]
    for position, future in enumerate(futures):
        future.assign(prefix, position)
    target = replace(view.target, pool=None)  # their pool need not be ours
    return CallBatch(target, [], list(futures), prefix)
