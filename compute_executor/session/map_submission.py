"""One function on its way through ``Executor.map``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compute_executor.errors import ComputeError
from compute_executor.future import ComputeFuture
from compute_executor.session.session import Session
from compute_executor.session.view import SessionView


class MapSubmission:
    """A function whose way to the workers is found out once for all calls. Implements `mapping.Submitter`.

    ``executor`` is kept alive until the map has ended.
    """

    def __init__(
        self,
        executor: object,
        session: Session,
        view: SessionView,
        function: Callable[..., Any],
        *,
        chunked: bool,
    ) -> None:
        self._executor = executor
        self._session = session
        self._view = view
        self._error: ComputeError | None = None
        try:
            registry = view.codec().registry
            self._route = (registry.each_of if chunked else registry.for_many)(function)
        except ComputeError as error:
            self._error = error

    def submit(self, args: tuple[Any, ...]) -> ComputeFuture[Any]:
        """Submit one call."""
        if self._error is not None:
            return self._session.failed(self._view, self._error)
        return self._session.submit(self._view, self._route, args, {})

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> None:
        """Cancel what has not begun, without waiting."""
        self._session.withdraw(futures)
