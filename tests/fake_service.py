"""A service in a thread: real frames over a real WebSocket, tasks run in line, faults on order."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from compute_executor.errors import ComputeError, InvalidRequest, NotFound
from compute_executor.protocol import frames
from compute_executor.protocol.endpoint_kind import EndpointKind
from compute_executor.sdk.client import Client
from compute_executor.sdk.http.direct import ServerAddress
from compute_executor.sdk.own_api import OwnApi
from compute_executor.serialization import exceptions, native
from compute_executor.testing.fake_server import close_pipe
from tests.login import api_of

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(frames.ToService).decode
_tasks = msgspec.msgpack.Decoder(list[tuple[int, frames.Body]]).decode

quiet = logging.getLogger("fake-service")
quiet.setLevel(logging.CRITICAL)


class Faults:
    """What goes wrong. Each is a countdown or a decision; the defaults are a service without faults."""

    def __init__(self) -> None:
        self.drop_before_store = 0
        """Connections to cut at a Submit, before anything is kept."""
        self.drop_before_accept = 0
        """Connections to cut at a Submit that was kept, before it is answered."""
        self.repeat = 1
        """How often each Results frame is sent."""
        self.reverse = False
        """Whether results come in the reverse order."""
        self.strangers = False
        """Whether results of unknown tasks come along."""
        self.results_first = False
        """Whether results come before Accepted."""
        self.refuse: Callable[[frames.Submit, list[Any]], tuple[ComputeError, int | None] | None] = (
            lambda *_: None
        )
        """The error for a batch, and the culprit's position."""
        self.refuse_function: ComputeError | None = None
        self.drop_at_cancel = 0
        """Connections to cut at a Cancel, before it is looked at."""


class FakeService:
    """``hold``: while set, tasks are kept and not run (they can be cancelled). ``began``: say so when they run."""

    def __init__(self, limits: dict[str, int] | None = None, blob_folder: str | None = None) -> None:
        self.token = "test"
        self.next_token: str | None = None
        self._api = api_of(lambda: self.address(), self.renew)
        self.faults = Faults()
        self.limits = {"resources": 1} if limits is None else limits
        self.blob_folder = blob_folder
        self.hold = False
        self.noop = False
        self.began = False
        self.runs: dict[tuple[bytes, int], int] = {}
        self.submits: list[frames.Submit] = []
        self.registers: list[frames.Register] = []
        self.acks: list[frames.Ack] = []
        self.pools: dict[bytes, frames.PoolSpec] = {}
        self.closed_pools: set[bytes] = set()
        self.cancels: list[frames.Cancel] = []
        self.connections = 0
        self.heard: list[frames.Submit] = []
        """All Submits that came, also those that are not worked on while ``silent`` is set."""
        self.silent = threading.Event()
        self.received = threading.Condition()
        self._functions: dict[bytes, Any] = {}
        self._held: list[tuple[frames.Submit, int, int, Any]] = []
        self._results: list[frames.Result] = []
        self._lock = threading.RLock()
        self._unspoken: list[tuple[ServerConnection, frames.Submit]] = []
        self._live: set[ServerConnection] = set()
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    # -- running it --------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._server = serve(
            self._serve, "127.0.0.1", 0, max_size=frames.MAX_FRAME, compression=None, logger=quiet
        )
        self.port = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="fake-service")
        self._thread.start()

    def stop(self) -> None:
        """As a kill: no goodbye. What was kept is kept for the next :meth:`start`."""
        assert self._server is not None
        assert self._thread is not None
        self.drop()
        self._server.shutdown()
        self._thread.join()
        close_pipe(self._server)
        while self._live:
            with self.received:
                self.received.wait(0.01)

    def drop(self) -> None:
        for connection in list(self._live):
            with contextlib.suppress(OSError):
                connection.socket.shutdown(2)

    def address(self) -> ServerAddress:
        return ServerAddress(f"http://127.0.0.1:{self.port}", self.token)

    def renew(self) -> None:
        """Log in as ``next_token``, if there is one."""
        if self.next_token is not None:
            self.token, self.next_token = self.next_token, None

    def api(self) -> OwnApi:
        """As its locator."""
        return self._api

    hosted: bool = False

    def kind(self, endpoint: bytes) -> EndpointKind:
        return EndpointKind.OURS

    def endpoint_named(self, name: str) -> bytes:
        raise NotFound(f"there is no endpoint {name}")

    def client(self) -> Client:
        raise InvalidRequest("a fake service has no Client")

    def borrowed_client(self) -> Client:
        return self.client()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.received:
            assert self.received.wait_for(condition, 10), "the client did not do what was expected"

    @property
    def live(self) -> int:
        """Connections that are open."""
        return len(self._live)

    @property
    def held(self) -> int:
        """Tasks that are held."""
        return len(self._held)

    def release(self, last: int | None = None) -> None:
        """Run what is held, and from now on all at once; or only the ``last`` ones."""
        with self._lock:
            self.hold = last is not None
            held = self._held if last is None else self._held[-last:]
            self._held = self._held[: len(self._held) - len(held)]
        self._run_all(held)

    def _run_all(self, held: list[Any]) -> None:
        if not held:
            return
        results = [self._result(*task) for task in held]
        for connection in list(self._live):
            with contextlib.suppress(ConnectionClosed):
                self._tell(connection, self.submits[-1].group, results)

    def run_unheard(self) -> None:
        """Run what is held, and tell nobody until they ask."""
        with self._lock:
            held, self._held = self._held, []
            for task in held:
                self._result(*task)

    def speak(self) -> None:
        """Work on what came while it was silent."""
        self.silent.clear()
        waiting, self._unspoken = self._unspoken, []
        for connection, message in waiting:
            with contextlib.suppress(ConnectionClosed):
                self._submit(connection, message)

    # -- one connection ----------------------------------------------------------------------------------------

    def _serve(self, connection: ServerConnection) -> None:
        self._live.add(connection)
        try:
            msgspec.json.decode(connection.recv(), type=frames.Hello)
            self.connections += 1
            welcome = frames.Welcome(frames.PROTOCOL, "fake", "", self.blob_folder, self.limits)
            connection.send(msgspec.json.encode(welcome).decode())
            while True:
                self._hear(connection, decode(connection.recv()))  # type: ignore[arg-type]
                with self.received:
                    self.received.notify_all()
        except (ConnectionClosed, OSError):
            pass
        finally:
            self._live.discard(connection)
            with self.received:
                self.received.notify_all()

    def _hear(self, connection: ServerConnection, message: Any) -> None:
        name = type(message).__name__.lower()
        getattr(self, f"_{name}")(connection, message)

    def _openpool(self, connection: ServerConnection, message: frames.OpenPool) -> None:
        self.pools[message.pool] = message.spec

    def _closepool(self, connection: ServerConnection, message: frames.ClosePool) -> None:
        self.closed_pools.add(message.pool)

    def _register(self, connection: ServerConnection, message: frames.Register) -> None:
        self.registers.append(message)
        error = self.faults.refuse_function
        if error is not None:
            connection.send(encode(frames.Registered(message.digest, b"", error.document())))
            return
        if isinstance(message.code, bytes):
            assert hashlib.sha256(message.code).digest() == message.digest
        self._functions[message.digest] = message.code
        connection.send(encode(frames.Registered(message.digest, message.digest[:16])))

    def _subscribe(self, connection: ServerConnection, message: frames.Subscribe) -> None:
        with self._lock:
            missed = [result for result in self._results if result.seq > message.after]
        if missed:
            connection.send(encode(frames.Results(message.group, missed)))

    def _ack(self, connection: ServerConnection, message: frames.Ack) -> None:
        self.acks.append(message)

    def _submit(self, connection: ServerConnection, message: frames.Submit) -> None:
        if self.silent.is_set():
            self.heard.append(message)
            self._unspoken.append((connection, message))
            return
        if self.faults.drop_before_store:
            self.faults.drop_before_store -= 1
            connection.socket.shutdown(2)
            return
        tasks = _tasks(bytes(message.tasks))
        assert len(tasks) == message.count
        refusal = self._refusal(message, tasks)
        if refusal is not None:
            error, position = refusal
            connection.send(encode(frames.Refused(message.prefix, error.document(), position)))
            return
        known = any(message.prefix == other.prefix for other in self.submits)
        self.submits.append(message)
        todo = [] if known else [(message, position, *task) for position, task in enumerate(tasks)]
        if self.hold:
            self._held += todo
            todo = []
        results = [self._result(*task) for task in todo]  # stored before anything is said
        if self.faults.results_first:
            self._tell(connection, message.group, results)
        if self.faults.drop_before_accept:
            self.faults.drop_before_accept -= 1
            connection.socket.shutdown(2)
        else:
            connection.send(encode(frames.Accepted(message.prefix)))
        if not self.faults.results_first:
            self._tell(connection, message.group, results)

    def _refusal(self, message: frames.Submit, tasks: list[Any]) -> tuple[ComputeError, int | None] | None:
        if any(len(name) == 32 and name not in self._functions for name in message.functions):
            return NotFound("no such function"), None
        return self.faults.refuse(message, tasks)

    def _tell(self, connection: ServerConnection, group: bytes, results: list[frames.Result]) -> None:
        if not results:
            return
        results = list(results)
        if self.faults.strangers:
            results.insert(
                0, frames.Result(results[0].seq - 1, b"\0" * 12, 7, frames.VALUE, native.dumps("?"))
            )
        if self.faults.reverse:
            results.reverse()
        for _ in range(self.faults.repeat):
            connection.send(encode(frames.Results(group, results)))

    def _result(self, batch: frames.Submit, position: int, function: int, body: Any) -> frames.Result:
        with self._lock:
            key = batch.prefix, position
            self.runs[key] = self.runs.get(key, 0) + 1
            status, outcome = self._outcome(batch.functions[function], body)
            result = frames.Result(2 * len(self._results) + 2, *key, status, outcome, 1.0, 2.0)
            self._results.append(result)
        return result

    def _outcome(self, digest: bytes, body: Any) -> tuple[int, frames.Body]:
        if self.noop:
            return frames.VALUE, NONE
        try:
            args, kwargs = native.loads_call(self._read(body))
            return frames.VALUE, native.dumps(
                native.loads(self._read(self._functions[digest]))(*args, **kwargs)
            )
        except Exception as error:
            return frames.EXCEPTION, exceptions.encode(error)

    def _read(self, body: Any) -> bytes:
        if isinstance(body, bytes):
            return body
        with open(f"{self.blob_folder}/{body.name}", "rb") as file:
            return file.read()

    def _cancel(self, connection: ServerConnection, message: frames.Cancel) -> None:
        if self.faults.drop_at_cancel:
            self.faults.drop_at_cancel -= 1
            connection.socket.shutdown(2)
            return
        self.cancels.append(message)
        wanted = {(prefix, position) for prefix, positions in message.tasks for position in positions}
        withdrawn: dict[bytes, list[int]] = {}
        with self._lock:
            for task in [task for task in self._held if (task[0].prefix, task[1]) in wanted]:
                self._held.remove(task)
                withdrawn.setdefault(task[0].prefix, []).append(task[1])
        connection.send(encode(frames.Cancelled(message.request, list(withdrawn.items()))))
        self._end(connection, withdrawn, frames.CANCELLED, "cancelled")

    def _end(
        self, connection: ServerConnection, tasks: dict[bytes, list[int]], status: int, message: str
    ) -> None:
        reason = encode(frames.Reason(message, -9, True, 1))
        results = []
        for prefix, positions in tasks.items():
            for position in positions:
                results.append(frames.Result(2 * len(self._results) + 2, prefix, position, status, reason))
                self._results.append(results[-1])
        if results:
            connection.send(encode(frames.Results(self.submits[0].group, results)))

    def end_held(self, status: int, message: str) -> None:
        """End all that is held with this status."""
        with self._lock:
            held, self._held = self._held, []
        tasks: dict[bytes, list[int]] = {}
        for batch, position, _, _ in held:
            tasks.setdefault(batch.prefix, []).append(position)
        for connection in list(self._live):
            self._end(connection, tasks, status, message)

    def say(self, frame: Any) -> None:
        """Send a frame to all that are connected."""
        for connection in list(self._live):
            connection.send(frame if isinstance(frame, bytes) else encode(frame))


NONE = native.dumps(None)
