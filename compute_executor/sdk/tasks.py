"""The Client's methods about tasks: running, asking how they stand, results, batches, withdrawing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

from compute_executor.errors import InvalidRequest
from compute_executor.sdk import sending
from compute_executor.sdk.batch import Batch, BatchOptions, BatchTask
from compute_executor.sdk.calls import Calls
from compute_executor.sdk.names import AnyId, canonical
from compute_executor.sdk.outcome import Outcome


class TaskCalls(Calls):
    """Part of Client."""

    def run(self, *args: Any, function_id: AnyId, endpoint_id: AnyId | None = None, **kwargs: Any) -> str:
        """Run a registered function with these arguments; the task's id.

        Without ``endpoint_id`` on the endpoint of one's own service; an endpoint of this package can be named.
        Raises NotFound for a function or endpoint that is not there for the caller, SerializationError or
        PayloadTooLarge for arguments that cannot travel.
        """
        payload = self._encode_call(args, kwargs)
        task = BatchTask(canonical(function_id, "function"), self._endpoint(endpoint_id), payload)
        return sending.send(self._wire, [task], None, BatchOptions(), self._result_serializers).task_ids[0]

    def get_task(self, task_id: AnyId) -> dict[str, Any]:
        """Return how a task stands: ``{"pending": True, "status": ...}``, or with its result or exception once ended.

        Raises NotFound for a task that is not the caller's.
        """
        return self._outcome(canonical(task_id, "task")).document(self._reading)

    def get_result(self, task_id: AnyId) -> Any:
        """Return the result of a task.

        Raises the exception that the function raised; TaskPending, whose ``status`` says how it stands, before it
        has ended; TaskExecutionFailed where only the exception's text is known; WorkerLost, TaskTimeout,
        TaskCancelled for a task that ended without an outcome of its own; NotFound.
        """
        return self._outcome(canonical(task_id, "task")).value(self._reading)

    def create_batch(
        self,
        task_group_id: AnyId | None = None,
        resource_specification: dict[str, Any] | None = None,
        user_endpoint_config: dict[str, Any] | None = None,
        create_websocket_queue: bool = False,
        result_serializers: list[str] | None = None,
    ) -> Batch:
        """Return a batch to add calls to. All but ``task_group_id`` are for endpoints of Globus Compute."""
        return Batch(
            task_group_id,
            resource_specification,
            user_endpoint_config,
            create_websocket_queue,
            result_serializers=result_serializers,
            encode_call=self._encode_call,
        )

    @overload
    def batch_run(self, endpoint_id: AnyId, batch: Batch) -> dict[str, Any]: ...

    @overload
    def batch_run(self, endpoint_id: Batch) -> list[str]: ...

    def batch_run(self, endpoint_id: AnyId | Batch, batch: Batch | None = None) -> list[str] | dict[str, Any]:
        """Send a batch, in one of two forms.

        The guide's: ``batch_run(batch)``; ids of the tasks in the order of the batch. Today's:
        ``batch_run(endpoint_id, batch)``; a dict with ``tasks`` (ids by function), ``task_group_id``,
        ``request_id`` and ``endpoint_id``.

        Tasks that the service refuses have ids too; asking for their results raises the refusal. If it takes none,
        the refusal is raised here. Raises InvalidRequest for an empty batch, and for options that the endpoint does
        not keep.
        """
        if isinstance(endpoint_id, Batch):
            return self._send(endpoint_id, None).task_ids
        if batch is None:
            raise InvalidRequest("either batch_run(batch) or batch_run(endpoint_id, batch)")
        chosen = self._endpoint(endpoint_id)
        assert chosen is not None
        return _todays_answer(batch, self._send(batch, chosen), chosen)

    def get_batch_result(self, task_id_list: Iterable[AnyId]) -> dict[str, dict[str, Any]]:
        """Return how these tasks stand, by id, in the order asked: pending ones with their status word, ended ones
        with ``result`` or ``exception`` and ``completion_t``. Failed ones are not left out."""
        if isinstance(task_id_list, str) or not isinstance(task_id_list, Iterable):
            raise InvalidRequest(f"a list of task ids is needed, not {task_id_list!r:.100}")
        task_ids = list(dict.fromkeys(canonical(task_id, "task") for task_id in task_id_list))
        found = self._outcomes(task_ids)
        return {task_id: found[task_id].document(self._reading) for task_id in task_ids}

    def cancel_task(self, task_id: AnyId) -> bool:
        """Withdraw a task that has not begun. True if it surely will not run; False if it runs, has ended, or the
        service cannot withdraw tasks (Globus Compute)."""
        canonical_id = canonical(task_id, "task")
        return canonical_id in self._wire.cancel([canonical_id])

    def _send(self, batch: Batch, endpoint_id: str | None) -> sending.SubmitReport:
        if not len(batch):
            raise InvalidRequest("the batch holds no tasks; add some with batch.add(...)")
        for endpoint in {task.endpoint_id or endpoint_id for task in batch}:
            self._check_kept(endpoint, batch.options)
        sent = sending.send(self._wire, batch.calls, endpoint_id, batch.options, self._result_serializers)
        for outcome in sent.refused:
            self._results.put(outcome)
        return sent

    def _outcome(self, task_id: str) -> Outcome:
        outcome = self._results.get(task_id)
        if outcome is None:
            outcome = self._wire.outcome(task_id)
            self._keep(outcome)
        return outcome

    def _outcomes(self, task_ids: Sequence[str]) -> dict[str, Outcome]:
        """From the results of this session, and for the others from the service."""
        found = {
            task_id: outcome for task_id in task_ids if (outcome := self._results.get(task_id)) is not None
        }
        asked = [task_id for task_id in task_ids if task_id not in found]
        if asked:
            answered = self._wire.outcomes(asked)
            for outcome in answered.values():
                self._keep(outcome)
            found.update(answered)
        return found

    def _keep(self, outcome: Outcome) -> None:
        """Keep what the service has answered; warn if workers of Globus Compute have other versions."""
        self._results.put(outcome)
        if outcome.details:
            self._versions.check(str(outcome.details.get("endpoint_id", "of this task")), outcome.details)


def _todays_answer(batch: Batch, sent: sending.SubmitReport, endpoint_id: str) -> dict[str, Any]:
    by_function: dict[str, list[str]] = {}
    for task, task_id in zip(batch.calls, sent.task_ids, strict=True):
        by_function.setdefault(task.function_id, []).append(task_id)
    first = sent.accepted[0]
    return {
        "request_id": first.request_id,
        "task_group_id": first.task_group_id,
        "endpoint_id": endpoint_id,
        "tasks": by_function,
    }
