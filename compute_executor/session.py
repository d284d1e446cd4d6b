"""What an Executor and its views share: the buffer, the I/O thread, the state that `repr` shows.

    any thread                         | the lock |                 the I/O thread (pump.py)
    submit -> bytes -> Call -> buffer ---------------> take: seal into batches -> frames -> socket
    cancel -> Withdrawal -> wishes ------------------> Cancel frame ... answered.set()

The Executor refers to its session and never the other way round: an Executor that is garbage collected lets
its session finish what was submitted, and then end.

Under the lock: buffer, outbox, wishes, asleep, thread, closed, leaving. `released` is the one flag that is set
without it, because a finalizer may run inside any allocation, also of a thread that holds the lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from compute_executor import by_http, leaving
from compute_executor.batch import Batch, Call, Lane, seal
from compute_executor.dialogue import Withdrawal, about
from compute_executor.errors import ComputeError, PoolBroken
from compute_executor.future import ComputeFuture
from compute_executor.peer import Peer
from compute_executor.protocol.frames import INLINE_LIMIT, Body, PoolSpec, Register
from compute_executor.pump import Pump
from compute_executor.results.listener import GRACE
from compute_executor.serialization import native
from compute_executor.submission.bodies import Storage, store
from compute_executor.submission.buffer import Buffer
from compute_executor.submission.registry import Registry, Route

BYTE_LIMIT = 1024 * 1024
"""Bytes of arguments in one batch, unless one call alone has more: far below MAX_FRAME, far above what one
transaction needs to be worth its commit."""

CANCEL_PATIENCE = 5.0
"""Seconds that `cancel` waits for the service's answer before it says False."""


class Settings(NamedTuple):
    """What an Executor was made with, as far as its session needs it."""

    peer: Peer
    group: bytes
    pool: bytes | None
    spec: PoolSpec | None
    batch_size: int = 128
    flush_interval: float = 0.005
    grace: float = GRACE


class Session:
    """See the module. Implements `future.Owner`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = Registry(native.dumps)
        self.storage: Storage | None = None  # set once by the I/O thread, when the service has said it
        self.broken: PoolBroken | None = None  # set once by the I/O thread
        self.released = False
        self.abandoned = False
        self.closed = False
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._buffer = Buffer(settings.batch_size, settings.flush_interval, BYTE_LIMIT)
        self._outbox: list[Batch] = []
        self._wishes: list[Callable[[Pump], None]] = []
        self._asleep = False
        self._pump: Pump | None = None
        self._thread: threading.Thread | None = None
        self._wakers: tuple[socket.socket, ...] = ()
        self._wake_write: socket.socket | None = None

    # -- submitting ------------------------------------------------------------------------------------------

    def submit(
        self, lane: Lane, route: Route, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ComputeFuture[Any]:
        """A future for one call. What is wrong with its arguments is the future's error, not ours."""
        future: ComputeFuture[Any] = ComputeFuture(self, lane.endpoint)
        try:
            body: Body = native.dumps_call(route.arguments(args), kwargs)
            if len(body) > INLINE_LIMIT and self.storage is not None:
                body = store(body, self.storage, f"the arguments of {route.function.name}")
        except ComputeError as error:
            return self.failed(lane, error)
        call = future._call = Call(future, route.function, body, lane)
        with self._lock:
            if self.closed or self.released or self.broken is not None:
                self.check()
            self._buffer.add(call)
            wake = self._asleep and (self._buffer.count == 1 or self._buffer.full())
            if wake:
                self._asleep = False
            if self._thread is None:
                self._start()
        if wake:
            self.wake()
        return future

    def failed(self, lane: Lane, error: ComputeError) -> ComputeFuture[Any]:
        """A future that has failed before it could be sent. Raises as :meth:`submit` does."""
        self.check()
        future: ComputeFuture[Any] = ComputeFuture(self, lane.endpoint)
        future.fail(error)
        return future

    def check(self) -> None:
        """Raise if nothing can be submitted any more: RuntimeError as ThreadPoolExecutor's, or PoolBroken."""
        if self._pid != os.getpid():
            raise RuntimeError(
                f"this Executor belongs to process {self._pid}, of which this one ({os.getpid()}) is a fork: make a "
                "new Executor here"
            )
        if self.closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self.broken is not None:
            raise PoolBroken(self.broken.message)
        if leaving.begun():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    def _start(self) -> None:
        """The I/O thread, at the first submit. Holds the lock."""
        if leaving.begun():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        reading, writing = self._wakers = socket.socketpair()
        reading.setblocking(False)
        writing.setblocking(False)
        self._wake_write = writing
        self._pump = Pump(self, reading)
        self._thread = threading.Thread(target=self._run, name="compute-executor", daemon=True)
        leaving.watch(self)
        try:
            self._thread.start()
        except BaseException:
            self._thread = None
            self._end()
            raise

    def _run(self) -> None:
        assert self._pump is not None
        try:
            self._pump.run()
        finally:
            self._end()

    def _end(self) -> None:
        with self._lock:
            self.closed = True
            self._wake_write = None
        for sock in self._wakers:
            sock.close()

    # -- future.Owner ----------------------------------------------------------------------------------------

    def identify(self) -> None:
        """Seal what is in the buffer: every call gets its id, and leaves with the next flush."""
        with self._lock:
            while (taken := self._buffer.take()) is not None:
                self._outbox.append(seal(*taken))
            self._asleep = False
        self.wake()

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> set[int]:
        """Cancel those that surely will not run; which, by ``id``. Waits for the service's answer."""
        sent = self._withdraw_buffered(futures)
        if sent:
            self._ask_back(sent)
        return {id(future) for future in futures if future.cancelled()}

    def _withdraw_buffered(self, futures: list[ComputeFuture[Any]]) -> list[ComputeFuture[Any]]:
        """Cancel what has not left yet; returns the others that are open."""
        dropped = []
        with self._lock:
            for future in futures:
                if future._call is not None and self._buffer.drop(future._call):
                    dropped.append(future)
        for future in dropped:
            future._call = None
            future.withdrawn()
        return [future for future in futures if not future.done()]

    def _ask_back(self, futures: list[ComputeFuture[Any]] | None) -> None:
        """Have the service withdraw them, and wait for its answer; not if this thread holds the lock, as it may
        when the garbage collector closes a `map` in the middle of a submit."""
        if threading.current_thread() is self._thread:
            assert self._pump is not None
            self._pump.withdraw_by_http(futures)
            return
        withdrawal = Withdrawal(futures)
        if self._wish(lambda pump: pump.withdraw(withdrawal)) and not self._lock._is_owned():  # type: ignore[attr-defined]
            withdrawal.answered.wait(CANCEL_PATIENCE)

    def _wish(self, wish: Callable[[Pump], None]) -> bool:
        """Have the I/O thread do something; False if there is none."""
        with self._lock:
            if self._wake_write is None:
                return False
            self._wishes.append(wish)
            self._asleep = False
        self.wake()
        return True

    # -- beyond submitting -----------------------------------------------------------------------------------

    def open_futures(self, lane: Lane) -> list[ComputeFuture[Any]]:
        """All of a lane that have not ended."""
        found: list[ComputeFuture[Any]] = []
        answered = threading.Event()

        def look(pump: Pump) -> None:
            found.extend(pump.dialogue.router.futures(lane))
            answered.set()

        with self._lock:
            found += [call.future for call in self._buffer.calls() if call.lane is lane]
        if threading.current_thread() is not self._thread and self._wish(look):
            answered.wait()
        return found

    def register(self, function: Any, description: str) -> str:
        """Register a function by HTTP; its id."""
        code = native.dumps(function)
        address = self.settings.peer.address()
        name = getattr(function, "__qualname__", type(function).__qualname__)
        body = by_http.body(address, code)
        return by_http.register(address, Register(hashlib.sha256(code).digest(), name, body, description))

    def reload(self, group: uuid.UUID, lane: Lane) -> list[ComputeFuture[Any]]:
        """Futures for the tasks of a group, except those that are open here already."""
        batches = []
        for prefix, count in by_http.group_tasks(self.settings.peer.address(), group).items():
            futures: list[ComputeFuture[Any]] = [ComputeFuture(self, lane.endpoint) for _ in range(count)]
            batches.append(Batch(lane, [], list(futures), prefix))
            for position, future in enumerate(futures):
                future.assign(batches[-1], position)
        found: list[ComputeFuture[Any]] = []
        answered = threading.Event()

        def adopt(pump: Pump) -> None:
            found.extend(pump.dialogue.adopt(group.bytes, batches))
            answered.set()

        with self._lock:
            self.check()
            if self._thread is None:
                self._start()
        if self._wish(adopt):
            answered.wait()
        return found

    # -- the end ---------------------------------------------------------------------------------------------

    def shutdown(self, wait: bool, cancel_futures: bool) -> None:
        """Take no more; finish, or withdraw, what is open; wait until the I/O thread has ended."""
        with self._lock:
            self.closed = True
            thread = self._thread
            waiting = self._buffer.calls() if cancel_futures else []
        if cancel_futures:
            self._withdraw_buffered([call.future for call in waiting])
            self._ask_back(None)
        self.wake()
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def release(self) -> None:
        """The Executor is gone. Takes no lock (see the module)."""
        self.released = True
        self.wake()

    def abandon(self) -> None:
        """Leave at once, whatever is open (Ctrl-C)."""
        self.closed = True
        self._withdraw_buffered([call.future for call in self._buffer.calls()])
        self._wish(lambda pump: pump.withdraw(Withdrawal(None)))
        self.abandoned = True
        self.wake()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the I/O thread has ended."""
        if self._thread is not None:
            self._thread.join(timeout)

    def forked(self) -> None:
        """This is the child of a fork: the thread is not here, and the socket is the parent's."""
        self._lock = threading.RLock()
        self.closed = True
        for sock in self._wakers:
            sock.close()
        self._wake_write = None
        if self._pump is not None:
            self._pump.forked()
        for call in self._buffer.calls():
            call.future.orphan()

    # -- for the I/O thread ----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Wake the I/O thread if there is one. Any thread, no lock."""
        writing = self._wake_write
        if writing is not None:
            with contextlib.suppress(OSError):  # full: it is awake already; closed: it is gone
                writing.send(b"\0")

    def take(self, busy: bool, room: int) -> list[Batch]:
        """Batches to be sent now, sealed."""
        with self._lock:
            now = time.monotonic()
            batches, self._outbox = self._outbox, []
            while len(batches) < room and self._buffer.due(now, busy or bool(batches)):
                taken = self._buffer.take()
                assert taken is not None
                batches.append(seal(*taken))
        return batches

    def take_wishes(self) -> list[Callable[[Pump], None]]:
        """What other threads want done."""
        with self._lock:
            wishes, self._wishes = self._wishes, []
        return wishes

    def rest(self, busy: bool, room: int) -> float | None:
        """How long the I/O thread may sleep: 0.0 if there is work, None if until something happens."""
        with self._lock:
            if self._outbox or self._wishes:
                return 0.0
            now = time.monotonic()
            if room > 0:
                if self._buffer.due(now, busy):
                    return 0.0
                self._asleep = True
                deadline = self._buffer.deadline()
                return None if deadline is None else max(0.0, deadline - now)
            return None

    def awake(self) -> None:
        """The I/O thread is up again: nobody needs to wake it."""
        self._asleep = False

    @property
    def waiting(self) -> int:
        """Calls that have not left yet."""
        return self._buffer.count + sum(batch.open for batch in self._outbox)

    @property
    def ending(self) -> bool:
        """Whether no more calls will come."""
        return self.closed or self.released

    def give_up_waiting(self, error: ComputeError) -> None:
        """End what has not left yet with ``error``."""
        with self._lock:
            calls: list[Call[Any]] = [call for batch in self._outbox for call in batch.calls]
            self._outbox.clear()
            while (taken := self._buffer.take()) is not None:
                calls += taken[1]
        for call in calls:
            call.future._call = None
            call.future.fail(about(error, call.future))

    # -- for repr --------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """``open, 3 buffered, 120 in flight, stream: connected``"""
        state = "broken" if self.broken else "shut down" if self.ending else "open"
        pump = self._pump
        in_flight, stream = (0, "not connected") if pump is None else pump.describe()
        return f"{state}, {self.waiting} buffered, {in_flight} in flight, stream: {stream}"
