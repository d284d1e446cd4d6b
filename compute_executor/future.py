"""ComputeFuture: a ``concurrent.futures.Future`` that knows its task.

States are the standard library's. Who may change them:

* while its call waits in the buffer, ``cancel`` does, under the session's lock;
* from then on only the session's I/O thread does: RUNNING when a worker has begun, and the end.

So nothing is ever set twice, and ``cancel`` of a call that has left asks the service instead of guessing.

A future of the standard library makes a condition, two lists and ten more objects that the garbage collector
walks over and over, most of its time and of its 1.6 kB, in case a thread waits for it. Ours makes these (a
:class:`_Waiters`) when one does. Whether it has ended or has waiters is decided under one lock, `_deciding`:
a thread that waits either finds the end, or is found by it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar
from uuid import UUID

from compute_executor.errors import ComputeError
from compute_executor.protocol.frames import Written
from compute_executor.protocol.ids import split_task_id, task_uuid
from compute_executor.protocol.written_text import joined

T = TypeVar("T")
log: logging.Logger = logging.getLogger(__name__)

_PENDING = "PENDING"
_RUNNING = "RUNNING"
_CANCELLED = "CANCELLED"
_NOTIFIED = "CANCELLED_AND_NOTIFIED"
_FINISHED = "FINISHED"
_OPEN = (_PENDING, _RUNNING)

_deciding = threading.RLock()  # reentrant: a finalizer or a signal handler may come in at any point


def forked() -> None:
    """Make a new lock, in the child of a fork: a thread of the parent's may hold the old one."""
    global _deciding  # noqa: PLW0603 - a lock cannot be made new in place
    _deciding = threading.RLock()


class FutureOwner(Protocol):
    """Interface that a future needs of what it was submitted through."""

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> set[int]:
        """Cancel those that surely will not run; return which, by ``id``."""
        ...

    def assign_ids(self) -> None:
        """Give every call that still waits its task id."""
        ...

    def run_callbacks(self, future: ComputeFuture[Any]) -> None:
        """Have the callbacks of a future called that has just ended, on this thread or another."""
        ...


class _NoOwner:
    """Owner of a future that was made by itself, of which nobody runs the call. Implements `FutureOwner`."""

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> set[int]:
        """Cancel all that have not begun."""
        return {id(future) for future in futures if future.withdrawn()}

    def assign_ids(self) -> None:
        """Nothing waits."""

    def run_callbacks(self, future: ComputeFuture[Any]) -> None:
        """Call them on this thread."""
        future.run_callbacks()


_NO_OWNER = _NoOwner()


class Timings(NamedTuple):
    """Unix times in seconds: ``submitted`` by this machine's clock, the others by the worker's. 0.0: not yet."""

    submitted: float
    began: float
    ended: float


class TaskOutputText:
    """The end of what a task has printed. A value: what comes later makes another one."""

    __slots__ = ("_attempt", "_streams")

    def __init__(self, part: Written) -> None:
        self._attempt = part.attempt
        self._streams = tuple(zip(part.streams()[:2], part.starts[:2], strict=True))

    def followed_by(self, part: Written) -> TaskOutputText:
        """Return this and a further part, or a result's, which has the end of all of it."""
        later = TaskOutputText(part)
        if later._attempt == self._attempt:
            later._streams = tuple(map(joined, self._streams, later._streams))
        return later

    def text(self, stream: str | None) -> str:
        """See `ComputeFuture.output`."""
        chosen = {"stdout": self._streams[:1], "stderr": self._streams[1:], None: self._streams}[stream]
        return "".join(
            (f"[{start} bytes before this are not kept]\n" if start else "") + text.decode(errors="replace")
            for text, start in chosen
        )


class _Waiters:
    """Condition, waiters and callbacks of a future, allocated on the first wait: ``Future.__init__`` makes them for
    each."""

    __slots__ = ("callbacks", "condition", "waiters")

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.waiters: list[Any] = []
        self.callbacks: list[Any] = []


class ComputeFuture(Future[T]):
    """Outcome of one submitted call, now or later. All that holds for ``concurrent.futures.Future`` holds for it."""

    __slots__ = (
        "_began",
        "_ended",
        "_endpoint",
        "_exception",
        "_output",
        "_position",
        "_prefix",
        "_result",
        "_state",
        "_submitted",
        "_waiting",
        "call",
        "cell",
        "owner",
    )

    def __init__(
        self, task_id: str | UUID | None = None, *, owner: FutureOwner = _NO_OWNER, endpoint: bytes = b""
    ) -> None:
        """``task_id``: of a task whose outcome the caller will set. ``owner``, ``endpoint``: for the session. Raises
        ValueError for what is no id."""
        # Not super().__init__(): it would make what _Waiters holds. The rest of its attributes are here.
        self._state = _PENDING
        self._result = None
        self._exception = None
        self._waiting: _Waiters | None = None
        self.owner: FutureOwner = owner
        self._endpoint = endpoint
        self._submitted = time.time()
        self.cell: Context | None = None  # of a notebook, in which the call was made
        self.call: Any = None  # the session's handle of the call while it waits to be sent
        self._prefix: bytes | None = None
        self._position = 0
        self._began = self._ended = 0.0
        self._output: TaskOutputText | None = None
        if task_id is not None:
            self.task_id = task_id

    # -- what a user may ask ---------------------------------------------------------------------------------

    @property
    def task_id(self) -> str | None:
        """The task's UUID as text; None if the call never became a task (its argument could not be sent).

        A batch that the service refuses because of one task is sent again without it; tasks of such a batch
        get another id (they are unknown to the service under the first).
        """
        if self.call is not None:
            self.owner.assign_ids()
        return None if self._prefix is None else task_uuid(self._prefix, self._position)

    @task_id.setter
    def task_id(self, value: str | UUID) -> None:
        self._prefix, self._position = split_task_id(value)

    @property
    def endpoint_id(self) -> str | None:
        """The endpoint that was asked for, as text; None for the service's own."""
        return str(UUID(bytes=self._endpoint)) if self._endpoint else None

    @property
    def timings(self) -> Timings:
        """When it was submitted, when a worker began it, when it ended."""
        return Timings(self._submitted, self._began, self._ended)

    def output(self, stream: Literal["stdout", "stderr"] | None = None) -> str:
        """Return what the task has printed, as far as it has come: stdout, then stderr, or one of them.

        The last 64 KiB of each are kept, behind a line that says how many bytes are missing. Empty where nothing was
        printed, and for tasks of stock endpoints, which do not tell. After `Executor.reload_tasks` it is there when
        the task has ended.
        """
        return "" if self._output is None else self._output.text(stream)

    def wrote(self, part: Written) -> None:
        """Note that the task has written this. For the session's I/O thread."""
        self._output = TaskOutputText(part) if self._output is None else self._output.followed_by(part)

    def cancel(self) -> bool:
        """Withdraw the call; return True only if it surely does not run. For a call that has left this process the
        service is asked, which takes a round trip. Never blocks longer than a few seconds. Callbacks of a cancelled
        future run in the calling thread, before this returns."""
        if self.done() or self.running():
            return self.cancelled()
        return id(self) in self.owner.withdraw([self])

    def result(self, timeout: float | None = None) -> T:
        """Return the value; raise the call's exception, TimeoutError or CancelledError as the standard library's.

        The standard library's own asks whether the exception is true, which one with a length of 0 is not.
        """
        if self._state != _FINISHED or self._exception is not None:
            error = self.exception(timeout)
            if error is not None:
                try:
                    raise error
                finally:
                    error = None  # else the traceback and this frame keep each other alive
        value: T = self._result  # type: ignore[assignment]  # finished, so it is set
        return value

    def done(self) -> bool:
        """Return whether it has ended, by a value, an exception or a cancel."""
        return self._state not in _OPEN

    def running(self) -> bool:
        """Return whether a worker has begun it and it has not ended."""
        return self._state == _RUNNING

    def cancelled(self) -> bool:
        """Return whether it was withdrawn."""
        return self._state in (_CANCELLED, _NOTIFIED)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from compute_executor.notebook_views import of_future  # only a notebook asks for it

        return of_future(self)

    # -- for the standard library, whose code knows these three attributes --

    def _make_waiters(self) -> _Waiters:
        made = _Waiters()
        with _deciding:
            if self._waiting is None:
                self._waiting = made
            return self._waiting

    if (
        not TYPE_CHECKING
    ):  # to type checkers they are the standard library's, which its `as_completed` asks for

        @property
        def _condition(self) -> threading.Condition:
            return (self._waiting or self._make_waiters()).condition

        @property
        def _waiters(self) -> list[Any]:
            return (self._waiting or self._make_waiters()).waiters

    @property
    def _done_callbacks(self) -> list[Any]:
        return (self._waiting or self._make_waiters()).callbacks

    # -- for the session -------------------------------------------------------------------------------------

    @property
    def place(self) -> tuple[bytes, int] | None:
        """Prefix and position of the task; None while it has none."""
        return None if self._prefix is None else (self._prefix, self._position)

    def assign(self, prefix: bytes, position: int) -> None:
        """Give the call its place in the batch with this ``prefix``, and so its id."""
        self._prefix = prefix
        self._position = position
        self.call = None

    def begin(self, when: float) -> None:
        """Note that a worker has begun at ``when`` (Unix time)."""
        self._began = when
        with _deciding if self._waiting is None else self._condition:
            if self._state == _PENDING:
                self._state = _RUNNING

    def finish(self, value: T, began: float = 0.0, ended: float = 0.0) -> None:
        """End with a value."""
        self._began = began
        self._ended = ended
        with _deciding:
            if self._waiting is None and self._state in _OPEN:
                self._result = value
                self._state = _FINISHED
                return
        self.set_result(value)

    def fail(self, error: BaseException, began: float = 0.0, ended: float = 0.0) -> None:
        """End with an exception; nothing happens if it has ended."""
        if self.done():
            return
        self._began = began or self._began
        self._ended = ended
        self.set_exception(error)

    def withdrawn(self, callbacks: Callable[[ComputeFuture[Any]], None] | None = None) -> bool:
        """End as cancelled, and wake all waiters: ``wait`` and ``as_completed`` see only notified futures.

        ``callbacks`` gets the future if it has callbacks to be called; by default its owner does. False if it has
        begun or ended.
        """
        with self._condition:
            if self._state != _PENDING:
                return self.cancelled()
            self._state = _CANCELLED
            self._condition.notify_all()
            self.set_running_or_notify_cancel()
        if self._done_callbacks:
            (callbacks or self.owner.run_callbacks)(self)
        return True

    def orphan(self) -> None:
        """End with an error, in the child of a fork, where no thread would end it. The lock may be held by a thread
        that the child does not have; callbacks and waiters are the parent's."""
        self._waiting = _Waiters()
        self.call = None
        self.fail(
            ComputeError(
                f"task {self.task_id} belongs to the parent of this forked process: its result arrives there",
                task_id=self.task_id,
            )
        )

    def _invoke_callbacks(self) -> None:
        """For the standard library, which calls this on the thread that ends the future."""
        if self._done_callbacks:
            self.owner.run_callbacks(self)

    def run_callbacks(self, ignored: type[BaseException] = Exception) -> None:
        """Call the callbacks on this thread. What they raise is logged if it is ``ignored``: everything on a thread
        of the session's, which SystemExit shall not end, and Exception on a caller's, as in the standard library."""
        for callback in self._done_callbacks:
            try:
                callback(self)
            except ignored:
                log.exception("exception calling callback for %r", self)
