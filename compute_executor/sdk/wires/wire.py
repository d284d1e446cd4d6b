"""The two ways of speaking to a compute service, as one interface.

`native_wire` is for services of our own: payloads as they are, ids drawn here, submits recognised when repeated.
`text_wire` is what every service of this API understands, Globus Compute's own among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from compute_executor.sdk.batch import BatchOptions, BatchTask
from compute_executor.sdk.limits import RequestLimits
from compute_executor.sdk.outcome import Outcome

T = TypeVar("T")


class BatchPart(NamedTuple):
    """Tasks that go out together: of one endpoint (None: the service's own), and within its limits."""

    endpoint_id: str | None
    tasks: Sequence[BatchTask]
    options: BatchOptions


class SubmitAnswer(NamedTuple):
    """Ids of the tasks of a part, in their order, and what the service called it."""

    task_ids: list[str]
    task_group_id: str
    request_id: str
    endpoint_id: str


class Wire(Protocol):
    """Says it to the service. What a service refuses is raised as an error of errors.py."""

    limits: RequestLimits

    def encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the payload of a call."""
        ...

    def packed_call(self, packed: str) -> bytes:
        """Return the payload of a call that is packed text already."""
        ...

    def function_text(self, function: Callable[..., Any]) -> str:
        """Return the ``function_code`` of a registration."""
        ...

    def size(self, task: BatchTask) -> int:
        """Return the bytes that a task adds to a submit."""
        ...

    def submit(self, part: BatchPart) -> SubmitAnswer:
        """Hand in the tasks."""
        ...

    def outcome(self, task_id: str) -> Outcome:
        """Return how a task stands. Raises NotFound."""
        ...

    def outcomes(self, task_ids: Sequence[str]) -> dict[str, Outcome]:
        """Return how these tasks stand. One that is not there for the caller has failed, with NotFound."""
        ...

    def cancel(self, task_ids: Sequence[str]) -> set[str]:
        """Withdraw tasks; those that surely do not run."""
        ...


def chunks(items: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    """Return the items, at most ``count`` at a time."""
    return (items[start : start + count] for start in range(0, len(items), count))
