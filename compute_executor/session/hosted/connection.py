"""The connection to a hosted Globus Compute service: submits by HTTP, results by AMQP.

    the I/O thread         takes batches from the queue, registers, submits; requests may block it
    the results thread     session/hosted/results.py: ends futures; there is one only while tasks are open

The service draws the task ids, so a call is known by its future until its submit is answered; `PendingTasks` brings
together answers and results, whichever comes first, under ``lock``, which nobody holds while a future is ended.

Who cancels: calls that have not left are dropped by the session; a task cannot be withdrawn.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from compute_executor.batch import Call, CallBatch, Target, without_ids
from compute_executor.errors import ComputeError, ResultDecodeError
from compute_executor.functions.names import function_name
from compute_executor.future import ComputeFuture
from compute_executor.protocol import frames
from compute_executor.protocol.frames import Body
from compute_executor.protocol.ids import split_task_id
from compute_executor.sdk.ending import ANYTHING, Reading, reading_of
from compute_executor.sdk.http.pacing import Pacer
from compute_executor.sdk.outcome import Outcome
from compute_executor.serialization import exceptions
from compute_executor.serialization.large import Content, Part, whole
from compute_executor.serialization.python_versions import Versions, met
from compute_executor.session.connection import ConnectionOwner
from compute_executor.session.hosted.pending import ExpectedResult, PendingTasks
from compute_executor.session.hosted.results import HostedResults
from compute_executor.session.hosted.submitter import HostedSubmitter
from compute_executor.session.task_errors import about

if TYPE_CHECKING:
    from compute_executor.sdk.client import Client
    from compute_executor.session.storage import Storage
    from compute_executor.session.view import SessionView

log: logging.Logger = logging.getLogger(__name__)


class OpenTasks:
    """Open tasks of one session and how they end: what `stream.protocol` is towards a service of this package."""

    def __init__(self, owner: ConnectionOwner, client: Client) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.pending: PendingTasks = PendingTasks()
        self.group: str = str(uuid.UUID(bytes=owner.settings.group))
        self._owner = owner
        self._versions = Versions()
        self._reading = reading_of(owner.settings.serializer)
        settings = owner.settings
        self.results: HostedResults = HostedResults(
            client, self.group, self, settings.grace, lambda: owner.settings.amqp_port
        )

    # -- out -------------------------------------------------------------------------------------------------

    def taken(self, target: Target, calls: list[Call[Any]], task_ids: list[str]) -> None:
        """Note that these calls are tasks now."""
        for call, task_id in zip(calls, task_ids, strict=True):
            _assign(call.future, task_id)
        group = target.group_id(self.group)
        if target.group:
            self.results.listen_to(group)
        with self.lock:
            early = self._expect(target, group, [call.future for call in calls], task_ids)
            missed = self.pending.missed
            self.results.need()
        for expected, outcome in early:
            self._settle(expected, outcome)
        if missed:
            self.results.fetch(task_ids)

    def refused(self, call: Call[Any], error: ComputeError) -> None:
        """Note that this call will be no task."""
        call.future.fail(about(error, call.future))

    def wait(self, seconds: float) -> bool:
        """Rest before another try; False if nobody waits for it any more."""
        time.sleep(seconds)
        return not self._owner.abandoned

    def adopt_ids(
        self, group: str, target: Target, futures: dict[str, ComputeFuture[Any]]
    ) -> list[ComputeFuture[Any]]:
        """Expect tasks that were submitted elsewhere, or earlier; the futures of those not expected already."""
        with self.lock:
            new = {task_id: one for task_id, one in futures.items() if not self.pending.known(task_id)}
            for task_id, future in new.items():
                _assign(future, task_id)
            early = self._expect(target, group, list(new.values()), list(new))
        self.results.add_group(group)
        for expected, outcome in early:
            self._settle(expected, outcome)
        self.results.fetch(new)
        return list(new.values())

    def _expect(
        self, target: Target, group: str, futures: list[ComputeFuture[Any]], task_ids: list[str]
    ) -> list[tuple[ExpectedResult, Outcome]]:
        """Under the lock. Those that have ended already."""
        early = []
        for future, task_id in zip(futures, task_ids, strict=True):
            expected = ExpectedResult(future, target, group)
            outcome = self.pending.expect(task_id, expected)
            if outcome is not None:
                early.append((expected, outcome))
        return early

    # -- in --------------------------------------------------------------------------------------------------

    def ended(self, outcome: Outcome) -> None:
        """Note that a task has ended. Never raises."""
        with self.lock:
            expected = self.pending.pop(outcome)
        if expected is not None:
            self._settle(expected, outcome)
            if not self.pending.open and self._owner.ending:
                self._owner.queue.wake()

    def _settle(self, expected: ExpectedResult, outcome: Outcome) -> None:
        endpoint = expected.target.endpoint  # none: reloaded by an Executor that has no endpoint
        where = str(uuid.UUID(bytes=endpoint)) if endpoint else "of this task"
        self._versions.check(where, outcome.details)
        settle(expected.future, outcome, self._reading)

    def give_up(self, error: ComputeError) -> None:
        """End all that is open."""
        with self.lock:
            expected = self.pending.clear()
        for one in expected:
            one.future.fail(about(error, one.future))
        self._owner.queue.wake()


class HostedConnection:
    """Connection to a hosted service. Implements `session.connection.Connection`; its I/O thread submits."""

    def __init__(self, owner: ConnectionOwner, client: Client) -> None:
        self._owner = owner
        self._queue = owner.queue
        self._client = client
        self.tasks: OpenTasks = OpenTasks(owner, client)
        self._submitter = HostedSubmitter(
            client.text_wire(), client.register_code, self.tasks, self.tasks.group, owner.settings.grace
        )
        self._submitter.resend_unknown = owner.settings.resend_unknown
        self._pace: tuple[int, float] | None = None
        self._pacer: Pacer | None = None
        self._thread: threading.Thread | None = None

    # -- the I/O thread --------------------------------------------------------------------------------------

    def start(self, waker: socket.socket) -> None:
        """Keep the socket that wakes the I/O thread."""
        self._waker = waker
        self._selector = selectors.DefaultSelector()
        self._selector.register(waker, selectors.EVENT_READ)

    def run(self) -> None:
        """Submit until the session ends."""
        self._thread = threading.current_thread()
        try:
            while not self._finished():
                self._turn()
        except BaseException as error:
            log.exception("the I/O thread of an Executor failed")
            trouble = ComputeError(f"internal error, please report it: {type(error).__name__}: {error}")
            self._owner.fail_waiting(trouble)
            self.tasks.give_up(trouble)
        finally:
            self.tasks.results.end()
            self._selector.close()

    def _finished(self) -> bool:
        owner = self._owner
        return owner.abandoned or (owner.ending and not (self.tasks.pending.open or self._queue.count))

    def _turn(self) -> None:
        for callback in self._queue.callbacks():
            callback()
        batches = self._queue.take(False, 1, without_ids)
        for batch in batches:
            self._submit(batch)
        if batches or self._finished():
            return
        if self._selector.select(self._queue.pause(False, 1)):
            with contextlib.suppress(BlockingIOError):
                while len(self._waker.recv(4096)) == 4096:
                    pass
        self._queue.awake()

    def _submit(self, batch: CallBatch) -> None:
        pace = self._owner.settings.pace
        if pace != self._pace:  # it can be set between two submits
            self._pace, self._pacer = pace, None if pace is None else Pacer(*pace)
        if self._pacer is not None:
            time.sleep(self._pacer.reserve(time.monotonic()))
        self._submitter.post(batch.target, batch.calls)
        with self.tasks.lock:
            self.tasks.pending.forget_early()

    def is_own_thread(self) -> bool:
        """Return whether the caller runs on the thread that submits or on that of the results."""
        return threading.current_thread() is self._thread or self.tasks.results.is_here()

    def forked(self) -> list[ComputeFuture[Any]]:
        """Let go of the parent's selector, in the child of a fork; return the futures that nobody will end here."""
        if self._thread is not None:
            self._selector.close()
        return self.tasks.pending.futures()

    # -- calls -----------------------------------------------------------------------------------------------

    def body(self, content: Content, what: str) -> Body:  # noqa: ARG002 - the interface's
        """Return the arguments as they are: a hosted service stores nothing beside its requests."""
        return whole(content)

    def discard(self, call: Call[Any]) -> None:
        """Do nothing: nothing is stored beforehand."""

    def storage(self) -> Storage | None:
        """Return None: everything travels in the request."""
        return None

    def hold(self, part: Part) -> None:
        """Do nothing: there are no parts."""

    def released(self, name: str) -> None:
        """Do nothing: there are no parts."""

    def send_now(self) -> bool:
        """Return False: a submit is a request here, which blocks."""
        return False

    def assign_ids(self) -> None:
        """Do nothing: the service draws the ids."""

    def withdraw(self, futures: list[ComputeFuture[Any]] | None, *, wait: bool) -> None:
        """Do nothing: Globus Compute has no way to withdraw a task."""

    def cancellable(self, spared: int) -> list[ComputeFuture[Any]]:
        """Return those that have not left, but the oldest ``spared``: nothing else can be cancelled, and finding the
        rest would mean to wait for this thread, which may be in a request, while more leaves."""
        return self._queue.waiting()[max(0, spared - self.tasks.pending.open) :]

    def open_futures(self) -> list[ComputeFuture[Any]]:
        """Return the futures that have not ended, oldest first. One that leaves meanwhile is found in both places."""
        waiting = self._queue.waiting()
        with self.tasks.lock:
            found = self.tasks.pending.futures() + waiting
        return list({id(future): future for future in found}.values())

    # -- beyond calls ----------------------------------------------------------------------------------------

    def register(self, function: Any, code: bytes, description: str) -> str:
        """Register a function; return its id."""
        return self._client.register_code(function_name(function), code, description)

    def reload(
        self,
        group: uuid.UUID,
        view: SessionView,
        known: Mapping[bytes, int],  # noqa: ARG002 - the hosted service has no batches
    ) -> list[ComputeFuture[Any]]:
        """Return futures for a group's tasks that are not open here already."""
        task_ids = self._client.group_tasks(str(group))
        futures = {task_id: view.future() for task_id in task_ids}
        return self.tasks.adopt_ids(str(group), view.target, futures)

    def describe(self) -> tuple[int, str]:
        """Return the number of tasks in flight, and the state of the result queue in a word."""
        return self.tasks.pending.open, self.tasks.results.reconnect.state


def settle(future: ComputeFuture[Any], outcome: Outcome, reading: Reading = ANYTHING) -> None:
    """End ``future`` as ``outcome`` says, read by ``reading``. Never raises."""
    ended = _seconds(outcome.completion_t)
    try:
        if outcome.kind != frames.VALUE:
            future.fail(outcome.exception(reading), ended=ended)
            return
        value = outcome.value(reading)
    except BaseException as trouble:  # unpickling runs the user's code, which may call sys.exit
        future.fail(exceptions.detached(_undecodable(outcome, trouble)), ended=ended)
    else:
        future.finish(value, ended=ended)


def _undecodable(outcome: Outcome, trouble: BaseException) -> ResultDecodeError:
    error = ResultDecodeError(
        f"the outcome of task {outcome.task_id} ({len(outcome.body)} bytes) cannot be read: "
        f"{type(trouble).__name__}: {trouble} {met(outcome.details)}",
        task_id=outcome.task_id,
    )
    error.__cause__ = trouble
    return error


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _assign(future: ComputeFuture[Any], task_id: str) -> None:
    """Let the future know its task: its id is that of a batch of its own."""
    prefix, position = split_task_id(task_id)
    future.assign(prefix, position)
