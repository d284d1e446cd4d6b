"""The seam between a session and the service: what every kind of connection does, and what it needs of its session.

    Session  ------ Connection ------>  StreamConnection    a service of this package: one WebSocket, ids drawn here
             <--- ConnectionOwner ----  HostedConnection    Globus Compute: submits by HTTP, results by AMQP

`session.factory` chooses. A connection has one I/O thread, which the session starts and joins.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from compute_executor.batch import Call
from compute_executor.errors import ComputeError, PoolBroken
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import Body
from compute_executor.serialization.large import Content, Part
from compute_executor.session.submit_queue import SubmitQueue
from compute_executor.settings import ExecutorSettings

if TYPE_CHECKING:
    from compute_executor.session.storage import Storage
    from compute_executor.session.view import SessionView


class ConnectionOwner(Protocol):
    """Interface that a connection needs of its session."""

    @property
    def settings(self) -> ExecutorSettings:
        """What the Executor was made with."""
        ...

    @property
    def queue(self) -> SubmitQueue:
        """The calls that have not left."""
        ...

    @property
    def ending(self) -> bool:
        """Whether no more calls will come: the connection ends when nothing is open."""
        ...

    @property
    def abandoned(self) -> bool:
        """Whether the connection is to end at once."""
        ...

    def fail_waiting(self, error: ComputeError) -> None:
        """End the calls that have not left with ``error``. I/O thread."""

    def break_pool(self, error: PoolBroken) -> None:
        """Refuse all further calls: the workers cannot start. I/O thread."""


class Connection(Protocol):
    """Interface of a connection. Methods may be called by any thread unless they say otherwise."""

    # -- the I/O thread --

    def start(self, waker: socket.socket) -> None:
        """Prepare to run: once, before the I/O thread starts. A byte in ``waker`` wakes that thread."""

    def run(self) -> None:
        """Carry calls and outcomes until the session ends: the I/O thread's whole life."""

    def is_own_thread(self) -> bool:
        """Return whether the caller runs on one of the connection's threads, which must not wait for itself."""
        ...

    def forked(self) -> list[ComputeFuture[Any]]:
        """Let go of the parent's sockets, in the child of a fork; return the futures that nobody will end here."""
        ...

    # -- calls --

    def body(self, content: Content, what: str) -> Body:
        """Put arguments where they travel best. ``what`` is named in errors: PayloadTooLarge, ServiceUnavailable."""
        ...

    def discard(self, call: Call[Any]) -> None:
        """Delete what was stored for a call that has not left, and will not."""

    def storage(self) -> Storage | None:
        """Return where large bodies go, and wait until that is known; None if it cannot be."""
        ...

    def hold(self, part: Part) -> None:
        """Have the service keep this part, although no call refers to it yet."""

    def released(self, name: str) -> None:
        """Note that nothing here refers to this part any more. Takes no lock: a finalizer may call it."""

    def send_now(self) -> bool:
        """Send on the calling thread, which holds the queue's lock; False if the I/O thread must be woken."""
        ...

    def assign_ids(self) -> None:
        """Give every call that waits its task id, if ids are drawn on this side."""

    def withdraw(self, futures: list[ComputeFuture[Any]] | None, *, wait: bool) -> None:
        """Ask the service not to run these (None: all); ``wait``: until it has answered, for some seconds."""

    def cancellable(self, spared: int) -> list[ComputeFuture[Any]]:
        """Return the futures that a shutdown withdraws: all but the oldest ``spared``, oldest first."""
        ...

    def open_futures(self) -> list[ComputeFuture[Any]]:
        """Return the futures that have not ended, oldest first."""
        ...

    # -- beyond calls --

    def register(self, function: Any, code: bytes, description: str) -> str:
        """Register a function whose stream is ``code``; return its id. Raises ComputeError."""
        ...

    def reload(
        self, group: uuid.UUID, view: SessionView, known: Mapping[bytes, int]
    ) -> list[ComputeFuture[Any]]:
        """Return futures for a group's tasks that are not open here already; without batches that are ``known``
        whole, where the connection can tell. Raises NotFound, ServiceUnavailable."""
        ...

    def describe(self) -> tuple[int, str]:
        """Return the number of tasks in flight, and the state of the connection in a word."""
        ...
