"""Tasks as messages for stock workers: native bodies become their text forms. Owner: the loop thread."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.errors import InvalidRequest
from compute_executor.protocol.ids import task_uuid
from compute_executor.protocol.resources import stock_specification
from compute_executor.serialization import packing
from compute_executor.service.globus_compute import messages

if TYPE_CHECKING:
    from compute_executor.service.blobs.references import BlobReferences
    from compute_executor.service.scheduling.dispatch import Dispatch
    from compute_executor.service.tasks.functions import Functions

FUNCTIONS = 100
"""Functions whose text is kept, up to some 14 MB each."""


class TaskWriter:
    """Writes the messages."""

    def __init__(self, dispatch: Dispatch, functions: Functions, blobs: BlobReferences) -> None:
        self._dispatch = dispatch
        self._functions = functions
        self._blobs = blobs
        self._texts: OrderedDict[int, str] = OrderedDict()

    def name(self, task: tuple[int, int]) -> str:
        """Return the id of an open task (batch and position) as text; "" if it is not open."""
        batch = self._dispatch.by_number(task[0])
        return task_uuid(batch.prefix, task[1]) if batch is not None else ""

    def message(self, task: Assignment) -> tuple[bytes, dict[str, Any]]:
        """Body and headers. Raises ComputeError for what cannot be said to a stock worker."""
        batch = self._dispatch.by_number(task.batch)
        if batch is None:
            raise InvalidRequest("it has ended already")
        options, task_id = batch.options, task_uuid(batch.prefix, task.position)
        buffer = self._function(task.function) + packing.call_to_text(self._blobs.read(task.body))
        headers = messages.task_headers(
            task_id,
            self._functions.id(task.function),
            stock_specification(options),
            options.result_serializers,
        )
        return messages.task(task_id, buffer), headers

    def _function(self, number: int) -> str:
        text = self._texts.get(number)
        if text is None:
            text = packing.function_to_text(self._blobs.read(self._functions.code(number)))
            while len(self._texts) >= FUNCTIONS:
                self._texts.popitem(last=False)
            self._texts[number] = text
        return text
