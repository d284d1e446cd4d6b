"""What ``create_batch`` hands out: calls, serialised when they are added, to be sent together."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from compute_executor import checks
from compute_executor.errors import InvalidArgument
from compute_executor.sdk.arguments import named, positional
from compute_executor.sdk.names import AnyId, canonical
from compute_executor.sdk.runtime import user_runtime as runtime_of_user
from compute_executor.serialization import packing
from compute_executor.serialize import ComputeSerializer

T = TypeVar("T")
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
    user_runtime: dict[str, Any] | None = None


class BatchOption(Generic[T]):
    """An option of a batch as an attribute of it, which can be set until the batch is run. ``check`` raises TypeError
    for what it cannot be."""

    def __init__(self, name: str, check: Callable[[str, Any], object]) -> None:
        self._name = name
        self._check = check

    def __get__(self, batch: Batch, _: type | None = None) -> T:
        value: T = getattr(batch.options, self._name)
        return value

    def __set__(self, batch: Batch, value: T) -> None:
        if value is not None:
            self._check(self._name, value)
        changed: dict[str, Any] = {self._name: value}
        batch.options = batch.options._replace(**changed)


class Batch:
    """Collects calls for ``Client.batch_run``. Arguments are serialised by ``add``, so that one that cannot be is
    told where it was passed, and that changing an object afterwards changes nothing."""

    def __init__(  # noqa: PLR0917 - the SDK's signature
        self,
        task_group_id: AnyId | None = None,
        resource_specification: dict[str, Any] | None = None,
        user_endpoint_config: dict[str, Any] | None = None,
        request_queue: bool = False,
        serializer: ComputeSerializer | None = None,
        user_runtime: dict[str, Any] | None = None,
        result_serializers: list[str] | None = None,
        *,
        encode_call: EncodeCall | None = None,
    ) -> None:
        """``encode_call``: how the arguments of calls become bytes; by default as the ``serializer`` does it. Raises
        InvalidRequest for a ``task_group_id`` that is none."""
        self.options: BatchOptions = BatchOptions(create_queue=request_queue, user_runtime=user_runtime)
        self.resource_specification = resource_specification
        self.user_endpoint_config = user_endpoint_config
        self.result_serializers = result_serializers
        self.task_group_id = task_group_id
        self.calls: list[BatchTask] = []
        self._encode_call = encode_call or _encoder(serializer or ComputeSerializer())

    @property
    def task_group_id(self) -> uuid.UUID | None:
        """The group of the tasks; None for a new one. It can be set to an id, and to None or "" for a new one."""
        return uuid.UUID(self.options.task_group_id) if self.options.task_group_id else None

    @task_group_id.setter
    def task_group_id(self, value: AnyId | None) -> None:
        chosen = canonical(value, "task group") if value else None
        self.options = self.options._replace(task_group_id=chosen)

    resource_specification: BatchOption[dict[str, Any] | None] = BatchOption(
        "resource_specification", checks.mapping
    )
    user_endpoint_config: BatchOption[dict[str, Any] | None] = BatchOption(
        "user_endpoint_config", checks.mapping
    )
    request_queue: BatchOption[bool] = BatchOption("create_queue", lambda _, value: value)
    result_serializers: BatchOption[list[str] | None] = BatchOption("result_serializers", checks.texts)

    @property
    def user_runtime(self) -> dict[str, Any]:
        """What is told of the caller's Python and this package with the batch. It can be set."""
        return self.options.user_runtime or runtime_of_user()

    @user_runtime.setter
    def user_runtime(self, value: dict[str, Any] | None) -> None:
        self.options = self.options._replace(user_runtime=value)

    @property
    def tasks(self) -> dict[uuid.UUID, list[str]]:
        """The packed text of the arguments of each call, by function. A copy."""
        found: dict[uuid.UUID, list[str]] = {}
        for call in self.calls:
            found.setdefault(uuid.UUID(call.function_id), []).append(packing.call_to_text(call.payload))
        return found

    def prepare(self) -> dict[str, Any]:
        """Return the document with which the batch is submitted to Globus Compute."""
        tasks = {str(function_id): payloads for function_id, payloads in self.tasks.items()}
        options = {
            "task_group_id": self.options.task_group_id,
            "resource_specification": self.resource_specification,
            "user_endpoint_config": self.user_endpoint_config,
            "user_runtime": self.user_runtime,
            "result_serializers": self.result_serializers,
        }
        chosen = {name: value for name, value in options.items() if value}
        return {"create_queue": self.request_queue, "tasks": tasks, **chosen}

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Add a call, in one of two forms.

        The guide's: ``add(*args, endpoint_id=..., function_id=..., **kwargs)``; all but the ids is the task's own.
        Today's: ``add(function_id, args=None, kwargs=None)``, with the endpoint given to ``batch_run``.

        Raises SerializationError for arguments that cannot be bytes, InvalidRequest for ids that are none,
        InvalidArgument, which is a TypeError too, where one is missing and for ``args`` or ``kwargs`` of today's form
        that are no sequence or mapping.
        """
        if "endpoint_id" in kwargs:
            self._add_guide_form(args, kwargs)
        else:
            self._add_current_form(*args, **kwargs)

    def __len__(self) -> int:
        return len(self.calls)

    def __iter__(self) -> Iterator[BatchTask]:
        return iter(self.calls)

    def __repr__(self) -> str:
        return f"<Batch of {len(self.calls)} tasks>"

    def _add_guide_form(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        endpoint_id = canonical(kwargs.pop("endpoint_id"), "endpoint")
        if "function_id" not in kwargs:
            raise InvalidArgument(
                "function_id is missing: batch.add(*args, endpoint_id=..., function_id=...)"
            )
        function_id = canonical(kwargs.pop("function_id"), "function")
        self.calls.append(BatchTask(function_id, endpoint_id, self._encode_call(args, kwargs)))

    def _add_current_form(
        self,
        function_id: AnyId | None = None,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        if others or function_id is None:
            raise InvalidArgument(
                "either batch.add(*args, endpoint_id=..., function_id=..., **kwargs) or batch.add(function_id, args, "
                f"kwargs){': no endpoint_id, but ' + ', '.join(others) if others else ': function_id is missing'}"
            )
        payload = self._encode_call(positional(args), named(kwargs))
        self.calls.append(BatchTask(canonical(function_id, "function"), None, payload))


def _encoder(serializer: ComputeSerializer) -> EncodeCall:
    def encode(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        texts = [serializer.serialize(one) for one in (args, kwargs)]
        return packing.call_from_text(serializer.pack_buffers(texts))

    return encode
