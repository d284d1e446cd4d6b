"""What the groups of the Client's methods share: the session, the wire, the results of the session."""

from __future__ import annotations

from typing import Protocol

from compute_executor.sdk.http.requests import ApiClient
from compute_executor.sdk.result_cache import ResultCache
from compute_executor.sdk.wires.wire import Wire


class Calls(Protocol):
    """Implemented by Client; the mixins beside it (functions, tasks, endpoints, containers) use it."""

    _session: ApiClient
    _results: ResultCache

    @property
    def _wire(self) -> Wire:
        """How this service is spoken to."""
        ...
