"""Sending a batch: in parts that the service takes, the good tasks of it whatever the bad ones are.

    parts()    by endpoint; by size and count of tasks
    send()     each part; one that is refused is split by function (one that is unknown must not hurt the others),
               one that is too large in halves

A task that is refused gets an id like the others, and its outcome is the refusal: the batch's answer stays in the
order of the batch. Only if nothing at all was taken is the refusal raised.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from compute_executor.errors import ComputeError, InvalidRequest, NotAuthorized, NotFound, PayloadTooLarge
from compute_executor.protocol.ids import new_prefix, task_uuid
from compute_executor.sdk import limits
from compute_executor.sdk.batch import BatchOptions, BatchTask
from compute_executor.sdk.outcome import Outcome, failed
from compute_executor.sdk.wires.wire import BatchPart, SubmitAnswer, Wire

CULPABLE = (InvalidRequest, NotAuthorized, NotFound)
"""Refusals that concern what was sent, so that a smaller part of it may be taken."""


class SubmitReport(NamedTuple):
    """Ids in the order of the tasks; outcomes of those that were refused; the answers to the parts."""

    task_ids: list[str]
    refused: list[Outcome]
    accepted: list[SubmitAnswer]


class _SubmittedPart(NamedTuple):
    """Tasks with their places in the batch."""

    places: Sequence[int]
    tasks: Sequence[BatchTask]


def send(
    wire: Wire, tasks: Sequence[BatchTask], endpoint_id: str | None, options: BatchOptions
) -> SubmitReport:
    """Send the tasks; those without an endpoint of their own to ``endpoint_id``.

    Raises the refusal, or whatever kept the service from answering, if no task was taken.
    """
    sender = _Sender(wire, endpoint_id, options, len(tasks))
    for placed in _parts(wire, tasks):
        sender.send(placed)
    if not sender.accepted and sender.error is not None:
        raise sender.error
    return SubmitReport(sender.task_ids, sender.refused, sender.accepted)


class _Sender:
    """Collects what comes of the parts of one batch."""

    def __init__(self, wire: Wire, endpoint_id: str | None, options: BatchOptions, count: int) -> None:
        self.task_ids = [""] * count
        self.refused: list[Outcome] = []
        self.accepted: list[SubmitAnswer] = []
        self.error: ComputeError | None = None
        self._submit: Callable[[BatchPart], SubmitAnswer] = wire.submit
        self._endpoint_id = endpoint_id
        self._options = options

    def send(self, placed: _SubmittedPart) -> None:
        """Send a part, or its parts."""
        part = BatchPart(placed.tasks[0].endpoint_id or self._endpoint_id, placed.tasks, self._options)
        try:
            answer = self._submit(part)
        except ComputeError as error:
            smaller = _split(placed, error)
            for one in smaller:
                self.send(one)
            if not smaller:
                self._refuse(placed, error)
        else:
            self.accepted.append(answer)
            for place, task_id in zip(placed.places, answer.task_ids, strict=True):
                self.task_ids[place] = task_id

    def _refuse(self, placed: _SubmittedPart, error: ComputeError) -> None:
        self.error = self.error or error
        prefix = new_prefix()
        for position, place in enumerate(placed.places):
            self.task_ids[place] = task_uuid(prefix, position)
            self.refused.append(failed(self.task_ids[place], error, f"{time.time():.7f}"))


def _parts(wire: Wire, tasks: Sequence[BatchTask]) -> Iterator[_SubmittedPart]:
    """Parts of one endpoint each, within the service's limits. Raises PayloadTooLarge for a task that alone is
    over them, before anything is sent."""
    for places in _grouped(tasks, lambda task: task.endpoint_id or ""):
        yield from _within_limits(wire, places, tasks)


def _within_limits(wire: Wire, places: Sequence[int], tasks: Sequence[BatchTask]) -> Iterator[_SubmittedPart]:
    part: list[int] = []
    size = 0
    for place in places:
        more = wire.size(tasks[place])
        limits.check(f"the arguments of task {place}", more, wire.limits.request_bytes)
        if part and (size + more > wire.limits.request_bytes or len(part) == wire.limits.batch_tasks):
            yield _SubmittedPart(part, [tasks[one] for one in part])
            part, size = [], 0
        part.append(place)
        size += more
    yield _SubmittedPart(part, [tasks[one] for one in part])


def _split(placed: _SubmittedPart, error: ComputeError) -> list[_SubmittedPart]:
    """Smaller parts that the service may take; none if there is nothing to be gained."""
    if not isinstance(error, CULPABLE):
        return []
    groups = _grouped(placed.tasks, lambda task: task.function_id)
    if len(groups) == 1:
        if not isinstance(error, PayloadTooLarge) or len(placed.tasks) == 1:
            return []
        middle = len(placed.tasks) // 2
        groups = [list(range(middle)), list(range(middle, len(placed.tasks)))]
    return [
        _SubmittedPart([placed.places[one] for one in some], [placed.tasks[one] for one in some])
        for some in groups
    ]


def _grouped(tasks: Sequence[BatchTask], key: Callable[[BatchTask], str]) -> list[list[int]]:
    """Indices of the tasks, together those with the same key, in the order of their first."""
    groups: dict[str, list[int]] = {}
    for index, task in enumerate(tasks):
        groups.setdefault(key(task), []).append(index)
    return list(groups.values())
