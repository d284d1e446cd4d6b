"""A session as its connection sees it, and the owner of futures that nobody submitted."""

from __future__ import annotations

from typing import Any

from compute_executor.errors import ComputeError, PoolBroken
from compute_executor.future import ComputeFuture
from compute_executor.peer import EmbeddedLocator, ServiceLocator
from compute_executor.session.buffer import Buffer
from compute_executor.session.submit_queue import SubmitQueue
from compute_executor.settings import ExecutorSettings


class StubOwner:
    """Implements `session.connection.ConnectionOwner`; a test sets ``ending`` and reads what it was told."""

    def __init__(self, peer: ServiceLocator | None = None, **settings: Any) -> None:
        pool = settings.pop("pool", None)
        spec = settings.pop("spec", None)
        self.settings = ExecutorSettings(peer or EmbeddedLocator(), b"g" * 16, pool, spec, **settings)
        self.queue = SubmitQueue(Buffer(128, 0.005, 1024 * 1024))
        self.ending = False
        self.abandoned = False
        self.failed: list[ComputeError] = []
        self.broken: list[PoolBroken] = []

    def fail_waiting(self, error: ComputeError) -> None:
        self.failed.append(error)

    def break_pool(self, error: PoolBroken) -> None:
        self.broken.append(error)


class StubFutureOwner:
    """Implements `future.FutureOwner`: nothing can be withdrawn."""

    def withdraw(self, futures: list[ComputeFuture[Any]]) -> set[int]:
        return set()

    def assign_ids(self) -> None:
        pass

    def run_callbacks(self, future: ComputeFuture[Any]) -> None:
        future.run_callbacks()


def future(endpoint: bytes = b"") -> ComputeFuture[Any]:
    """A future that no session knows."""
    return ComputeFuture(owner=StubFutureOwner(), endpoint=endpoint)
