"""What the groups of the Client's methods share: the session, the wire, the results of the session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from compute_executor.sdk.batch import BatchOptions
from compute_executor.sdk.ending import Reading
from compute_executor.sdk.http.requests import ApiClient
from compute_executor.sdk.names import AnyId
from compute_executor.sdk.result_cache import ResultCache
from compute_executor.sdk.wires.wire import Wire
from compute_executor.serialization.python_versions import Versions


class Calls(Protocol):
    """Implemented by Client; the mixins beside it (functions, tasks, endpoints, containers) use it."""

    _session: ApiClient
    _results: ResultCache
    _versions: Versions

    @property
    def _wire(self) -> Wire:
        """How this service is spoken to."""
        ...

    def _encode_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the payload of a call."""
        ...

    def _endpoint(self, endpoint_id: AnyId | None) -> str | None:
        """Return the id of an endpoint that is given by id, or by its name on one of our own services."""
        ...

    def _function_text(self, function: Callable[..., Any]) -> str:
        """Return the ``function_code`` of a registration."""
        ...

    @property
    def _reading(self) -> Reading:
        """How outcomes are read."""
        ...

    def _check_kept(self, endpoint_id: str | None, options: BatchOptions) -> None:
        """Raise InvalidRequest for options of a batch that the endpoint would leave out in silence."""
        ...

    def _result_serializers(self, endpoint_id: str | None) -> list[str] | None:
        """Return how an endpoint is asked to write results, if the batch says nothing about it."""
        ...
