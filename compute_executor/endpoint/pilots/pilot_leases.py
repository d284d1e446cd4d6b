"""What the endpoint knows of one of its pilots. Owner: the loop's thread."""

from __future__ import annotations

import time
from collections.abc import Callable

from compute_executor.endpoint.leases import frames
from compute_executor.endpoint.leases.grantor import GrantedLeases, GrantorSession
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.protocol.resources import ResourceOffer, share_of


class PilotLeases(GrantedLeases):
    """One pilot, connected or not. ``slot``: its place, ``job``: what people call that; ``gone_since``: when its
    connection ended; ``ending``: why it ends; ``offer``: what its workers have, once it has told; ``occupied``: how
    many workers its tasks take together; ``losses``: tasks that were lost with it, and since when they wait for the
    scheduler to say why."""

    def __init__(self, hello: frames.HolderHello, job: str) -> None:
        super().__init__()
        self.job = job
        self.host: str = hello.host[:255]
        self.slot: str = hello.label[:255]
        self.python: str = hello.python[:64]
        self.session: GrantorSession | None = None
        self.end: Callable[[], object] = _nothing
        self.workers = 0
        self.heard: float = time.monotonic()
        self.busy: float = self.heard
        self.gone_since: float = 0.0
        self.offer: ResourceOffer | None = None
        self.occupied: int = 0
        self.expected: dict[tuple[int, int], tuple[int, float, int]] = {}
        self.ahead: float = 0.0
        self.ending = ""
        self.ended_by_us = False
        self.losses: list[tuple[float, TaskEnded]] = []

    def disconnected(self, now: float) -> None:
        """Note that its connection has ended."""
        self.session, self.end, self.gone_since = None, _nothing, now

    def expect(self, task: Assignment, seconds: float) -> None:
        """Note that it is given this task, which will take so long."""
        workers = 1
        if task.needs is not None and self.offer is not None:
            workers = share_of(task.needs, self.offer).workers
        self.expected[task.batch, task.position] = (task.function, seconds, workers)
        self.ahead += seconds * workers
        self.occupied += workers

    def has_ended(self, name: tuple[int, int]) -> int | None:
        """Note that it has this task no more; return the number of its function, if it had it."""
        function, seconds, workers = self.expected.pop(name, (None, 0.0, 0))
        self.ahead = self.ahead - seconds * workers if self.expected else 0.0
        self.occupied -= workers
        return function

    @property
    def name(self) -> str:
        """How people are told of it."""
        return f"{self.host} ({self.job})" if self.job else self.host


def _nothing() -> None:
    """End a connection that there is not."""
