"""Speaking as a stock SDK does: JSON, packed text buffers, dill. Globus Compute understands nothing else.

That service cannot recognise a submit that comes twice, so one whose outcome is unknown is not sent again:
the session raises SubmitOutcomeUnknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from compute_executor.errors import ComputeError, InvalidRequest, NotFound
from compute_executor.sdk import outcome as outcomes
from compute_executor.sdk.batch import BatchTask
from compute_executor.sdk.http.requests import ApiClient
from compute_executor.sdk.http.transport import field, mapping
from compute_executor.sdk.limits import HOSTED, RequestLimits
from compute_executor.sdk.outcome import Outcome
from compute_executor.sdk.runtime import user_runtime
from compute_executor.sdk.service_warnings import tell_warning
from compute_executor.sdk.wires.wire import BatchPart, SubmitAnswer, chunks
from compute_executor.serialization import carrier, packing, strategies

_QUOTES_AND_COMMA = 3
_BASE64_LINE = 57
"""Bytes that a line of base64 holds."""
_BUFFERS = 256
"""Bytes around the two buffers of a native call, at most: their lengths and methods, and a line begun for each."""
_DOCUMENT = 4096
"""Bytes of a submit besides its payloads: mostly ``user_runtime``, about 1.2 kB."""


class TextWire:
    """The stock way. Any thread may use it."""

    limits: RequestLimits = HOSTED._replace(request_bytes=HOSTED.request_bytes - _DOCUMENT)

    def __init__(self, session: ApiClient) -> None:
        self._session = session

    def encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """``pack([args, kwargs])``, as bytes."""
        return strategies.dumps_call(args, kwargs).encode()

    def packed_call(self, packed: str) -> bytes:
        """Return the text."""
        return packed.encode()

    def function_text(self, function: Callable[..., Any]) -> str:
        """``pack([function])``, wrapped so that its exceptions come back as themselves."""
        return strategies.dumps_function(carrier.carrying(function))

    def size(self, task: BatchTask) -> int:
        """Return the bytes in the JSON: a newline is two there, and base64 has one after 76 characters."""
        payload = task.payload
        if packing.is_text(payload):
            return len(payload) + payload.count(b"\n") + _QUOTES_AND_COMMA
        return -(-len(payload) // _BASE64_LINE) * (_BASE64_LINE * 4 // 3 + 2) + _BUFFERS

    def submit(self, part: BatchPart) -> SubmitAnswer:
        """Hand in the tasks as one document."""
        if part.endpoint_id is None:
            raise InvalidRequest(
                "endpoint_id is missing: this service has no endpoint of its own to run tasks on"
            )
        by_function: dict[str, list[str]] = defaultdict(list)
        for task in part.tasks:
            by_function[task.function_id].append(packing.call_to_text(task.payload))
        runtime = part.options.user_runtime or user_runtime()
        document = {"tasks": by_function, "user_runtime": runtime, **_options(part)}
        answer = self._session.post(f"/v3/endpoints/{part.endpoint_id}/submit", document, repeatable=False)
        tell_warning(answer)
        return SubmitAnswer(_in_order(part.tasks, answer), *_names(answer, part))

    def outcome(self, task_id: str) -> Outcome:
        """Return how a task stands. Raises NotFound."""
        return outcomes.of_document(task_id, self._session.get(f"/v2/tasks/{task_id}"))

    def outcomes(self, task_ids: Sequence[str]) -> dict[str, Outcome]:
        """Return how these tasks stand. Ones that the service leaves out of its answer are not there for this
        caller."""
        found: dict[str, Outcome] = {}
        for some in chunks(task_ids, self.limits.status_tasks):
            answer = self._session.post("/v2/batch_status", {"task_ids": list(some)})
            documents = mapping(field(answer, "results"))
            for task_id in some:
                found[task_id] = _outcome(task_id, documents.get(task_id))
        return found

    def cancel(self, task_ids: Sequence[str]) -> set[str]:  # noqa: ARG002 - the interface's
        """Nothing: Globus Compute has no way to withdraw a task."""
        return set()


def _options(part: BatchPart) -> dict[str, Any]:
    """Return the options that are set; the service's own default holds for the others."""
    options = part.options
    document = {
        "task_group_id": options.task_group_id,
        "resource_specification": options.resource_specification,
        "user_endpoint_config": options.user_endpoint_config,
        "result_serializers": options.result_serializers,
    }
    chosen: dict[str, Any] = {name: value for name, value in document.items() if value is not None}
    return {"create_queue": options.create_queue, **chosen}


def _in_order(tasks: Sequence[BatchTask], answer: Any) -> list[str]:
    """Ids in the order of the tasks, out of an answer that has them by function."""
    try:
        given = {str(name): iter([str(one) for one in ids]) for name, ids in answer["tasks"].items()}
        return [next(given[task.function_id]) for task in tasks]
    except (KeyError, TypeError, AttributeError, StopIteration):
        raise ComputeError(
            f"the service took {len(tasks)} tasks but named other ones in its answer, so they cannot be followed"
        ) from None


def _names(answer: dict[str, Any], part: BatchPart) -> tuple[str, str, str]:
    group_id = str(answer.get("task_group_id", part.options.task_group_id or ""))
    return group_id, str(answer.get("request_id", "")), str(answer.get("endpoint_id", part.endpoint_id))


def _outcome(task_id: str, document: dict[str, Any] | None) -> Outcome:
    if document is None:
        return outcomes.failed(
            task_id, NotFound(f"there is no task {task_id} for you", task_id=task_id), "unknown"
        )
    return outcomes.of_document(task_id, document)
