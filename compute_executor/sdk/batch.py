"""What ``create_batch`` hands out: calls, serialised when they are added, to be sent together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from compute_executor.errors import InvalidRequest
from compute_executor.sdk.arguments import named, positional
from compute_executor.sdk.names import AnyId, canonical

EncodeCall = Callable[[tuple[Any, ...], dict[str, Any]], bytes]


class BatchTask(NamedTuple):
    """One call. ``endpoint_id`` is None in today's form, which names the endpoint for the whole batch."""

    function_id: str
    endpoint_id: str | None
    payload: bytes


class BatchOptions(NamedTuple):
    """Options of all tasks of a batch. All but ``task_group_id`` are for endpoints of Globus Compute."""

    task_group_id: str | None = None
    resource_specification: dict[str, Any] | None = None
    user_endpoint_config: dict[str, Any] | None = None
    create_queue: bool = False
    result_serializers: list[str] | None = None


class Batch:
    """Collects calls for ``Client.batch_run``. Arguments are serialised by ``add``, so that one that cannot be is
    told where it was passed, and that changing an object afterwards changes nothing."""

    def __init__(self, encode_call: EncodeCall, options: BatchOptions | None = None) -> None:
        self.options = options or BatchOptions()
        self.tasks: list[BatchTask] = []
        self._encode_call = encode_call

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Add a call, in one of two forms.

        The guide's: ``add(*args, endpoint_id=..., function_id=..., **kwargs)``; all but the ids is the task's own.
        Today's: ``add(function_id, args=None, kwargs=None)``, with the endpoint given to ``batch_run``.

        Raises SerializationError for arguments that cannot be bytes, InvalidRequest for ids that are none and
        for ``args`` or ``kwargs`` of today's form that are no sequence or mapping.
        """
        if "endpoint_id" in kwargs:
            self._add_guide_form(args, kwargs)
        else:
            self._add_todays_form(*args, **kwargs)

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[BatchTask]:
        return iter(self.tasks)

    def __repr__(self) -> str:
        return f"<Batch of {len(self.tasks)} tasks>"

    def _add_guide_form(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        endpoint_id = canonical(kwargs.pop("endpoint_id"), "endpoint")
        if "function_id" not in kwargs:
            raise InvalidRequest("function_id is missing: batch.add(*args, endpoint_id=..., function_id=...)")
        function_id = canonical(kwargs.pop("function_id"), "function")
        self.tasks.append(BatchTask(function_id, endpoint_id, self._encode_call(args, kwargs)))

    def _add_todays_form(
        self,
        function_id: AnyId | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        if others or function_id is None:
            raise InvalidRequest(
                "either batch.add(*args, endpoint_id=..., function_id=..., **kwargs) or batch.add(function_id, args, "
                f"kwargs){': no endpoint_id, but ' + ', '.join(others) if others else ': function_id is missing'}"
            )
        payload = self._encode_call(positional(args), named(kwargs))
        self.tasks.append(BatchTask(canonical(function_id, "function"), None, payload))
