"""What an Executor and its views share: how calls travel, the I/O thread, and the end of both.

    any thread                             |                     the I/O thread (pump.py)
    submit -> bytes -> Call -> handover ------> with ids into batches -> frames -> socket
    cancel -> Withdrawal -> wish -------------> Cancel frame ... answered.set()

The Executor refers to its session and never the other way round: an Executor that is garbage collected lets
its session finish what was submitted, and then end.

``closed`` and the thread's start are under the handover's lock. ``released`` and ``abandoned`` are set without it,
because a finalizer may run inside any allocation, also of a thread that holds the lock.
"""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from compute_executor import leaving
from compute_executor.batch import Call, CallBatch, Target, without_ids
from compute_executor.errors import ComputeError, InvalidRequest, PoolBroken
from compute_executor.functions.codecs import Codec, of_ours, of_stock
from compute_executor.functions.registry import FunctionRef
from compute_executor.future import ComputeFuture, forked
from compute_executor.peer import EndpointKind
from compute_executor.protocol.frames import INLINE_LIMIT, Body, Register
from compute_executor.serialization import exceptions
from compute_executor.serialization.large import whole
from compute_executor.session.buffer import Buffer
from compute_executor.session.stream import by_http, http_fallback
from compute_executor.session.stream.login import StreamLogin
from compute_executor.session.stream.loop import StreamLoop
from compute_executor.session.stream.protocol import about
from compute_executor.session.stream.storage import Storage
from compute_executor.session.submit_queue import SubmitQueue
from compute_executor.session.view import SessionView
from compute_executor.session.withdrawal import Withdrawal
from compute_executor.settings import ExecutorSettings

if TYPE_CHECKING:
    from compute_executor.session.hosted.connection import HostedConnection

BYTE_LIMIT = 1024 * 1024
"""Bytes of arguments in one batch, unless one call alone has more: far below MAX_FRAME, far above what one
transaction needs to be worth its commit."""

CANCEL_PATIENCE = 5.0
"""Seconds that `cancel` waits for the service's answer before it says False."""

LOOK_UP = 0.5
"""Seconds between two looks of an endless wait: a Ctrl-C that comes in the moment before a thread blocks does not end
the system call, and would be noticed only after it."""


class Session:
    """See the module. Implements `leaving.ExitHook`."""

    def __init__(self, settings: ExecutorSettings) -> None:
        self.settings = settings
        self._kinds: dict[bytes, EndpointKind] = {}  # by endpoint, as the service has said
        self._codecs: dict[EndpointKind, Codec] = {}
        self.hosted = False  # the service is none of ours: set once, before the I/O thread starts
        self.handover = SubmitQueue(Buffer(settings.batch_size, settings.flush_interval, BYTE_LIMIT))
        self.storage: Storage | None = None  # the I/O thread sets it when the service has said where
        self.broken: PoolBroken | None = None  # the I/O thread sets it, once
        self.released = self.abandoned = self.closed = self._cancelling = False
        self._pid = os.getpid()
        self._pump: StreamLoop | HostedConnection | None = None
        self._thread: threading.Thread | None = None
        leaving.expect()

    # -- submitting ------------------------------------------------------------------------------------------

    def codec(self, target: Target) -> Codec:
        """Return how calls travel to ``target``; the service is asked once for each endpoint."""
        kind = self._kind(target.endpoint)
        if kind is EndpointKind.STOCK:
            _check_stock(target)
        if kind not in self._codecs:
            self._codecs[kind] = of_ours() if kind is EndpointKind.OURS else of_stock(self.settings.by_source)
        return self._codecs[kind]

    def _kind(self, endpoint: bytes) -> EndpointKind:
        if not endpoint:
            return EndpointKind.OURS
        kind = self._kinds.get(endpoint)
        if kind is None:
            kind = self._kinds[endpoint] = self.settings.peer.kind(endpoint)
        if kind is EndpointKind.HOSTED and not self.hosted:
            self.hosted = True
            self.handover.make_batches_with(without_ids)
        return kind

    def submit(
        self, view: SessionView, route: FunctionRef, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ComputeFuture[Any]:
        """Return a future for one call. What is wrong with its arguments is the future's error."""
        future = view.future()
        try:
            content = view.codec().dump_call(route.arguments(args), kwargs)
            if isinstance(content, bytes) and len(content) <= INLINE_LIMIT:
                body: Body = content
            elif self.storage is not None:
                body = self.storage.store(content, f"the arguments of {route.function.name}")
            else:
                body = whole(content)  # until it is known where it goes, the caller may change what it passed
        except ComputeError as error:
            return self.failed(view, error)
        call = future.call = Call(future, route.function, body, view.target)
        handover = self.handover
        with handover.lock:
            if self.closed or self.released or self.broken is not None:
                self.check()
            wake = handover.add(call)
            if self._thread is None:
                self._start()
            elif wake and self._pump is not None:
                wake = not self._pump.send_now()
        if wake:
            handover.wake()
        return future

    def failed(self, view: SessionView, error: ComputeError) -> ComputeFuture[Any]:
        """Return a future that has failed before it could be sent. Raises as :meth:`check` does."""
        self.check()
        future = view.future()
        future.fail(exceptions.detached(error))
        return future

    def check(self) -> None:
        """Raise if nothing can be submitted any more: RuntimeError as ThreadPoolExecutor's, or PoolBroken."""
        if self._pid != os.getpid():
            raise RuntimeError(
                f"this Executor belongs to process {self._pid}, of which this one ({os.getpid()}) is a fork: "
                "make a new Executor here"
            )
        if self.broken is not None:
            raise PoolBroken(self.broken.message)
        if self.closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if leaving.begun():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    def _start(self) -> None:
        """The I/O thread, at the first submit. The caller holds the lock."""
        if leaving.begun():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self._pump = self._make_pump()
        self._thread = threading.Thread(target=self._run, name="compute-executor", daemon=True)
        leaving.watch(self)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self.handover.close()
            if threading.main_thread().is_alive():  # there is no room for one more thread
                raise
            raise RuntimeError(f"cannot schedule new futures after interpreter shutdown ({error})") from error

    def _make_pump(self) -> StreamLoop | HostedConnection:
        waker = self.handover.open()
        if not self.hosted:
            return StreamLoop(self, waker)
        from compute_executor.session.hosted.connection import (
            HostedConnection,  # only a service that is none of ours needs it
        )

        return HostedConnection(self, waker, self.settings.peer.client())

    def _run(self) -> None:
        assert self._pump is not None
        try:
            self._pump.run()
        finally:
            with self.handover.lock:
                self.closed = True
                self.handover.close()

    # -- cancelling ------------------------------------------------------------------------------------------

    def assign_ids(self) -> None:
        """Give every call that waits its id; a hosted service gives its own when it answers."""
        if not self.hosted:
            self.handover.assign_ids()

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> set[int]:
        """Cancel those that surely will not run; which, by ``id``. Waits for the service's answer."""
        self.handover.drop(futures)
        sent = [future for future in futures if not future.done()]
        if sent:
            self._ask_back(sent)
        return {id(future) for future in futures if future.cancelled()}

    def _ask_back(self, futures: list[ComputeFuture[Any]] | None) -> None:
        """Have the service withdraw them (None: all), and wait for its answer; not if this thread holds the lock,
        as it may when the garbage collector closes a `map` in the middle of a submit."""
        pump = self._pump
        if pump is None:
            return
        if threading.current_thread() is self._thread:
            if isinstance(pump, StreamLoop):  # a hosted service withdraws nothing
                http_fallback.withdraw(pump.dialogue, futures)
            return
        withdrawal = Withdrawal(futures)
        held: bool = self.handover.lock._is_owned()  # type: ignore[attr-defined]  # not in typeshed
        if self.handover.wish(lambda: pump.dialogue.withdraw(withdrawal)) and not held:
            withdrawal.answered.wait(CANCEL_PATIENCE)

    # -- beyond submitting -----------------------------------------------------------------------------------

    def open_futures(self, view: SessionView) -> list[ComputeFuture[Any]]:
        """Return the futures submitted through ``view`` that have not ended."""
        waiting = self.handover.waiting()
        return [one for one in self._open(waiting) if one.owner is view]

    def _open(self, waiting: list[ComputeFuture[Any]]) -> list[ComputeFuture[Any]]:
        """``waiting``, and before them those that have left. One that leaves meanwhile is found in both places."""
        found = self._from_pump(lambda pump: pump.dialogue.router.futures()) + waiting
        return list({id(future): future for future in found}.values())

    def _withdrawable(self, spared: int) -> list[ComputeFuture[Any]]:
        """All futures that have not ended, oldest first, without the first ``spared``. A hosted service withdraws
        nothing: what is there need not be found, for which its thread, which may be in a request, would have to be
        waited for while more leaves."""
        waiting = self.handover.waiting()
        if self.hosted:
            in_flight = self._pump.describe()[0] if self._pump is not None else 0
            return waiting[max(0, spared - in_flight) :]
        return self._open(waiting)[spared:]

    def _login(self) -> StreamLogin:
        return StreamLogin(self.settings.peer, self.settings.peer.address())

    def register(self, view: SessionView, function: Any, description: str) -> str:
        """Register a function by HTTP; its id."""
        code = view.codec().dump_function(function)
        if self.hosted:
            return self.settings.peer.client().register_code(_name(function), code, description)
        login, name = self._login(), _name(function)
        body = Storage(login).store(code, f"the function {name}")
        return login.ask(by_http.register, Register(hashlib.sha256(code).digest(), name, body, description))

    def reload(self, group: uuid.UUID, view: SessionView) -> list[ComputeFuture[Any]]:
        """Futures for the tasks of a group, except those that are open here already."""
        view.codec()
        if self.hosted:
            return self._reload_hosted(group, view)
        counts = self._login().ask(by_http.group_tasks, group)
        batches = [self._batch(view, prefix, count) for prefix, count in counts.items()]
        with self.handover.lock:
            self.check()
            if self._thread is None:
                self._start()
        return self._from_pump(lambda pump: pump.dialogue.adopt(group.bytes, batches))

    def _reload_hosted(self, group: uuid.UUID, view: SessionView) -> list[ComputeFuture[Any]]:
        task_ids = self.settings.peer.client().group_tasks(str(group))
        with self.handover.lock:
            self.check()
            if self._thread is None:
                self._start()
        futures = [view.future() for _ in task_ids]
        pump: Any = self._pump
        adopted: list[ComputeFuture[Any]] = pump.dialogue.adopt_ids(
            str(group), view.target, dict(zip(task_ids, futures, strict=True))
        )
        return adopted

    def _batch(self, view: SessionView, prefix: bytes, count: int) -> CallBatch:
        futures = [view.future() for _ in range(count)]
        for position, future in enumerate(futures):
            future.assign(prefix, position)
        target = replace(view.target, pool=None)  # their pool need not be ours
        return CallBatch(target, [], list(futures), prefix)

    def _from_pump(self, look: Callable[[Any], list[ComputeFuture[Any]]]) -> list[ComputeFuture[Any]]:
        """What ``look`` finds, which the I/O thread calls because its state is looked at."""
        pump, found, answered = self._pump, [], threading.Event()
        if pump is None:
            return []

        def wish() -> None:
            found.extend(look(pump))
            answered.set()

        if threading.current_thread() is self._thread:
            wish()
        elif self.handover.wish(wish):
            answered.wait()
        return found

    # -- the end ---------------------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Whether no more calls will come."""
        return (self.closed and not self._cancelling) or self.released

    def shutdown(self, wait: bool, cancel_futures: bool, spared: int = 0) -> None:
        """Take no more; finish, or withdraw, what is open, except the oldest ``spared`` calls; wait until the I/O
        thread has ended."""
        self._cancelling = cancel_futures  # what waits shall not leave before it is withdrawn
        with self.handover.lock:
            self.closed = True
        if cancel_futures:
            self.withdraw(self._withdrawable(spared))
        self._cancelling = False
        self.handover.wake()
        if wait and not self._ours():
            self.join()

    def _ours(self) -> bool:
        """Whether the caller is a callback on one of our own threads, which would wait for itself."""
        pump: Any = self._pump
        return threading.current_thread() is self._thread or (self.hosted and pump.dialogue.watcher.is_here())

    def release(self) -> None:
        """The Executor is gone. Takes no lock (see the module)."""
        self.released = True
        self.handover.wake()

    def abandon(self) -> None:
        """Withdraw what can be withdrawn without waiting, and end."""
        self.closed = True
        pump = self._pump
        if pump is not None:
            self.handover.drop(self.handover.waiting())
            self.handover.wish(lambda: pump.dialogue.withdraw(Withdrawal(None)))
        self.abandoned = True
        self.handover.wake()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the I/O thread has ended, and forget it: who looks for threads left over finds none."""
        thread = self._thread
        if thread is not None:
            thread.join(LOOK_UP if timeout is None else timeout)
            while timeout is None and thread.is_alive():
                thread.join(LOOK_UP)
            if not thread.is_alive():
                self._thread = None

    def forked(self) -> None:
        """This is the child of a fork: the thread is not here, and the socket is the parent's."""
        self.closed = True
        forked()
        self.handover.forked()
        orphans = self.handover.waiting()
        if self._pump is not None:
            orphans += self._pump.forked()
        for future in orphans:
            future.orphan()

    def give_up_waiting(self, error: ComputeError) -> None:
        """End what has not left yet with ``error``."""
        for call in self.handover.clear():
            call.future.fail(about(error, call.future))

    # -- for repr --------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """``open, 3 buffered, 120 in flight, stream: connected``"""
        state = "broken" if self.broken else "shut down" if self.ending else "open"
        pump = self._pump
        in_flight, stream = (0, "not connected") if pump is None else pump.describe()
        return f"{state}, {self.handover.count} buffered, {in_flight} in flight, stream: {stream}"


def _check_stock(target: Target) -> None:
    """Raise for options that a stock endpoint does not keep."""
    if target.options.walltime is not None or target.options.container is not None:
        raise InvalidRequest(
            "timeout and container are kept by workers of this package; a stock Globus Compute endpoint is given "
            "such things in its own configuration"
        )


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))
