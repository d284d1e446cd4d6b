"""Sending a batch in parts that the service takes: its good tasks, whatever its bad ones are (see `splitting`).

A task that is refused gets an id like the others, and its outcome is the refusal: the batch's answer stays in the
order of the batch. Only if nothing at all was taken is the refusal raised.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from compute_executor.errors import ComputeError
from compute_executor.protocol.ids import new_prefix, task_uuid
from compute_executor.sdk import limits
from compute_executor.sdk.batch import BatchOptions, BatchTask
from compute_executor.sdk.outcome import Outcome, failed
from compute_executor.sdk.splitting import grouped, parts, smaller
from compute_executor.sdk.wires.wire import BatchPart, SubmitAnswer, Wire


class SubmitReport(NamedTuple):
    """Ids in the order of the tasks; outcomes of those that were refused; the answers to the parts."""

    task_ids: list[str]
    refused: list[Outcome]
    accepted: list[SubmitAnswer]


class _SubmittedPart(NamedTuple):
    """Tasks with their places in the batch."""

    places: Sequence[int]
    tasks: Sequence[BatchTask]


ResultSerializers = Callable[[str | None], list[str] | None]
"""Gets an endpoint; how it is to write results where the options of a batch do not say so."""


def send(
    wire: Wire,
    tasks: Sequence[BatchTask],
    endpoint_id: str | None,
    options: BatchOptions,
    result_serializers: ResultSerializers = lambda _: None,
) -> SubmitReport:
    """Send the tasks; those without an endpoint of their own to ``endpoint_id``.

    Raises the refusal, or whatever kept the service from answering, if no task was taken.
    """
    sender = _Sender(wire, endpoint_id, options, len(tasks), result_serializers)
    for placed in _parts(wire, tasks):
        sender.send(placed)
    if not sender.accepted and sender.error is not None:
        raise sender.error
    return SubmitReport(sender.task_ids, sender.refused, sender.accepted)


class _Sender:
    """The task ids and refusals of one batch, collected while its parts are submitted."""

    def __init__(
        self,
        wire: Wire,
        endpoint_id: str | None,
        options: BatchOptions,
        count: int,
        result_serializers: ResultSerializers,
    ) -> None:
        self.task_ids = [""] * count
        self.refused: list[Outcome] = []
        self.accepted: list[SubmitAnswer] = []
        self.error: ComputeError | None = None
        self._submit: Callable[[BatchPart], SubmitAnswer] = wire.submit
        self._endpoint_id = endpoint_id
        self._options = options
        self._result_serializers = result_serializers

    def send(self, placed: _SubmittedPart) -> None:
        """Send a part, or its parts."""
        endpoint = placed.tasks[0].endpoint_id or self._endpoint_id
        part = BatchPart(endpoint, placed.tasks, self._options_for(endpoint))
        try:
            answer = self._submit(part)
        except ComputeError as error:
            split = smaller([task.function_id for task in placed.tasks], error)
            for chosen in split:
                self.send(_subset(placed, chosen))
            if not split:
                self._refuse(placed, error)
        else:
            self.accepted.append(answer)
            for place, task_id in zip(placed.places, answer.task_ids, strict=True):
                self.task_ids[place] = task_id

    def _options_for(self, endpoint: str | None) -> BatchOptions:
        chosen = self._options.result_serializers or self._result_serializers(endpoint)
        return self._options._replace(result_serializers=chosen)

    def _refuse(self, placed: _SubmittedPart, error: ComputeError) -> None:
        self.error = self.error or error
        prefix = new_prefix()
        for position, place in enumerate(placed.places):
            self.task_ids[place] = task_uuid(prefix, position)
            self.refused.append(failed(self.task_ids[place], error, f"{time.time():.7f}"))


def _parts(wire: Wire, tasks: Sequence[BatchTask]) -> Iterator[_SubmittedPart]:
    """Yield parts of one endpoint each, within the service's limits. Raises PayloadTooLarge for a task that alone is
    over them, before anything is sent."""
    sizes = [wire.size(task) for task in tasks]
    for place, size in enumerate(sizes):
        limits.check(f"the arguments of task {place}", size, wire.limits.request_bytes)
    whole = _SubmittedPart(range(len(tasks)), tasks)
    for group in grouped([task.endpoint_id for task in tasks]):
        for part in parts([sizes[place] for place in group], wire.limits):
            yield _subset(whole, [group[one] for one in part])


def _subset(placed: _SubmittedPart, chosen: Sequence[int]) -> _SubmittedPart:
    return _SubmittedPart([placed.places[one] for one in chosen], [placed.tasks[one] for one in chosen])
