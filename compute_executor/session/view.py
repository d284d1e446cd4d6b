"""The way into a session: an Executor submits through one, and each of its views through one of its own."""

from __future__ import annotations

from typing import Any, Protocol

from compute_executor.batch import Target
from compute_executor.functions.codecs import Codec, Serializer, by_strategies
from compute_executor.future import ComputeFuture


class ViewedSession(Protocol):
    """Interface that a view needs of its session."""

    def codec(self, target: Target) -> Codec:
        """Return how calls travel to a target. The first call for an endpoint may ask the service."""
        ...

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> set[int]:
        """Cancel those that surely will not run; return which, by ``id``."""
        ...

    def assign_ids(self) -> None:
        """Give every call that waits its task id."""

    def run_callbacks(self, future: ComputeFuture[Any]) -> None:
        """Have the callbacks of a future called that has just ended."""


class SessionView:
    """Target of the calls of one Executor or view, and owner of their futures. Implements `future.FutureOwner`.

    Two views may have equal targets: their calls share batches, yet shutting one down concerns its own calls only.
    """

    __slots__ = ("_codec", "addressed", "origin", "serializer", "session", "target")

    def __init__(
        self,
        session: ViewedSession,
        target: Target,
        *,
        origin: SessionView | None = None,
        serializer: Serializer | None = None,
    ) -> None:
        """``origin``: the view that this one replaces, when the target of the same Executor changes. ``serializer``:
        whose strategies say how calls travel; None: as workers like it best."""
        self.serializer: Serializer | None = serializer
        self.session: ViewedSession = session
        self.target: Target = target
        self.addressed: Target = target  # with what its codec adds, once that is known
        self.origin: SessionView = origin or self
        self._codec: Codec | None = None

    def codec(self) -> Codec:
        """Return how calls travel to this target. The first call for an endpoint may ask the service.

        Raises InvalidRequest for options that the endpoint does not keep, and ComputeError as the service does."""
        if self._codec is None:
            codec = self.session.codec(self.target)
            if self.serializer is not None:
                codec = by_strategies(codec, self.serializer)
            self.addressed = codec.target(self.target)
            self._codec = codec
        return self._codec

    def future(self) -> ComputeFuture[Any]:
        """Make a future for a call to this target."""
        return ComputeFuture(owner=self, endpoint=self.target.endpoint)

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> set[int]:
        """Cancel those that surely will not run; return which, by ``id``."""
        return self.session.withdraw(futures)

    def assign_ids(self) -> None:
        """Give every call that waits its task id."""
        self.session.assign_ids()

    def run_callbacks(self, future: ComputeFuture[Any]) -> None:
        """Have the callbacks of a future called that has just ended."""
        self.session.run_callbacks(future)
