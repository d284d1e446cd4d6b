"""Sessions with a service that is none of ours: submits by HTTP, results by AMQP.

    the pump's thread      takes batches from the handover, registers, submits; requests may block it
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
from typing import TYPE_CHECKING, Any

from compute_executor.batch import Call, CallBatch, Target
from compute_executor.errors import ComputeError, ResultDecodeError
from compute_executor.future import ComputeFuture
from compute_executor.protocol import frames
from compute_executor.protocol.ids import split_task_id
from compute_executor.sdk.outcome import Outcome
from compute_executor.serialization import exceptions
from compute_executor.serialization.python_versions import Versions, met
from compute_executor.session.hosted.pending import ExpectedResult, PendingTasks
from compute_executor.session.hosted.results import HostedResults
from compute_executor.session.hosted.submitter import HostedSubmitter
from compute_executor.session.stream.protocol import about
from compute_executor.session.withdrawal import Withdrawal

if TYPE_CHECKING:
    from compute_executor.sdk.client import Client
    from compute_executor.session.session import Session

log = logging.getLogger(__name__)


class OpenTasks:
    """The open tasks of one session, and how they end: what `dialogue.Dialogue` is towards a service of ours."""

    def __init__(self, session: Session, client: Client) -> None:
        self.lock = threading.Lock()
        self.waiting = PendingTasks()
        self.group = str(uuid.UUID(bytes=session.settings.group))
        self._handover = session.handover
        self._session = session
        self._versions = Versions()
        self.watcher = HostedResults(client, self.group, self, session.settings.grace)

    # -- out -------------------------------------------------------------------------------------------------

    def taken(self, target: Target, calls: list[Call[Any]], task_ids: list[str]) -> None:
        """These calls are tasks now."""
        for call, task_id in zip(calls, task_ids, strict=True):
            _assign(call.future, task_id)
        with self.lock:
            early = self._expect(target, self.group, [call.future for call in calls], task_ids)
            missed = self.waiting.missed
            self.watcher.need()
        for expected, outcome in early:
            self._settle(expected, outcome)
        if missed:
            self.watcher.fetch(task_ids)

    def refused(self, call: Call[Any], error: ComputeError) -> None:
        """This call will be no task."""
        call.future.fail(about(error, call.future))

    def wait(self, seconds: float) -> bool:
        """Rest before another try; False if nobody waits for it any more."""
        time.sleep(seconds)
        return not self._session.abandoned

    def adopt_ids(
        self, group: str, target: Target, futures: dict[str, ComputeFuture[Any]]
    ) -> list[ComputeFuture[Any]]:
        """Expect tasks that were submitted elsewhere, or earlier; the futures of those not expected already."""
        with self.lock:
            new = {task_id: one for task_id, one in futures.items() if not self.waiting.known(task_id)}
            for task_id, future in new.items():
                _assign(future, task_id)
            early = self._expect(target, group, list(new.values()), list(new))
        self.watcher.add_group(group)
        for expected, outcome in early:
            self._settle(expected, outcome)
        self.watcher.fetch(new)
        return list(new.values())

    def _expect(
        self, target: Target, group: str, futures: list[ComputeFuture[Any]], task_ids: list[str]
    ) -> list[tuple[ExpectedResult, Outcome]]:
        """Under the lock. Those that have ended already."""
        early = []
        for future, task_id in zip(futures, task_ids, strict=True):
            expected = ExpectedResult(future, target, group)
            outcome = self.waiting.expect(task_id, expected)
            if outcome is not None:
                early.append((expected, outcome))
        return early

    @property
    def router(self) -> PendingTasks:
        """Under the name that `dialogue.Dialogue` has for it."""
        return self.waiting

    def withdraw(self, withdrawal: Withdrawal) -> None:
        """Nothing: Globus Compute has no way to withdraw a task."""
        withdrawal.answered.set()

    # -- in --------------------------------------------------------------------------------------------------

    def ended(self, outcome: Outcome) -> None:
        """A task has ended. Never raises."""
        with self.lock:
            expected = self.waiting.pop(outcome)
        if expected is not None:
            self._settle(expected, outcome)
            if not self.waiting.open and self._session.ending:
                self._handover.wake()

    def _settle(self, expected: ExpectedResult, outcome: Outcome) -> None:
        self._versions.check(str(uuid.UUID(bytes=expected.target.endpoint)), outcome.details)
        settle(expected.future, outcome)

    def give_up(self, error: ComputeError) -> None:
        """End all that is open."""
        with self.lock:
            expected = self.waiting.clear()
        for one in expected:
            one.future.fail(about(error, one.future))
        self._handover.wake()


class HostedConnection:
    """The loop of the thread that submits. Attributes belong to it; others read ``dialogue`` and `describe`."""

    def __init__(self, session: Session, waker: socket.socket, client: Client) -> None:
        self.session = session
        self._handover = session.handover
        self.dialogue = OpenTasks(session, client)
        self._posting = HostedSubmitter(
            client.text_wire(),
            client.register_code,
            self.dialogue,
            self.dialogue.group,
            session.settings.grace,
        )
        self._posting.resend_unknown = session.settings.resend_unknown
        self._waker = waker
        self._selector = selectors.DefaultSelector()
        self._selector.register(waker, selectors.EVENT_READ)

    def run(self) -> None:
        """Until the session ends."""
        try:
            while not self._finished():
                self._turn()
        except BaseException as error:
            log.exception("the I/O thread of an Executor failed")
            trouble = ComputeError(f"internal error, please report it: {type(error).__name__}: {error}")
            self.session.give_up_waiting(trouble)
            self.dialogue.give_up(trouble)
        finally:
            self.dialogue.watcher.end()
            self._selector.close()

    def _finished(self) -> bool:
        session = self.session
        if session.abandoned:
            return True
        return session.ending and not (self.dialogue.waiting.open or session.handover.count)

    def _turn(self) -> None:
        for wish in self._handover.wishes():
            wish()
        batches = self._handover.take(False, 1)
        for batch in batches:
            self._post(batch)
        if batches or self._finished():
            return
        if self._selector.select(self._handover.rest(False, 1)):
            with contextlib.suppress(BlockingIOError):
                while len(self._waker.recv(4096)) == 4096:
                    pass
        self._handover.awake()

    def _post(self, batch: CallBatch) -> None:
        self._posting.post(batch.target, batch.calls)
        with self.dialogue.lock:
            self.dialogue.waiting.forget_early()

    def send_now(self) -> bool:
        """Never: a submit here is a request, which blocks."""
        return False

    def forked(self) -> list[ComputeFuture[Any]]:
        """In the child of a fork: the futures that nobody will end here."""
        self._selector.close()
        return self.dialogue.waiting.futures()

    def describe(self) -> tuple[int, str]:
        """Tasks in flight, and the state of the result queue in a word. Any thread."""
        return self.dialogue.waiting.open, self.dialogue.watcher.listener.state


def settle(future: ComputeFuture[Any], outcome: Outcome) -> None:
    """End ``future`` as ``outcome`` says. Never raises."""
    ended = _seconds(outcome.completion_t)
    try:
        if outcome.kind != frames.VALUE:
            future.fail(outcome.exception(), ended=ended)
            return
        value = outcome.value()
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
