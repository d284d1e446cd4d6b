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
from compute_executor.endpoint.leases.credit import MOST
from compute_executor.endpoint.leases.send_list import ROOM, SendList
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.endpoint.worker.messages import Key
from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import EXCEPTION, LOST, TIMEOUT, VALUE, Blob, Body, Reason, Written
from compute_executor.protocol.plain import check_free_fields

log: logging.Logger = logging.getLogger(__name__)

FRAME_BYTES = 1024 * 1024
"""Bytes of bodies in one frame of tasks, about: far below the longest frame, and no long wait for others."""

FRAME_TASKS = 1024
"""Tasks in one frame."""

FETCH_AGAIN = 5.0
"""Seconds until a body is asked for again that could not be written here."""

MOST_HELD = 4 * MOST
"""Tasks that a holder may have at once, whatever it asks for: some times what one of ours does."""

MOST_UNREAD = 64 * 1024 * 1024
"""Bytes that may wait for a holder that does not read: its connection ends. Far beyond `send_list.ROOM` and what is
taken at once."""

MOST_INLINE = 1024 * 1024
"""Bytes of a body, or of the end of what a task has written, that come in a report itself: some times what workers
put there. A client must be able to read them in one frame."""

STATE_BYTES = 64 * 1024
"""Of what a holder tells of itself now and then, which is kept and shown in lists."""

SHARED_NAMES = 20_000
"""Shared values that a holder may have from earlier connections: each is looked for."""

LATEST = 1e11
"""Unix time in the year 5138. Beyond it, and before 0, there is none that a reader could show as a date."""

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
        self._told_trouble = False
        self._under_way = 0  # reserved and not sent yet
        self._fetching: set[Key] = set()  # tasks whose results are still to come
        send.drained = self._has_room
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
        """Return how many more tasks may be sent now: none while the holder does not read what was sent."""
        if not self.is_settled or self.is_over or self.frames.size > ROOM:
            return 0
        return min(self._limit - self._given, MOST_HELD - len(self.granted.leased) - self._under_way)

    def _has_room(self) -> None:
        if self.room() > 0:
            self._events.has_credit(self)

    def reads(self) -> bool:
        """Return whether the holder reads what it is sent, as far as can be told."""
        return self.frames.size <= MOST_UNREAD

    def reserve(self, count: int) -> None:
        """So many tasks are about to be sent; if negative, so many are not sent after all."""
        self._given += count
        self._under_way += count

    def send(self, tasks: list[Assignment]) -> None:
        """Lease these to the holder and send them; there was room for them."""
        self._under_way -= len(tasks)
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
        """Note that a frame has come. Raises InvalidRequest for what cannot be one, and if answers wait that are not
        read."""
        if not self.reads():
            raise InvalidRequest(f"{self.frames.size} bytes wait for this endpoint, which does not read them")
        try:
            frame = frames.decode_to_grantor(data)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise InvalidRequest(f"a frame of an endpoint cannot be read: {error}") from None
        if isinstance(frame, frames.HolderState) and len(data) > STATE_BYTES:
            raise InvalidRequest(
                f"the state of an endpoint has {len(data)} bytes, where there is room for {STATE_BYTES}"
            )
        _HANDLERS[type(frame)](self, frame)

    def _on_settled(self, _: frames.Settled) -> None:
        self.is_settled = True
        self._events.settled(self)

    def _on_credit(self, frame: frames.CreditLimit) -> None:
        self._limit = frame.limit
        self._has_room()

    def _on_began(self, frame: frames.TasksBegan) -> None:
        self._events.began(
            [(*task[:3], _time(task[3])) for task in frame.tasks if self.granted.holds(task[:3])]
        )

    def _on_output(self, frame: frames.TaskWritten) -> None:
        written = [task for task in frame.tasks if task[:2] in self.granted.leased]
        for _, _, part in written:
            _check_size(sum(map(len, part.streams())))
        self._events.output(written)

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
        news: dict[Key, TaskEnded] = {}
        for one in frame.outcomes:
            if self._is_new(one[:3]):
                news.setdefault(one[:3], _checked(one))
        held = list(news.values())
        if not held and self._reports:  # what it tells again waits here already
            self._reports[-1].number = frame.number
            return
        whole = [one for one in held if not isinstance(one.body, Blob)]
        missing = [one for one in held if isinstance(one.body, Blob)]
        report = OpenReport(frame.number, len(missing), 0)
        self._reports.append(report)
        self._pass_on(whole, report)
        for outcome in missing:
            self._fetch(outcome, report)
        self.stored(self._events.progress()[1])

    def _is_new(self, key: Key) -> bool:
        """Return whether it holds this task and has not said yet how it ended."""
        return self.granted.holds(key) and key not in self._fetching

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
        self._fetching.add(outcome[:3])

        def came(trouble: BodyTrouble | None) -> None:
            if trouble is not None and trouble.here:
                if not self._told_trouble:  # once: there may be many, again and again
                    log.warning("results wait at their endpoint: %s", trouble.text)
                self._told_trouble = True
                asyncio.get_running_loop().call_later(FETCH_AGAIN, self._fetch_again, outcome, report)
                return
            whole = outcome if trouble is None else _without_body(outcome, body, trouble)
            self._told_trouble = False
            self._fetching.discard(outcome[:3])
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
        check_free_fields(frame)
        self._events.state(self, frame.document)

    def _on_leaving(self, _: frames.Leaving) -> None:
        self._events.leaving(self)

    def _on_shared_held(self, frame: frames.SharedHeld) -> None:
        room = max(0, SHARED_NAMES - len(self._shared))
        known, others = frame.names[:room], frame.names[room:]
        self._shared.update(known)
        self.shared_gone([name for name in known if not self._bodies.has(name)])
        if others:
            self.frames.put(frames.SharedDropped(others))

    def _on_body_wanted(self, frame: frames.BodyWanted) -> None:
        self._bodies.wanted(frame)

    def _on_body_part(self, frame: frames.BodyPart) -> None:
        self._bodies.part(frame)


def _time(said: float) -> float:
    """Return a Unix time that a holder says; 0.0, which is none, for what nobody could store or show (NaN too)."""
    return said if 0.0 <= said < LATEST else 0.0


def _check_size(size: int) -> None:
    if size > MOST_INLINE:
        raise InvalidRequest(
            f"{size} bytes of one task are in a frame, where there is room for {MOST_INLINE}"
        )


def _checked(outcome: TaskEnded) -> TaskEnded:
    """Return an outcome with times that are some. Raises InvalidRequest for one that is too large."""
    output, body = outcome.output, outcome.body
    size = len(body) if isinstance(body, bytes) else 0
    size += sum(map(len, output.streams())) if output is not None else 0
    _check_size(size)
    if 0.0 <= outcome.began < LATEST and 0.0 <= outcome.ended < LATEST:
        return outcome
    return outcome._replace(began=_time(outcome.began), ended=_time(outcome.ended))


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
