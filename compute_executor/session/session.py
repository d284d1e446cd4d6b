"""What an Executor and its views share: how calls travel, the connection, and the end of both.

    any thread                             |                     the I/O thread (connection.py)
    submit -> bytes -> Call -> queue ---------> batches -> the service -> outcomes -> futures
    cancel -> Withdrawal -> run_in_loop ------> asks the service ... answered.set()

The Executor refers to its session and never the other way round: an Executor that is garbage collected lets
its session finish what was submitted, and then end.

``closed``, the choice of the connection and the thread's start are under the queue's lock. ``released`` and
``abandoned`` are set without it, because a finalizer may run inside any allocation, also of a thread that holds the
lock.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import uuid
from collections.abc import Mapping
from types import FrameType
from typing import Any

from compute_executor import exit_hooks
from compute_executor.batch import Call, Target
from compute_executor.errors import ComputeError, InvalidRequest, PoolBroken, UsedInImport
from compute_executor.functions.codecs import (
    Codec,
    codec_for_python,
    globus_codec,
    in_json,
    in_json_of_stock,
    native_codec,
    of_ours_by_source,
)
from compute_executor.functions.registry import FunctionRef
from compute_executor.future import ComputeFuture, forked
from compute_executor.peer import NO_ENDPOINT
from compute_executor.protocol.call_options import check_kept
from compute_executor.protocol.endpoint_kind import EndpointKind
from compute_executor.protocol.frames import INLINE_LIMIT, Body
from compute_executor.sdk.ending import JSON
from compute_executor.sdk.limits import HOSTED
from compute_executor.serialization import exceptions, native, python_versions, reading
from compute_executor.serialization.large import parts_of, size
from compute_executor.serialization.refs import Ref
from compute_executor.session import cells
from compute_executor.session.buffer import Buffer
from compute_executor.session.callbacks import CallbackRunner
from compute_executor.session.connection import Connection
from compute_executor.session.factory import make_connection
from compute_executor.session.storage import Storage
from compute_executor.session.stream.parts import Parts
from compute_executor.session.submit_queue import SubmitQueue
from compute_executor.session.task_errors import about
from compute_executor.session.view import SessionView
from compute_executor.settings import ExecutorSettings

BYTE_LIMIT = 1024 * 1024
"""Bytes of arguments in one batch, unless one call alone has more: far below MAX_FRAME, far above what one
transaction needs to be worth its commit."""

JOIN_TURN = 0.5
"""Seconds between two looks of an endless wait: a Ctrl-C that comes in the moment before a thread blocks does not end
the system call, and would be noticed only after it."""


class Session:
    """Owner of the connection of one Executor and its views. Implements `connection.ConnectionOwner` and
    `exit_hooks.ExitHook`."""

    def __init__(self, settings: ExecutorSettings) -> None:
        self.settings: ExecutorSettings = settings
        self.queue: SubmitQueue = SubmitQueue(
            Buffer(settings.batch_size, settings.flush_interval, BYTE_LIMIT)
        )
        self.broken: PoolBroken | None = None  # the I/O thread sets it, once
        self.released: bool = False
        self.abandoned: bool = False
        self.closed: bool = False
        self._cancelling = False
        self._kinds: dict[bytes, EndpointKind] = {}  # by endpoint, as the service has said
        self._codecs: dict[tuple[EndpointKind, bool, str], Codec] = {}
        self.parts: Parts = Parts(self._storage, self._released)
        self._pid = os.getpid()
        self._connection: Connection | None = None
        self._callbacks = CallbackRunner()
        self._hosted = False  # the connection is one to a hosted service
        self._thread: threading.Thread | None = None
        exit_hooks.install()

    @property
    def used(self) -> bool:
        """Whether there has been a call, so that the service is chosen."""
        return self._connection is not None

    def change(self, **settings: Any) -> None:
        """Change settings that are read anew whenever they count."""
        with self.queue.lock:
            self.settings = self.settings._replace(**settings)

    def change_unused(self, name: str, **settings: Any) -> None:
        """Change settings before the first call, as their ``name`` is set. Raises AttributeError after it."""
        with self.queue.lock:
            if self.used:
                raise AttributeError(
                    f"{name} of an Executor that has been used cannot be set: set it before its first call, or make "
                    f"another one, Executor({name}=...)"
                )
            self.change(**settings)

    # -- submitting ------------------------------------------------------------------------------------------

    def codec(self, target: Target) -> Codec:
        """Return how calls travel to ``target``, to which there is a connection from now on; the service is asked
        once for each endpoint."""
        if self.settings.serializer == JSON and target.options.result_serializers is not None:
            raise InvalidRequest(
                'result_serializers: serializer="json" says how results are written; leave it out'
            )
        kind = self._kind(target.endpoint)
        check_kept(target.options, kind)
        self._connect(kind)
        other_python = self._other_python(kind, target.endpoint)
        key = kind, bool(target.endpoint), other_python
        if key not in self._codecs:
            self._codecs[key] = self._make_codec(*key)
        return self._codecs[key]

    def _other_python(self, kind: EndpointKind, endpoint: bytes) -> str:
        """Return the version of Python that an endpoint of ours has, if bytecode of this one means nothing there."""
        if kind is not EndpointKind.AGENT or self.settings.by_source:
            return ""
        return python_versions.other_python(str(uuid.UUID(bytes=endpoint)))

    def _make_codec(self, kind: EndpointKind, elsewhere: bool, other_python: str) -> Codec:
        """Return the codec for a kind of endpoint. JSON has no parts."""
        as_json = self.settings.serializer == JSON
        if kind not in {EndpointKind.OURS, EndpointKind.AGENT}:
            return (in_json_of_stock if as_json else globus_codec)(self.settings.by_source)
        codec = self._codec_of_ours(kind, elsewhere, other_python)
        return in_json(codec) if as_json else codec

    def _codec_of_ours(self, kind: EndpointKind, elsewhere: bool, other_python: str) -> Codec:
        if kind is EndpointKind.AGENT and self.settings.by_source:
            return of_ours_by_source()
        if other_python:
            return codec_for_python(other_python)
        own = self.settings.pool is not None and not elsewhere
        of_function = functools.partial(self.parts.of_function, elsewhere=elsewhere)
        of_argument = functools.partial(self.parts.of_argument, elsewhere=elsewhere)
        return native_codec(of_function, of_argument, follows_path=own)

    def _kind(self, endpoint: bytes) -> EndpointKind:
        if not endpoint:
            return EndpointKind.HOSTED if self.settings.peer.hosted else EndpointKind.OURS
        kind = self._kinds.get(endpoint)
        if kind is None:
            kind = self._kinds[endpoint] = self.settings.peer.kind(endpoint)
        return kind

    def _connect(self, kind: EndpointKind) -> None:
        if reading.worker_reads():
            raise UsedInImport(
                f"{_importing()} uses an Executor while a worker imports it to find the function of a task: its "
                "workers would import it, too, and so on without end. Put what is to run once, and not at each "
                'import, under if __name__ == "__main__":'
            )
        hosted = kind is EndpointKind.HOSTED
        with self.queue.lock:
            if self._connection is None:
                self._connection = make_connection(self, kind)
                self._hosted = hosted
        if hosted and not self._hosted:  # it was used before without an endpoint
            raise InvalidRequest(NO_ENDPOINT)

    def submit(
        self, view: SessionView, route: FunctionRef, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ComputeFuture[Any]:
        """Return a future for one call. What is wrong with its arguments is the future's error."""
        future = view.future()
        try:
            codec = view.codec()
            content = codec.call(route, args, kwargs)
            connection = self._connection
            assert connection is not None  # made for the codec
            if isinstance(content, bytes) and len(content) <= INLINE_LIMIT:
                body: Body = content
                parts = route.parts
            else:
                parts = (*route.parts, *parts_of(content))
                body = connection.body(content, f"the arguments of {route.function.name}")
        except ComputeError as error:
            return self.failed(view, error)
        future.cell = cells.current()
        call = future.call = Call(future, route.function, body, view.addressed, parts)
        queue = self.queue
        with queue.lock:
            if self.closed or self.released or self.broken is not None:
                self.check()
            wake = queue.add(call)
            if self._thread is None:
                self._start(connection)
            elif wake:
                wake = not connection.send_now()
        if wake:
            queue.wake()
        return future

    def _storage(self) -> Storage | None:
        """Return where large bodies go, and wait until that is known."""
        connection = self._connection
        with self.queue.lock:
            if connection is None or self.closed or self.released or exit_hooks.exiting():
                return None
            if self._thread is None:
                self._start(connection)
        return connection.storage()

    def _released(self, name: str) -> None:
        if self._connection is not None and self._pid == os.getpid():
            self._connection.released(name)

    def put(self, view: SessionView, value: Any) -> Ref:
        """Store a value that calls can share. Raises ComputeError."""
        self.check()
        view.codec()
        if self.settings.serializer == JSON:
            raise InvalidRequest(
                'put: values that are put travel as pickles, which serializer="json" has none of'
            )
        content = native.dump(value)
        if self._hosted:
            raise InvalidRequest(
                f"put: Globus Compute keeps no values that calls share. This one of {size(content):,} bytes would "
                f"travel with each call, and {HOSTED.request_bytes:,} bytes are the most of a submit: pass the name "
                "of a file or a URL that the endpoint can reach, or use an endpoint of your own service"
            )
        if parts_of(content):
            raise InvalidRequest("put: the value holds a ref; put it without, and pass both")
        part = self.parts.put(content, f"the {type(value).__qualname__} given to put")
        assert self._connection is not None  # made for the codec
        self._connection.hold(part)
        return Ref(part)

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
        if exit_hooks.exiting():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    def _start(self, connection: Connection) -> None:
        """Start the I/O thread, at the first submit. The caller holds the lock."""
        if exit_hooks.exiting():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        of_now, spec = self.settings.spec_of_now, self.settings.spec
        if of_now is not None and spec is not None:
            self.settings = self.settings._replace(spec=of_now(spec), spec_of_now=None)
        connection.start(self.queue.open())
        self._thread = threading.Thread(
            target=self._run, args=(connection,), name="compute-executor", daemon=True
        )
        exit_hooks.register(self)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            self.queue.close()
            if threading.main_thread().is_alive():  # there is no room for one more thread
                raise
            raise RuntimeError(f"cannot schedule new futures after interpreter shutdown ({error})") from error

    def _run(self, connection: Connection) -> None:
        try:
            connection.run()
        finally:
            with self.queue.lock:
                self.closed = True
                self.queue.close()
            for callback in self.queue.callbacks():  # of threads that wait for them
                callback()
            self._callbacks.close()

    def run_callbacks(self, future: ComputeFuture[Any]) -> None:
        """Have the callbacks of a future called: on another thread if this one has the connection or the queue."""
        if self._is_io_thread() or self.queue.is_locked_here():
            self._callbacks.run(future)
        else:
            future.run_callbacks()

    # -- cancelling ------------------------------------------------------------------------------------------

    def assign_ids(self) -> None:
        """Give every call that waits its id; a hosted service gives its own when it answers."""
        if self._connection is not None:
            self._connection.assign_ids()

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> set[int]:
        """Cancel those that surely will not run; return which, by ``id``. Waits for the service's answer."""
        self._drop(futures)
        sent = [future for future in futures if not future.done()]
        if sent and self._connection is not None:
            self._connection.withdraw(sent, wait=True)
        return {id(future) for future in futures if future.cancelled()}

    def _drop(self, futures: list[ComputeFuture[Any]]) -> None:
        for call in self.queue.drop(futures):
            if self._connection is not None:
                self._connection.discard(call)

    # -- beyond submitting -----------------------------------------------------------------------------------

    def open_futures(self, view: SessionView) -> list[ComputeFuture[Any]]:
        """Return the futures submitted through ``view`` that have not ended."""
        found = self._connection.open_futures() if self._connection is not None else []
        return [
            one for one in found if isinstance(one.owner, SessionView) and one.owner.origin is view.origin
        ]

    def register(self, view: SessionView, function: Any, description: str) -> str:
        """Register a function; return its id."""
        code = view.codec().dump_function(function)
        assert self._connection is not None  # made for the codec
        return self._connection.register(function, code, description)

    def reload(
        self, group: uuid.UUID, view: SessionView, known: Mapping[bytes, int]
    ) -> list[ComputeFuture[Any]]:
        """Return futures for the tasks of a group, except those that are open here already, or in batches that are
        ``known`` whole."""
        view.codec()
        connection = self._connection
        assert connection is not None  # made for the codec
        with self.queue.lock:
            self.check()
            if self._thread is None:
                self._start(connection)
        return connection.reload(group, view, known)

    # -- the end ---------------------------------------------------------------------------------------------

    @property
    def ending(self) -> bool:
        """Whether no more calls will come."""
        return (self.closed and not self._cancelling) or self.released

    def shutdown(self, wait: bool, cancel_futures: bool, spared: int = 0) -> None:
        """Take no more; finish, or withdraw, what is open, except the oldest ``spared`` calls; wait until the I/O
        thread has ended."""
        self._cancelling = cancel_futures  # what waits shall not leave before it is withdrawn
        with self.queue.lock:
            self.closed = True
        if cancel_futures and self._connection is not None:
            self.withdraw(self._connection.cancellable(spared))
        self._cancelling = False
        self.queue.wake()
        if wait and not self._is_own_thread():
            self.join()

    def _is_own_thread(self) -> bool:
        """Return whether the caller runs on one of the session's own threads, which would wait for itself."""
        return self._is_io_thread() or self._callbacks.is_own_thread()

    def _is_io_thread(self) -> bool:
        return self._connection is not None and self._connection.is_own_thread()

    def release(self) -> None:
        """Note that the Executor is gone. Takes no lock (see the module)."""
        self.released = True
        self.queue.wake()

    def abandon(self) -> None:
        """Withdraw what can be withdrawn without waiting, and end."""
        self.closed = True
        if self._connection is not None:
            self._drop(self.queue.waiting())
            self._connection.withdraw(None, wait=False)
        self.abandoned = True
        self.queue.wake()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the I/O thread has ended and all callbacks have run, and forget the thread: tools that look for
        threads left over find none."""
        thread = self._thread
        if thread is None:
            return
        turn = JOIN_TURN if timeout is None else timeout
        thread.join(turn)
        while timeout is None and thread.is_alive():
            thread.join(JOIN_TURN)
        if thread.is_alive():
            return
        while not self._callbacks.join(turn) and timeout is None:
            pass
        self._thread = None

    def forked(self) -> None:
        """Note that this is the child of a fork: the thread is not here, and the socket is the parent's."""
        self.closed = True
        forked()
        self._callbacks = CallbackRunner()
        self.queue.forked()
        orphans = self.queue.waiting()
        if self._connection is not None:
            orphans += self._connection.forked()
        for future in orphans:
            future.orphan()

    def fail_waiting(self, error: ComputeError) -> None:
        """End the calls that have not left with ``error``."""
        for call in self.queue.clear():
            call.future.fail(about(error, call.future))

    def break_pool(self, error: PoolBroken) -> None:
        """Refuse all further calls: the workers cannot start."""
        self.broken = error
        self.fail_waiting(error)

    # -- for repr --------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """``open, 3 buffered, 120 in flight, stream: connected``"""
        state = "broken" if self.broken else "shut down" if self.ending else "open"
        connection = self._connection
        in_flight, stream = (0, "not connected") if connection is None else connection.describe()
        return f"{state}, {self.queue.count} buffered, {in_flight} in flight, stream: {stream}"


def _importing() -> str:
    """Return what people call the module that is imported in this thread."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    return (
        "a module"
        if frame is None
        else f"module {frame.f_globals.get('__name__')} ({frame.f_code.co_filename})"
    )
