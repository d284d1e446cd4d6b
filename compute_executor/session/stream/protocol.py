"""The client's side of the stream protocol: which frames to send, and what received frames mean for the futures.

Between the bytes (loop.py, websocket.py) and the two halves that decide: sender.py for batches on their way out,
router.py for outcomes on their way back. It writes frames through a function that it is given.

Owner: the session's I/O thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from compute_executor.batch import Call, CallBatch
from compute_executor.errors import ComputeError, PoolBroken, VersionMismatch
from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import (
    BROKEN,
    CANCELLED,
    MAX_FRAME,
    Accepted,
    Began,
    Blob,
    Cancelled,
    ClosePool,
    Goodbye,
    Hold,
    Hops,
    OpenPool,
    Output,
    PoolFailed,
    PoolSpec,
    Refused,
    Registered,
    Release,
    Result,
    Results,
    Subscribe,
    Welcome,
)
from compute_executor.protocol.ids import TaskPositions
from compute_executor.protocol.resources import resources_of
from compute_executor.sdk.ending import ANYTHING, Reading
from compute_executor.sdk.own_api import OwnApi
from compute_executor.serialization.buffers import LARGE
from compute_executor.session.outcomes import settle
from compute_executor.session.output import OutputPrinter
from compute_executor.session.reasons import container_of, reason_of
from compute_executor.session.storage import NO_LIMIT, Storage, usable
from compute_executor.session.stream.acknowledgements import Acknowledgements
from compute_executor.session.stream.frame_reader import read_frame
from compute_executor.session.stream.initializers import with_part
from compute_executor.session.stream.router import Router
from compute_executor.session.stream.sender import (
    MOST_PARTS,
    Sender,
    SubmitFailure,
    parts_of,
    too_many_parts,
    without,
)
from compute_executor.session.task_errors import about
from compute_executor.session.withdrawal import Withdrawal, Withdrawals

if TYPE_CHECKING:
    from compute_executor.tracing import Trace

log: logging.Logger = logging.getLogger(__name__)

_encode = msgspec.msgpack.Encoder().encode

OLDER = (
    "the service is of an older version and would leave that out in silence: update compute-executor there"
)


class StreamProtocol:
    """State of one session's protocol, over any number of connections."""

    def __init__(
        self,
        group: bytes,
        pool: bytes | None,
        spec: PoolSpec | None,
        when_broken: Callable[[PoolBroken], None],
        *,
        prints: bool = False,
        reading: Reading = ANYTHING,
    ) -> None:
        """``when_broken`` is called once if the workers of ``pool`` cannot start, before any future ends. ``prints``:
        what tasks write appears in the program. ``reading``: how outcomes are read."""
        self.sender: Sender = Sender(group)
        self.router: Router = Router()
        self.groups: set[bytes] = {group}
        self.pool = pool
        self.spec = spec
        self.broken: bool = False
        self._when_broken = when_broken
        self.storage: Storage | None = None
        self.located: threading.Event = threading.Event()
        """Set when it is known where large bodies go, or that it will not be."""
        self._held: dict[str, Blob] = {}  # parts that the service was asked to hold
        self.api: OwnApi | None = None
        self.postponed: list[CallBatch] = []
        self.refusal: ComputeError | None = None
        self._takes_resources = False
        self._write: Callable[[bytes], None] = _drop_frame
        self._withdrawals = Withdrawals()
        self._acknowledgements = Acknowledgements(self.router.read)
        self._handlers: dict[type, Callable[[Any], None]] = {
            Accepted: self.accepted,
            Refused: self.refused,
            Registered: self.sender.registered,
            Results: self._results,
            Began: self._began,
            Cancelled: self._cancelled,
            PoolFailed: self._pool_failed,
            Goodbye: self._goodbye,
            Hops: self._hops,
            Output: self._output,
        }
        self.trace: Trace | None = None
        self._reading = reading
        self.printer: OutputPrinter | None = OutputPrinter() if prints else None

    # -- out -------------------------------------------------------------------------------------------------

    def opened(self, welcome: Welcome, api: OwnApi, write: Callable[[bytes], None]) -> None:
        """Begin, or resume, on a new connection: all that was not confirmed is sent again."""
        self._write = write
        self.api = api
        limit = welcome.limits.get("max_blob", NO_LIMIT)
        self.storage = Storage(
            api,
            usable(welcome.blob_folder),
            limit,
            takes_parts="parts" in welcome.limits,
            elsewhere="endpoint_parts" in welcome.limits,
        )
        self._takes_resources = "resources" in welcome.limits
        self.located.set()
        self._send_hold(list(self._held.values()))
        self._open_pool()
        for group in self.groups:
            self.subscribe(group)
        for batch in self.sender.reconnected():
            self.send(batch)
        for cancel in self._withdrawals.again():
            write(_encode(cancel))

    def _open_pool(self) -> None:
        """Declare the pool. An initializer with large arguments goes into a part, which each batch refers to."""
        if self.pool is None or self.spec is None:
            return
        if self.spec.devices and not self._takes_resources:
            self._break(PoolBroken(f"gpus were asked for: {OLDER}", began=False))
            return
        initializer = self.spec.initializer
        assert self.storage is not None
        if initializer is not None and len(initializer) > LARGE and self.storage.takes_parts():
            try:
                small, self.sender.pool_parts = with_part(initializer, self.storage)
            except ComputeError as error:
                self._break(PoolBroken(f"the initializer cannot be sent: {error}"))
                return
            self.spec = msgspec.structs.replace(self.spec, initializer=small)
        self.hold(self.sender.pool_parts)
        frame = _encode(OpenPool(self.pool, self.spec))
        if len(frame) > MAX_FRAME:
            self._break(
                PoolBroken(f"the initializer and its arguments are {len(frame):,} bytes: too many to send")
            )
            return
        self._write(frame)

    def reached(self, api: OwnApi) -> None:
        """Note that the service answers by HTTP, without a stream."""
        self.api = api
        if self.storage is None:
            self.storage = Storage(api)
        self.located.set()

    def resend_unconfirmed(self) -> None:
        """Mark all that was not confirmed to be sent again, after a send was interrupted at an unknown point. The
        service runs once what it receives twice."""
        for batch in self.router.batches():
            if batch.calls:
                self.sender.unconfirmed.setdefault(batch.prefix, batch)

    def closed(self) -> None:
        """Drop what is written until the next connection."""
        self._write = _drop_frame

    def subscribe(self, group: bytes) -> None:
        """Subscribe to the results of a group, from the first that may not have been read."""
        self.groups.add(group)
        self._write(_encode(Subscribe(group, self.router.resume_from(group))))

    def send(self, batch: CallBatch) -> None:
        """Send a batch; calls whose bodies cannot be put where they belong fail, the others go."""
        asked = None if self._takes_resources else resources_of(batch.target.options)
        if asked is not None:
            error = VersionMismatch(f"{asked} were asked for: {OLDER}")
            self._fail([SubmitFailure(call, error) for call in batch.calls])
            return
        parts = parts_of(batch)
        too_many = len(parts) > MOST_PARTS and batch.prefix not in self.sender.unconfirmed
        failures = too_many_parts(batch) if too_many else self._outsource(batch)
        if failures or too_many:
            self._fail(failures)
            self.router.remove(batch.prefix)
            for rest in without(batch, failures):
                self.send(rest)
            return
        self.router.add(batch)
        group = batch.target.group
        if group and group not in self.groups:
            self.subscribe(group)
        self.hold(parts)
        if self.trace is not None:
            self.trace.flushed(batch)
        for frame in self.sender.frames(batch):
            self._write(frame)

    def hold(self, parts: list[Blob]) -> None:
        """Have the service keep these until they are released."""
        fresh = [part for part in parts if part.name not in self._held]
        if fresh:
            self._held.update((part.name, part) for part in fresh)
            self._send_hold(fresh)

    def _send_hold(self, parts: list[Blob]) -> None:
        for at in range(0, len(parts), MOST_PARTS):
            self._write(_encode(Hold(parts[at : at + MOST_PARTS])))

    def release(self, names: Iterable[str]) -> None:
        """Let the service delete parts that nothing here refers to any more."""
        named = []
        for name in names:
            if self._held.pop(name, None) is not None:
                named.append(name)
            elif self.storage is not None:  # the service was never told of it
                self.storage.discard(Blob(name, 0))
        for at in range(0, len(named), MOST_PARTS):
            self._write(_encode(Release(named[at : at + MOST_PARTS])))

    def _outsource(self, batch: CallBatch) -> list[SubmitFailure]:
        """Store bodies that are too large for a frame as blobs."""
        assert self.storage is not None
        failures = []
        for call in batch.calls:
            try:
                if isinstance(call.body, bytes):
                    call.body = self.storage.store(call.body, f"the arguments of {call.function.name}")
                if isinstance(call.function.code, bytes):
                    call.function.code = self.storage.store(
                        call.function.code, f"the function {call.function.name}"
                    )
            except ComputeError as error:
                failures.append(SubmitFailure(call, error))
        return failures

    def retry_postponed(self) -> None:
        """Send again the batches that the service had no room for."""
        batches, self.postponed = self.postponed, []
        for batch in batches:
            self.send(batch)

    def withdraw(self, withdrawal: Withdrawal) -> None:
        """Ask the service not to run tasks that have not begun."""
        cancel = self._withdrawals.ask(withdrawal, self.open_tasks(withdrawal.futures))
        if cancel is not None:
            self._write(_encode(cancel))

    def open_tasks(self, futures: list[ComputeFuture[Any]] | None) -> TaskPositions:
        """Return those of the futures' tasks that have not ended (None: all)."""
        if futures is None:
            return list(self.router.tasks())
        tasks: dict[bytes, list[int]] = {}
        for future in futures:
            place = future.place
            if place is not None and self.router.find(*place) is future:
                tasks.setdefault(place[0], []).append(place[1])
        return list(tasks.items())

    def acknowledge(self) -> None:
        """Acknowledge the results that have reached their futures."""
        for ack in self._acknowledgements.due():
            self._write(_encode(ack))

    @property
    def owes_acknowledgement(self) -> bool:
        """Whether :meth:`acknowledge` has something to send."""
        return self._acknowledgements.owed

    def goodbye(self) -> None:
        """Send the last frames: no more calls will come for this Executor's pool."""
        self.acknowledge()
        self.release(list(self._held))
        if self.pool is not None:
            self._write(_encode(ClosePool(self.pool)))

    # -- in --------------------------------------------------------------------------------------------------

    def receive(self, frame: bytes) -> None:
        """Act on a frame of the service. Raises msgspec.DecodeError for bytes that are none."""
        message = read_frame(frame)
        self._handlers[type(message)](message)

    def accepted(self, answer: Accepted) -> None:
        """Note that a batch is confirmed."""
        self.sender.accepted(answer.prefix)
        self.refusal = None

    def refused(self, answer: Refused) -> None:
        """Handle the refusal of a batch: fail, send again in part, or postpone it."""
        if answer.prefix not in self.sender.unconfirmed:
            return
        refusal = self.sender.refused(answer)
        if refusal.later is not None:
            self.refusal = refusal.error
            self.postponed.append(refusal.later)
            return
        self.router.remove(answer.prefix)
        self._fail(refusal.failures)
        for batch in refusal.again:
            self.send(batch)

    def _output(self, frame: Output) -> None:
        for prefix, position, part in frame.tasks:
            future = self.router.find(prefix, position)
            if future is not None:
                future.wrote(part)
                if self.printer is not None and self.router.expects(prefix, self.pool):
                    self.printer.part((prefix, position), part, future.cell)
            elif self.printer is not None:
                self.printer.late_part((prefix, position), part)

    def ended(self, results: list[Result]) -> None:
        """Put outcomes, into their futures; what the tasks of this program wrote is printed before."""
        if self.printer is not None:
            self.printer.results(
                (result, future.cell)
                for result in results
                if self.router.expects(result.prefix, self.pool)
                and (future := self.router.find(result.prefix, result.position)) is not None
            )
        for result in results:
            self.end(result)

    def _results(self, frame: Results) -> None:
        self.ended(frame.results)
        self.router.read_up_to(frame)
        if self.sender.unconfirmed:
            for prefix in {result.prefix for result in frame.results}:
                self.sender.accepted(prefix)

    def end(self, result: Result) -> None:
        """End the future of one outcome."""
        ours = result.status == BROKEN and self.router.expects(result.prefix, self.pool)
        if ours and container_of(result) is None:
            self._break(PoolBroken(reason_of(result)))
        future = self.router.pop(result.prefix, result.position)
        if future is None:
            return
        if result.output is not None:
            future.wrote(result.output)
        if result.status != CANCELLED or not self._cancelled_here(future, result):
            settle(future, result, self._fetch, self._reading)
        if self.trace is not None:
            self.trace.ended(future, result)

    def _cancelled_here(self, future: ComputeFuture[Any], result: Result) -> bool:
        """Return whether a thread that waits for this cancellation has the future now: the outcome may come before
        the answer to the request."""
        withdrawal = self._withdrawals.by_task(result.prefix, result.position)
        return withdrawal is not None and future.withdrawn(withdrawal.take_callbacks)

    def _hops(self, frame: Hops) -> None:
        if self.trace is not None:
            self.trace.hops(frame)

    def _began(self, frame: Began) -> None:
        for prefix, position, when in frame.tasks:
            future = self.router.find(prefix, position)
            if future is not None:
                future.begin(when)

    def _cancelled(self, answer: Cancelled) -> None:
        withdrawal = self._withdrawals.by_number(answer.request)
        for prefix, positions in answer.tasks:
            self.withdrawn(prefix, positions, withdrawal)
        self._withdrawals.answered(answer.request)

    def withdrawn(
        self, prefix: bytes, positions: Iterable[int], withdrawal: Withdrawal | None = None
    ) -> None:
        """Cancel the futures of tasks that surely will not run; ``withdrawal``: the request that asked for it."""
        callbacks = None if withdrawal is None else withdrawal.take_callbacks
        for position in positions:
            future = self.router.find(prefix, position)
            if future is not None and future.withdrawn(callbacks):
                self.router.pop(prefix, position)

    def _pool_failed(self, frame: PoolFailed) -> None:
        if frame.pool == self.pool:
            self._break(PoolBroken(frame.message))

    def _break(self, error: PoolBroken) -> None:
        if not self.broken:
            self.broken = True
            self._when_broken(error)

    def _goodbye(self, frame: Goodbye) -> None:
        log.info("the service ends: %s", frame.reason)

    def _fetch(self, blob: Blob) -> bytes | memoryview:
        assert self.storage is not None
        return self.storage.fetch(blob)

    def adopt(self, group: bytes, batches: list[CallBatch]) -> list[ComputeFuture[Any]]:
        """Expect the outcomes of tasks that another process submitted, or this one earlier; return the futures of
        those that were not expected already."""
        adopted = [batch for batch in batches if self.router.add(batch)]
        self.router.read_anew(group)
        self.subscribe(group)
        return [future for batch in adopted for future in batch.futures if future is not None]

    # -- giving up -------------------------------------------------------------------------------------------

    def give_up(self, error: ComputeError) -> None:
        """End all open futures: the service cannot be reached, or refuses this client."""
        self.sender.unconfirmed.clear()
        self.postponed.clear()
        for prefix, positions in list(self.router.tasks()):
            for position in positions:
                future = self.router.pop(prefix, position)
                if future is not None:
                    future.fail(about(error, future))
        self._withdrawals.give_up()

    def give_up_postponed(self, error: ComputeError) -> None:
        """End the futures of batches that the service had no room for."""
        for batch in self.postponed:
            self.router.remove(batch.prefix)
            self._fail([SubmitFailure(call, error) for call in batch.calls])
        self.postponed.clear()

    def discard(self, call: Call[Any]) -> None:
        """Delete the file of a call that the service has not accepted, and will not."""
        if self.storage is not None:
            self.storage.discard(call.body)

    def _fail(self, failures: list[SubmitFailure]) -> None:
        for call, error in failures:
            self.discard(call)
            call.future.fail(about(error, call.future))


def _drop_frame(frame: bytes) -> None:
    """Drop a frame while there is no connection: what matters is sent again when there is one."""
