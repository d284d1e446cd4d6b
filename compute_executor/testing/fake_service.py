"""FakeService: what an Executor talks to, in threads of the testing program, with faults to order.

    Executor()  <= WebSocket =>  FakeServer, a thread per connection  ->  AcceptedCalls  <-  WorkerThread

The connection, the frames and the pickling are real, so what cannot travel fails here as well. What is left out is
what takes processes: a call runs in a thread of this program, shares its modules, and does not outlive it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from compute_executor.endpoint.worker.blobs import write_blob
from compute_executor.errors import ComputeError, NotFound
from compute_executor.local.locks import try_lock
from compute_executor.local.state import (
    BLOBS,
    FOLDER,
    HOME,
    SERVICE_LOCK,
    ServiceInfo,
    prepare_folder,
    remove_announcement,
    write_announcement,
)
from compute_executor.protocol import frames
from compute_executor.testing.accepted_calls import AcceptedCall, AcceptedCalls, by_batch
from compute_executor.testing.fake_server import ClientConnection, FakeServer
from compute_executor.testing.faults import Faults
from compute_executor.testing.worker_thread import WorkerThread

_encode = msgspec.msgpack.Encoder().encode


class FakeService:
    """Service in threads of this program. While it is entered, it is this user's local service: every ``Executor()``
    of this program, and of those that it starts, finds it by the environment variable COMPUTE_EXECUTOR_HOME.

    >>> from compute_executor import Executor
    >>> with FakeService() as service, Executor(max_workers=1) as ex:
    ...     service.faults.lost_workers = 1
    ...     type(ex.submit(pow, 2, 10).exception()).__name__, ex.submit(pow, 2, 10).result()
    ('WorkerLost', 1024)

    ``faults``: what goes wrong, see `Faults`. Containers, other endpoints and what Client asks are not there; what a
    call prints appears at once and is not in ``future.output()``.
    """

    def __init__(self) -> None:
        self.faults: Faults = Faults()
        self._token = secrets.token_urlsafe(16)
        self._free = threading.Condition(
            threading.RLock()
        )  # guards all that follows; sending is done without it
        self._held = False
        self._calls = AcceptedCalls()
        self._functions: dict[bytes, frames.Body] = {}
        self._pools: dict[bytes | None, _Pool] = {}
        self._listeners: dict[bytes, ClientConnection] = {}
        self._server: FakeServer | None = None
        self._cleanup = contextlib.ExitStack()
        self._running = contextlib.ExitStack()

    # -- its life --------------------------------------------------------------------------------------------

    def __enter__(self) -> FakeService:
        """Serve, and let Executors find it."""
        home = Path(tempfile.mkdtemp(prefix="compute-executor-testing-"))
        self._cleanup.callback(shutil.rmtree, home, ignore_errors=True)
        self._folder = home / FOLDER
        self._blobs = self._folder / BLOBS
        prepare_folder(self._folder)
        self._blobs.mkdir(mode=0o700)
        self._cleanup.callback(_restore, HOME, os.environ.get(HOME))
        os.environ[HOME] = str(home)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Run what is held, wait for what runs, stop, and let Executors find what they found before."""
        self.release()
        for pool in list(self._pools.values()):
            pool.threads.shutdown()
        self.stop()
        self._cleanup.close()

    def start(self) -> None:
        """Serve again after `stop`; what had been accepted goes on. Raises RuntimeError if it serves already."""
        lock = try_lock(self._folder / SERVICE_LOCK)
        if lock is None:
            raise RuntimeError("this FakeService is running; stop() it first")
        self._running.callback(os.close, lock)
        server = self._server = FakeServer(self._token, str(self._blobs), self._hear)
        self._running.callback(server.close)
        announced = ServiceInfo(server.url, self._token, server.instance, os.getpid())
        write_announcement(self._folder, announced)
        self._running.callback(remove_announcement, self._folder, server.instance)

    def stop(self) -> None:
        """End as if it had been killed. Clients wait for `start`, and no call is lost."""
        self._running.close()

    def cut(self) -> None:
        """Cut all connections. Clients connect again, and no call is lost."""
        if self._server is not None:
            self._server.cut()

    def hold(self) -> None:
        """Begin no call until `release`: what is submitted waits, and can be cancelled."""
        with self._free:
            self._held = True

    def release(self) -> None:
        """Begin what waits, and what comes."""
        with self._free:
            self._held = False
            self._free.notify_all()

    @property
    def waiting(self) -> int:
        """Calls that are accepted and have not begun."""
        with self._free:
            return len(self._calls.waiting)

    @property
    def begun(self) -> int:
        """Calls that have begun, each counted as often as it has."""
        with self._free:
            return sum(self._calls.attempts.values())

    # -- what clients say; a connection's thread ---------------------------------------------------------------

    def _hear(self, client: ClientConnection, frame: frames.ToService) -> None:
        match frame:
            case frames.OpenPool():
                self._open_pool(frame.pool, frame.spec)
            case frames.ClosePool():
                self._pool(frame.pool).threads.shutdown(wait=False)
            case frames.Register():
                self._register(client, frame)
            case frames.Subscribe():
                self._subscribe(client, frame)
            case frames.Submit():
                self._submit(client, frame)
            case frames.Ack():
                with self._free:
                    self._calls.acknowledge(frame.group, frame.seq)
            case frames.Cancel():
                self._cancel(client, frame)

    def _register(self, client: ClientConnection, frame: frames.Register) -> None:
        function = frame.digest[:16]
        with self._free:
            self._functions[frame.digest] = self._functions[function] = frame.code
        client.send(frames.Registered(frame.digest, function))

    def _subscribe(self, client: ClientConnection, frame: frames.Subscribe) -> None:
        with self._free:
            self._listeners[frame.group] = client
            missed = self._calls.results(frame.group, frame.after)
        self._tell(frame.group, missed)

    def _submit(self, client: ClientConnection, batch: frames.Submit) -> None:
        with self._free:
            if self.faults.happens("cut_before_stored"):
                client.cut()
                return
            refusal = self._refusal(batch)
            if refusal is not None:
                client.send(frames.Refused(batch.prefix, refusal.document()))
                return
            calls = self._calls.add(batch)
            cut = self.faults.happens("cut_before_answered")
        if cut:
            client.cut()
        else:
            client.send(frames.Accepted(batch.prefix))
        for call in calls:
            self._start(call)

    def _refusal(self, batch: frames.Submit) -> ComputeError | None:
        if self.faults.happens("refused_batches"):
            return self.faults.refusal
        if not self._functions.keys() >= set(batch.functions):
            return NotFound("no such function")
        return None

    def _cancel(self, client: ClientConnection, frame: frames.Cancel) -> None:
        with self._free:
            withdrawn = self._calls.withdraw(frame.tasks)
        client.send(frames.Cancelled(frame.request, by_batch(call for call, _ in withdrawn)))
        for call, result in withdrawn:
            self._tell(call.batch.group, [result])

    # -- calls; a worker's thread ----------------------------------------------------------------------------

    def _open_pool(self, key: bytes, spec: frames.PoolSpec) -> None:
        with self._free:
            if key not in self._pools:
                self._pools[key] = _Pool(spec.max_workers, self._blobs, spec.initializer)

    def _pool(self, key: bytes | None) -> _Pool:
        with self._free:
            if key not in self._pools:
                self._pools[key] = _Pool(os.cpu_count() or 1, self._blobs, None)
            return self._pools[key]

    def _start(self, call: AcceptedCall) -> None:
        self._pool(call.batch.pool).threads.submit(self._run, call)

    def _run(self, waiting: AcceptedCall) -> None:
        with self._free:
            self._free.wait_for(lambda: not self._held)
            call = self._calls.begin(waiting.key)
            if call is None:  # withdrawn
                return
            attempt = self._calls.attempts[call.key]
            lost = self.faults.happens("lost_workers")
            timed_out = not lost and self.faults.happens("timeouts")
            listener = self._listeners.get(call.batch.group)
        began = time.time()
        if listener is not None:
            listener.send(frames.Began([(*call.key, began)]))
        if lost and attempt <= call.batch.options.retries:
            self._run_again(call)
        elif lost:
            self._end(
                call,
                frames.LOST,
                _reason("its worker was ended by a fault that the test ordered", attempt),
                began,
            )
        elif timed_out:
            self._end(call, frames.TIMEOUT, _reason("a time limit that the test ordered", attempt), began)
        else:
            self._end(call, *self._outcome(call), began)

    def _run_again(self, call: AcceptedCall) -> None:
        with self._free:
            self._calls.return_to_queue(call)
        self._run(call)

    def _outcome(self, call: AcceptedCall) -> tuple[int, frames.Body]:
        pool = self._pool(call.batch.pool)
        with self._free:
            code = self._functions[call.function]
        try:
            pool.worker.initialize()
        except BaseException as error:
            message = f"the initializer raised {type(error).__name__}: {error}\n{traceback.format_exc()}"
            self._break_pool(call, message)
            return frames.BROKEN, _reason(message, 0)
        status, body = pool.worker.run(call.function, code, call.body)
        return status, self._stored(body)

    def _break_pool(self, call: AcceptedCall, message: str) -> None:
        with self._free:
            listener = self._listeners.get(call.batch.group)
        if listener is not None and call.batch.pool is not None:
            listener.send(frames.PoolFailed(call.batch.pool, message))

    def _stored(self, body: bytes) -> frames.Body:
        if len(body) <= frames.INLINE_LIMIT:
            return body
        name, size = write_blob(str(self._blobs), body, durable=False).split()
        return frames.Blob(name.decode(), int(size))

    def _end(self, call: AcceptedCall, status: int, body: frames.Body, began: float) -> None:
        with self._free:
            result = self._calls.end(call, status, body, began, time.time())
        self._tell(call.batch.group, [result])

    def _tell(self, group: bytes, results: list[frames.Result]) -> None:
        with self._free:
            listener = self._listeners.get(group)
            times = 1 + self.faults.repeated_results
            told = results[::-1] if self.faults.reversed_results else results
        if listener is not None and told:
            for _ in range(times):
                listener.send(frames.Results(group, told))


class _Pool:
    """Worker threads of one Executor."""

    def __init__(self, workers: int, blobs: Path, initializer: bytes | None) -> None:
        self.threads = ThreadPoolExecutor(workers, thread_name_prefix="fake-worker")
        self.worker = WorkerThread(blobs, initializer)


def _reason(message: str, attempts: int) -> bytes:
    return _encode(frames.Reason(message, None, attempts > 0, attempts))


def _restore(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value
