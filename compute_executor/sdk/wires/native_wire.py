"""The wire to a service of this package: msgpack frames, payloads as they are, exceptions as themselves.

The client draws the task ids, so they are known before a batch is sent, and a batch sent twice is recognised by its
prefix. Bodies over frames.INLINE_LIMIT travel as blobs beside it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from compute_executor.errors import NotFound
from compute_executor.protocol import frames
from compute_executor.protocol.ids import by_batch, each_task, new_prefix, split_task_id, task_uuid
from compute_executor.protocol.submit import build_submit, endpoint_options
from compute_executor.sdk import outcome as outcomes
from compute_executor.sdk.batch import BatchTask
from compute_executor.sdk.http.requests import ApiClient
from compute_executor.sdk.http.transport import field, mapping
from compute_executor.sdk.limits import OWN, RequestLimits
from compute_executor.sdk.login_manager.environments import TUTORIAL_ENDPOINT
from compute_executor.sdk.outcome import Outcome
from compute_executor.sdk.own_api import OwnApi
from compute_executor.sdk.runtime import user_runtime
from compute_executor.sdk.wires.wire import BatchPart, SubmitAnswer, chunks
from compute_executor.serialization import native, packing, stock

_TASK_FRAME = 16
"""Bytes of msgpack around the body of a task, at most."""


class NativeWire:
    """The native way. Any thread may use it."""

    limits: RequestLimits = OWN

    def __init__(self, session: ApiClient) -> None:
        self._session = session
        self._api = OwnApi(session)
        self._group = uuid.uuid4()

    def encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return a native call payload."""
        return native.dumps_call(args, kwargs)

    def packed_call(self, packed: str) -> bytes:
        """Return a native payload where there is one for it, else the text."""
        return packing.call_from_text(packed)

    def function_text(self, function: Callable[..., Any]) -> str:
        """Return a stream that workers of either kind read, in a stock buffer: the service takes it out again."""
        return packing.function_to_text(stock.dumps_for_all(function))

    def size(self, task: BatchTask) -> int:
        """Return the bytes in the frame; a large body is not in it."""
        return _TASK_FRAME + min(len(task.payload), frames.INLINE_LIMIT)

    def submit(self, part: BatchPart) -> SubmitAnswer:
        """Hand in the tasks as one frame."""
        group = uuid.UUID(part.options.task_group_id) if part.options.task_group_id else self._group
        own = part.endpoint_id in (None, TUTORIAL_ENDPOINT)
        frame = build_submit(
            [(uuid.UUID(task.function_id).bytes, self._body(task.payload)) for task in part.tasks],
            prefix=new_prefix(),
            group=group.bytes,
            endpoint=b"" if own else uuid.UUID(part.endpoint_id).bytes,
            pool=None,
            options=endpoint_options(
                resource_specification=part.options.resource_specification,
                user_endpoint_config=part.options.user_endpoint_config,
                result_serializers=part.options.result_serializers,
                user_runtime=None if own else part.options.user_runtime or user_runtime(),
            ),
            parts=[],
        )
        self._api.submit(frame)
        task_ids = [task_uuid(frame.prefix, position) for position in range(frame.count)]
        return SubmitAnswer(
            task_ids, str(group), task_uuid(frame.prefix, 0xFFFFFFFF), part.endpoint_id or TUTORIAL_ENDPOINT
        )

    def outcome(self, task_id: str) -> Outcome:
        """Return how a task stands. Raises NotFound."""
        found = self._api.poll(by_batch([split_task_id(task_id)]))
        if found:
            return self._ended(task_id, found[0])
        return _open(task_id, self._session.get(f"/v2/tasks/{task_id}"))

    def outcomes(self, task_ids: Sequence[str]) -> dict[str, Outcome]:
        """Return how these tasks stand: ended ones with their bodies, the others by their status word."""
        found: dict[str, Outcome] = {}
        for some in chunks(task_ids, self.limits.status_tasks):
            for result in self._api.poll(by_batch(map(split_task_id, some))):
                task_id = task_uuid(result.prefix, result.position)
                found[task_id] = self._ended_or_unknown(task_id, result)
        open_ids = [task_id for task_id in task_ids if task_id not in found]
        for some in chunks(open_ids, self.limits.status_tasks):
            documents = field(self._session.post("/v2/batch_status", {"task_ids": list(some)}), "results")
            found.update((task_id, _open(task_id, field(documents, task_id))) for task_id in some)
        return found

    def cancel(self, task_ids: Sequence[str]) -> set[str]:
        """Withdraw tasks; those that surely do not run."""
        withdrawn = self._api.cancel(by_batch(map(split_task_id, task_ids)))
        return {task_uuid(prefix, position) for prefix, position in each_task(withdrawn)}

    def _body(self, payload: bytes) -> frames.Body:
        if len(payload) <= frames.INLINE_LIMIT:
            return payload
        name = os.urandom(16).hex()
        self._api.put_blob(name, payload)
        return frames.Blob(name, len(payload))

    def _ended(self, task_id: str, result: frames.Result) -> Outcome:
        """Return the outcome, with its body fetched. Raises NotFound: the service answers about a task that it does
        not know as about one that was lost in no attempt, so that nobody waits for it."""
        body = result.body if isinstance(result.body, bytes) else self._api.get_blob(result.body)
        if result.status == frames.LOST:
            reason = msgspec.msgpack.decode(body, type=frames.Reason)
            if reason.attempts == 0:
                raise NotFound(reason.message, task_id=task_id)
        return outcomes.of_result(task_id, result, body)

    def _ended_or_unknown(self, task_id: str, result: frames.Result) -> Outcome:
        try:
            return self._ended(task_id, result)
        except NotFound as error:
            return outcomes.failed(task_id, error, f"{result.ended:.7f}")


def _open(task_id: str, document: dict[str, Any]) -> Outcome:
    """Return a task that had not ended when it was polled. If it has by now, the next question tells how."""
    status = str(mapping(document).get("status", outcomes.WAITING))
    return outcomes.pending(
        task_id, outcomes.RUNNING if status in (outcomes.SUCCESS, outcomes.FAILED) else status
    )
