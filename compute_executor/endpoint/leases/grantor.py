"""The grantor's side of a lease: what one holder holds, and the conversation with it while it is connected.

    room -> send -> leased ... Report, TasksReturned -> the engine is told
    report -> (large bodies are fetched) -> passed on -> stored -> Stored

A holder is believed about the tasks that it holds, and about nothing else. Owner: the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from compute_executor.endpoint.leases import frames
from compute_executor.endpoint.leases.bodies import BodyExchange, BodyTrouble
from compute_executor.endpoint.leases.send_list import SendList
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.worker.messages import Key
from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import EXCEPTION, LOST, TIMEOUT, VALUE, Blob, Body, Reason, Written

log: logging.Logger = logging.getLogger(__name__)

FRAME_BYTES = 1024 * 1024
"""Bytes of bodies in one frame of tasks, about: far below the longest frame, and no long wait for others."""

FRAME_TASKS = 1024
"""Tasks in one frame."""

FETCH_AGAIN = 5.0
"""Seconds until a body is asked for again that could not be written here."""

_REPORTED = frozenset({VALUE, EXCEPTION, TIMEOUT, LOST})
_decode_reason = msgspec.msgpack.Decoder(Reason).decode


class GrantedLeases:
    """What one holder holds, over all its connections. ``leased``: (batch, position) to attempt."""

    def __init__(self) -> None:
        self.leased: dict[frames.TaskName, int] = {}

    def holds(self, key: Key) -> bool:
        """Return whether it holds this task at this attempt."""
        return self.leased.get(key[:2]) == key[2]

    def keys(self) -> list[Key]:
        """Return all that it holds."""
        return [(*name, attempt) for name, attempt in self.leased.items()]


class GrantorEvents(Protocol):
    """Who is told what a holder says: an engine."""

    def settled(self, session: GrantorSession) -> None:
        """Note that both sides agree on what the holder holds: it can be given more."""

    def has_credit(self, session: GrantorSession) -> None:
        """Note that it may be given more than before."""

    def began(self, tasks: list[tuple[int, int, int, float]]) -> None:
        """Note that these run."""

    def output(self, tasks: list[tuple[int, int, Written]]) -> None:
        """Pass on what tasks write."""

    def ended(self, session: GrantorSession, outcomes: list[TaskEnded]) -> None:
        """Note that these have ended, and are nobody's any more."""

    def progress(self) -> tuple[int, int]:
        """Return how many outcomes came by now, in all, and how many of these, the first, are stored."""
        ...

    def returned(self, session: GrantorSession, tasks: list[Key]) -> None:
        """Note that these have not begun, and are nobody's any more."""

    def recall_answered(self, session: GrantorSession, request: int) -> None:
        """Note that a Recall is answered."""

    def failed(self, session: GrantorSession, message: str) -> None:
        """Note that no worker can start there; empty: they can again."""

    def state(self, session: GrantorSession, document: dict[str, object]) -> None:
        """Note how it is doing."""

    def leaving(self, session: GrantorSession) -> None:
        """Note that it ends in order."""


class OpenReport:
    """A report of which not everything is stored. ``missing``: outcomes whose bodies are still to come; ``through``:
    how many outcomes in all must be stored before it is."""

    __slots__ = ("missing", "number", "through")

    def __init__(self, number: int, missing: int, through: int) -> None:
        self.number: int = number
        self.missing: int = missing
        self.through: int = through


class GrantorSession:
    """One connection to a holder. ``code``: of a function by its number; ``shared``: what the tasks of a batch share,
    by its number; ``may_keep``: whether a body of this name may be taken from this holder."""

    def __init__(
        self,
        granted: GrantedLeases,
        events: GrantorEvents,
        send: SendList,
        bodies: BodyExchange,
        *,
        code: Callable[[int], Body],
        shared: Callable[[int], Sequence[Blob]] = lambda _: (),
        may_keep: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.granted = granted
        self.frames = send
        self._events = events
        self._bodies = bodies
        self._code = code
        self._shared_by = shared
        self._shared: set[str] = set()  # values that the holder was told of, or has
        self._may_keep = may_keep
        self._named: set[int] = set()  # functions
        self._given = self._limit = 0
        self._told_queued = -1
        self._reports: deque[OpenReport] = deque()
        self.is_settled: bool = False
        self.is_over: bool = False

    def begin(self) -> None:
        """Say what the holder is believed to hold."""
        self.frames.put(frames.Leased(self.granted.keys()))

    def end(self) -> None:
        """Note that the connection is gone. What was leased stays so."""
        self.is_over = True
        self._bodies.close()

    # -- giving -------------------------------------------------------------------------------------------

    def room(self) -> int:
        """Return how many more tasks may be sent now."""
        return self._limit - self._given if self.is_settled and not self.is_over else 0

    def reserve(self, count: int) -> None:
        """So many tasks are about to be sent."""
        self._given += count

    def send(self, tasks: list[Assignment]) -> None:
        """Lease these to the holder and send them; there was room for them."""
        for chunk in _chunks(tasks):
            self._name_functions({task.function for task in chunk})
            for task in chunk:
                self.granted.leased[task.batch, task.position] = task.attempt
                self._announce(task.body)
            self.frames.put(frames.Tasks(chunk, self._name_shared(chunk)))

    def _name_shared(self, tasks: list[Assignment]) -> list[tuple[int, list[Blob]]]:
        found = []
        for batch in {task.batch for task in tasks}:
            if blobs := self._shared_by(batch):
                found.append((batch, list(blobs)))
                self._shared.update(blob.name for blob in blobs)
                for blob in blobs:
                    self._announce(blob)
        return found

    def shared_gone(self, names: Iterable[str]) -> None:
        """Note that these bodies are deleted: the holder need not keep those that are shared values."""
        if gone := [name for name in names if name in self._shared]:
            self._shared.difference_update(gone)
            self.frames.put(frames.SharedDropped(gone))

    def _name_functions(self, numbers: set[int]) -> None:
        if new := numbers - self._named:
            self._named |= new
            functions = [(number, self._code(number)) for number in new]
            for _, code in functions:
                self._announce(code)
            self.frames.put(frames.FunctionCodes(functions))

    def _announce(self, body: Body) -> None:
        if isinstance(body, Blob):
            self._bodies.announce(body)

    def send_queue_length(self, count: int) -> None:
        """Tell how many tasks wait, if that differs much from what was told last."""
        told = self._told_queued
        if told < 0 or (count == 0) != (told == 0) or not told // 2 <= count <= 2 * told:
            self._told_queued = count
            self.frames.put(frames.TasksQueued(count))

    def recall(self, request: int, tasks: list[frames.TaskName]) -> None:
        """Ask for these back."""
        self.frames.put(frames.Recall(request, tasks))

    def stop_tasks(self, tasks: list[frames.TaskName]) -> None:
        """Have the workers ended that run these."""
        self.frames.put(frames.StopTasks(tasks))

    def end_holder(self, *, drain: bool) -> None:
        """Tell the holder's process to end."""
        self.frames.put(frames.EndHolder(drain))

    def stored(self, count: int) -> None:
        """So many outcomes, of all that ever came, are stored."""
        number = 0
        while self._reports and not self._reports[0].missing and self._reports[0].through <= count:
            number = self._reports.popleft().number
        if number:
            self.frames.put(frames.Stored(number))

    # -- receiving ------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Note that a frame has come. Raises InvalidRequest for what cannot be one."""
        try:
            frame = frames.decode_to_grantor(data)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise InvalidRequest(f"a frame of an endpoint cannot be read: {error}") from None
        _HANDLERS[type(frame)](self, frame)

    def _on_settled(self, _: frames.Settled) -> None:
        self.is_settled = True
        self._events.settled(self)

    def _on_credit(self, frame: frames.CreditLimit) -> None:
        self._limit = frame.limit
        if self.room() > 0:
            self._events.has_credit(self)

    def _on_began(self, frame: frames.TasksBegan) -> None:
        self._events.began([task for task in frame.tasks if self.granted.holds(task[:3])])

    def _on_output(self, frame: frames.TaskWritten) -> None:
        self._events.output([task for task in frame.tasks if task[:2] in self.granted.leased])

    def _on_returned(self, frame: frames.TasksReturned) -> None:
        self._events.returned(self, self._release(frame.tasks))

    def _release(self, keys: Iterable[Key]) -> list[Key]:
        """Return those of the tasks that it held; it holds them no more."""
        held = [key for key in keys if self.granted.holds(key)]
        for key in held:
            self.granted.leased.pop(key[:2], None)
        return held

    def _on_report(self, frame: frames.Report) -> None:
        if any(one.status not in _REPORTED for one in frame.outcomes):
            raise InvalidRequest(f"report {frame.number} has an outcome of a kind that no endpoint reports")
        held = [one for one in frame.outcomes if self.granted.holds((one.batch, one.position, one.attempt))]
        whole = [one for one in held if not isinstance(one.body, Blob)]
        missing = [one for one in held if isinstance(one.body, Blob)]
        report = OpenReport(frame.number, len(missing), 0)
        self._reports.append(report)
        self._pass_on(whole, report)
        for outcome in missing:
            self._fetch(outcome, report)
        self.stored(self._events.progress()[1])

    def _pass_on(self, outcomes: list[TaskEnded], report: OpenReport) -> None:
        self._release((one.batch, one.position, one.attempt) for one in outcomes)
        self._events.ended(self, outcomes)
        report.through = self._events.progress()[0]

    def _fetch(self, outcome: TaskEnded, report: OpenReport) -> None:
        """Pass an outcome on when its body is here."""
        body = outcome.body
        assert isinstance(body, Blob)
        if not self._may_keep(body.name):
            raise InvalidRequest(f"a result is said to be in body {body.name}, which is not the endpoint's")

        def came(trouble: BodyTrouble | None) -> None:
            if trouble is not None and trouble.here:
                log.warning("a result waits at its endpoint: %s", trouble.text)
                asyncio.get_running_loop().call_later(FETCH_AGAIN, self._fetch_again, outcome, report)
                return
            whole = outcome if trouble is None else _without_body(outcome, body, trouble)
            report.missing -= 1
            self._pass_on([whole], report)
            self.stored(self._events.progress()[1])

        self._bodies.fetch(body, came)

    def _fetch_again(self, outcome: TaskEnded, report: OpenReport) -> None:
        if not self.is_over:
            self._fetch(outcome, report)

    def _on_recalled(self, frame: frames.Recalled) -> None:
        self._events.recall_answered(self, frame.request)

    def _on_failed(self, frame: frames.WorkersFailed) -> None:
        self._events.failed(self, frame.message)

    def _on_state(self, frame: frames.HolderState) -> None:
        self._events.state(self, frame.document)

    def _on_leaving(self, _: frames.Leaving) -> None:
        self._events.leaving(self)

    def _on_shared_held(self, frame: frames.SharedHeld) -> None:
        self._shared.update(frame.names)
        self.shared_gone([name for name in frame.names if not self._bodies.has(name)])

    def _on_body_wanted(self, frame: frames.BodyWanted) -> None:
        self._bodies.wanted(frame)

    def _on_body_part(self, frame: frames.BodyPart) -> None:
        self._bodies.part(frame)


def _without_body(outcome: TaskEnded, body: Blob, trouble: BodyTrouble) -> TaskEnded:
    """Return the outcome of a task whose result is gone."""
    text = f"the result of {body.size} bytes did not come from the endpoint: {trouble.text}"
    return outcome._replace(status=LOST, body=frames.encode(Reason(text)))


def reason_of(outcome: TaskEnded) -> Reason:
    """Return why a task was lost."""
    try:
        return _decode_reason(outcome.body) if isinstance(outcome.body, bytes) else Reason("its worker died")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Reason("its worker died, and its endpoint does not say how")


def _chunks(tasks: list[Assignment]) -> Iterable[list[Assignment]]:
    """Yield the tasks in groups that fit one frame each."""
    chunk: list[Assignment] = []
    size = 0
    for task in tasks:
        size += len(task.body) if isinstance(task.body, bytes) else 0
        if chunk and (size > FRAME_BYTES or len(chunk) >= FRAME_TASKS):
            yield chunk
            chunk, size = [], 0
        chunk.append(task)
    if chunk:
        yield chunk


_HANDLERS: dict[type, Callable[[GrantorSession, Any], None]] = {
    frames.Settled: GrantorSession._on_settled,
    frames.CreditLimit: GrantorSession._on_credit,
    frames.TasksBegan: GrantorSession._on_began,
    frames.TaskWritten: GrantorSession._on_output,
    frames.TasksReturned: GrantorSession._on_returned,
    frames.Report: GrantorSession._on_report,
    frames.Recalled: GrantorSession._on_recalled,
    frames.WorkersFailed: GrantorSession._on_failed,
    frames.HolderState: GrantorSession._on_state,
    frames.Leaving: GrantorSession._on_leaving,
    frames.SharedHeld: GrantorSession._on_shared_held,
    frames.BodyWanted: GrantorSession._on_body_wanted,
    frames.BodyPart: GrantorSession._on_body_part,
}
