"""What is said between a session and its service, and what it means for the futures.

Sits between the bytes (pump.py, results/websocket.py) and the two halves that decide: sender.py for the way out,
router.py for the way back. Writes frames through a function that it is given.

Owner: the session's I/O thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from compute_executor import by_http
from compute_executor.batch import Batch, Call
from compute_executor.errors import ComputeError, PoolBroken, ServiceUnavailable
from compute_executor.future import ComputeFuture
from compute_executor.peer import Address
from compute_executor.protocol.frames import (
    INLINE_LIMIT,
    Accepted,
    Ack,
    Began,
    Blob,
    Cancel,
    Cancelled,
    ClosePool,
    Goodbye,
    OpenPool,
    PoolFailed,
    PoolSpec,
    Refused,
    Registered,
    Results,
    Subscribe,
    ToClient,
    Welcome,
)
from compute_executor.results.outcomes import settle
from compute_executor.results.polling import poll
from compute_executor.results.router import Router
from compute_executor.submission.bodies import Storage, store, usable
from compute_executor.submission.sender import Failure, Sender, without

log = logging.getLogger(__name__)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ToClient).decode

NO_LIMIT = 1 << 62


class Withdrawal:
    """A wish to cancel, and the way to learn that it was answered. ``futures`` is None for all that are open."""

    def __init__(self, futures: list[ComputeFuture[Any]] | None) -> None:
        self.futures = futures
        self.tasks: list[tuple[bytes, list[int]]] = []
        self.answered = threading.Event()


class Dialogue:
    """One session's side of the stream, over any number of connections."""

    def __init__(self, group: bytes, pool: bytes | None, spec: PoolSpec | None) -> None:
        self.sender = Sender(group)
        self.router = Router()
        self.groups = {group}
        self.pool = pool
        self.spec = spec
        self.broken: PoolBroken | None = None
        self.storage: Storage | None = None
        self.address: Address | None = None
        self.postponed: list[Batch] = []
        self.no_room: ComputeError | None = None
        self._write: Callable[[bytes], None] = _nowhere
        self._requests: dict[int, Withdrawal] = {}
        self._request = 0
        self._acknowledged: dict[bytes, int] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            Accepted: self._accepted,
            Refused: self._refused,
            Registered: self.sender.registered,
            Results: self._results,
            Began: self._began,
            Cancelled: self._cancelled,
            PoolFailed: self._pool_failed,
            Goodbye: self._goodbye,
        }

    # -- out -------------------------------------------------------------------------------------------------

    def opened(self, welcome: Welcome, address: Address, write: Callable[[bytes], None]) -> None:
        """Begin, or take up again, on a new connection: all that was not confirmed is said once more."""
        self._write = write
        self.address = address
        self.storage = Storage(
            usable(welcome.blob_folder), self._put, welcome.limits.get("max_blob", NO_LIMIT)
        )
        if self.pool is not None and self.spec is not None:
            write(_encode(OpenPool(self.pool, self.spec)))
        for group in self.groups:
            self.subscribe(group)
        for batch in self.sender.reconnected():
            self.send(batch)
        for number, withdrawal in self._requests.items():
            write(_encode(Cancel(number, withdrawal.tasks)))

    def closed(self) -> None:
        """The connection is gone."""
        self._write = _nowhere

    def subscribe(self, group: bytes) -> None:
        """Ask for the results of a group, from where we are."""
        self.groups.add(group)
        self._write(_encode(Subscribe(group, self.router.read.get(group, 0))))

    def send(self, batch: Batch) -> None:
        """Send a batch; calls whose bodies cannot be put where they belong fail, the others go."""
        failures = self._outsource(batch)
        if failures:
            self._fail(failures)
            self.router.remove(batch.prefix)
            for rest in without(batch, failures):
                self.send(rest)
            return
        self.router.add(batch)
        for frame in self.sender.frames(batch):
            self._write(frame)

    def _outsource(self, batch: Batch) -> list[Failure]:
        """Put what is too large for a frame beside it."""
        failures = []
        for call in batch.calls:
            try:
                self._outsource_call(call)
            except ComputeError as error:
                failures.append(Failure(call, error))
        return failures

    def _outsource_call(self, call: Call[Any]) -> None:
        assert self.storage is not None
        code = call.function.code
        if isinstance(call.body, bytes) and len(call.body) > INLINE_LIMIT:
            call.body = store(call.body, self.storage, f"the arguments of {call.function.name}")
        if isinstance(code, bytes) and len(code) > INLINE_LIMIT:
            call.function.code = store(code, self.storage, f"the function {call.function.name}")

    def _put(self, name: str, content: bytes) -> None:
        assert self.address is not None
        by_http.put_blob(self.address, name, content)

    def retry_postponed(self) -> None:
        """Offer again what the service had no room for."""
        batches, self.postponed = self.postponed, []
        for batch in batches:
            self.send(batch)

    def withdraw(self, withdrawal: Withdrawal) -> None:
        """Ask the service not to run what has not begun."""
        futures = self.router.futures() if withdrawal.futures is None else withdrawal.futures
        withdrawal.tasks = self._open_tasks(futures)
        if not withdrawal.tasks:
            withdrawal.answered.set()
            return
        self._request += 1
        self._requests[self._request] = withdrawal
        self._write(_encode(Cancel(self._request, withdrawal.tasks)))

    def _open_tasks(self, futures: list[ComputeFuture[Any]]) -> list[tuple[bytes, list[int]]]:
        tasks: dict[bytes, list[int]] = {}
        for future in futures:
            place = future.place
            if place is not None and self.router.find(*place) is future:
                tasks.setdefault(place[0], []).append(place[1])
        return list(tasks.items())

    def acknowledge(self) -> None:
        """Tell the service which results have reached their futures."""
        for group, seq in self.router.read.items():
            if self._acknowledged.get(group, 0) < seq:
                self._acknowledged[group] = seq
                self._write(_encode(Ack(group, seq)))

    @property
    def owes_acknowledgement(self) -> bool:
        """Whether :meth:`acknowledge` has something to say."""
        return self._acknowledged != self.router.read

    def goodbye(self) -> None:
        """The last words: nothing more will come for our pool."""
        self.acknowledge()
        if self.pool is not None:
            self._write(_encode(ClosePool(self.pool)))

    # -- in --------------------------------------------------------------------------------------------------

    def hear(self, frame: bytes) -> None:
        """Act on a frame of the service. Raises msgspec.DecodeError for what is none."""
        message = _decode(frame)
        self._handlers[type(message)](message)

    def _accepted(self, answer: Accepted) -> None:
        self.sender.accepted(answer.prefix)
        self.no_room = None

    def _refused(self, answer: Refused) -> None:
        if answer.prefix not in self.sender.unconfirmed:
            return
        refusal = self.sender.refused(answer)
        if refusal.later is not None:
            self.no_room = refusal.error
            self.postponed.append(refusal.later)
            return
        self.router.remove(answer.prefix)
        self._fail(refusal.failures)
        for batch in refusal.again:
            self.send(batch)

    def _results(self, frame: Results) -> None:
        for future, result in self.router.feed(frame):
            settle(future, result, self.fetch)
        if self.sender.unconfirmed:
            for prefix in {result.prefix for result in frame.results}:
                self.sender.accepted(prefix)

    def _began(self, frame: Began) -> None:
        for prefix, position, when in frame.tasks:
            future = self.router.find(prefix, position)
            if future is not None:
                future.begin(when)

    def _cancelled(self, answer: Cancelled) -> None:
        for prefix, positions in answer.tasks:
            self.withdrawn(prefix, positions)
        withdrawal = self._requests.pop(answer.request, None)
        if withdrawal is not None:
            withdrawal.answered.set()

    def withdrawn(self, prefix: bytes, positions: Iterable[int]) -> None:
        """These tasks surely will not run."""
        for position in positions:
            future = self.router.find(prefix, position)
            if future is not None and future.withdrawn():
                self.router.pop(prefix, position)

    def _pool_failed(self, frame: PoolFailed) -> None:
        if frame.pool == self.pool:
            self.broken = PoolBroken(frame.message)

    def _goodbye(self, frame: Goodbye) -> None:
        log.info("the service ends: %s", frame.reason)

    def fetch(self, blob: Blob) -> bytes:
        """The content of a large result. Raises ComputeError."""
        folder = self.storage.folder if self.storage is not None else None
        if folder is not None:
            return _read(folder, blob)
        assert self.address is not None
        return by_http.get_blob(self.address, blob)

    # -- without a stream ------------------------------------------------------------------------------------

    def converse_by_http(self, address: Address) -> None:
        """One round of the same by requests: confirm batches, ask for outcomes. Raises ComputeError if the service
        cannot be reached that way either."""
        self.address = address
        if self.storage is None:
            self.storage = Storage(None, self._put, NO_LIMIT)
        if self.sender.unconfirmed and self.pool is not None and self.spec is not None:
            by_http.open_pool(address, OpenPool(self.pool, self.spec))
        for batch in list(self.sender.unconfirmed.values()):
            self._submit_by_http(address, batch)
        confirmed = [task for task in self.router.tasks() if task[0] not in self.sender.unconfirmed]
        for result in poll(address, confirmed):
            future = self.router.pop(result.prefix, result.position)
            if future is not None:
                settle(future, result, self.fetch)

    def _submit_by_http(self, address: Address, batch: Batch) -> None:
        registers, submit = self.sender.messages(batch)
        try:
            for frame in registers:
                by_http.register(address, frame)
            by_http.submit(address, submit)
        except ComputeError as error:
            if error.retryable:
                raise
            self._refused(Refused(batch.prefix, error.document()))
        else:
            self._accepted(Accepted(batch.prefix))

    def withdraw_by_http(self, futures: list[ComputeFuture[Any]] | None) -> None:
        """Withdraw and wait for the answer, on the very thread that reads the stream."""
        tasks = self._open_tasks(self.router.futures() if futures is None else futures)
        if not tasks or self.address is None:
            return
        try:
            cancelled = by_http.cancel(self.address, tasks)
        except ComputeError as error:
            log.info("cannot cancel: %s", error)
            return
        for prefix, positions in cancelled:
            self.withdrawn(prefix, positions)

    def adopt(self, group: bytes, batches: list[Batch]) -> list[ComputeFuture[Any]]:
        """Expect the outcomes of tasks that were submitted elsewhere, or earlier; the futures of those that are
        not expected already."""
        adopted = [batch for batch in batches if self.router.add(batch)]
        self.router.read.pop(group, None)
        self.subscribe(group)
        return [future for batch in adopted for future in batch.futures if future is not None]

    # -- giving up -------------------------------------------------------------------------------------------

    def give_up(self, error: ComputeError) -> None:
        """End all that is open: the service cannot be reached, or takes nothing from us."""
        self.sender.unconfirmed.clear()
        self.postponed.clear()
        for prefix, positions in list(self.router.tasks()):
            for position in positions:
                future = self.router.pop(prefix, position)
                if future is not None:
                    future.fail(about(error, future))
        for withdrawal in self._requests.values():
            withdrawal.answered.set()
        self._requests.clear()

    def give_up_postponed(self) -> None:
        """End what the service had no room for."""
        error = self.no_room
        assert error is not None
        for batch in self.postponed:
            self.router.remove(batch.prefix)
            self._fail([Failure(call, error) for call in batch.calls])
        self.postponed.clear()

    def _fail(self, failures: list[Failure]) -> None:
        for call, error in failures:
            call.future.fail(about(error, call.future))


def about(error: ComputeError, future: ComputeFuture[Any]) -> ComputeError:
    """The same error, about one task: each future has an exception of its own."""
    one = type(error)(error.message, task_id=future.task_id)
    one.__cause__ = error.__cause__
    return one


def _read(folder: Path, blob: Blob) -> bytes:
    try:
        return (folder / blob.name).read_bytes()
    except OSError as error:
        raise ServiceUnavailable(f"the result's file {folder / blob.name} cannot be read: {error}") from error


def _nowhere(frame: bytes) -> None:
    """There is no connection: what matters is said again when there is one."""
