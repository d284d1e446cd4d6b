"""What an Executor was made with, as far as its session needs it."""

from __future__ import annotations

from typing import NamedTuple

from compute_executor.peer import ServiceLocator
from compute_executor.protocol.frames import PoolSpec

GRACE = 300.0
"""Seconds for which a service may be gone before its open futures end with an error."""


class ExecutorSettings(NamedTuple):
    """``group``: 16 bytes of the task group. ``pool``, ``spec``: workers of its own, or None for those of another
    endpoint. ``flush_interval`` and ``grace`` in seconds. ``by_source``, ``resend_unknown``: see Executor.
    ``trace``: the file for a time line, or None. ``label``: how lists name the Executor's tasks."""

    peer: ServiceLocator
    group: bytes
    pool: bytes | None
    spec: PoolSpec | None
    batch_size: int = 128
    flush_interval: float = 0.005
    by_source: bool = False
    resend_unknown: bool = False
    grace: float = GRACE
    trace: str | None = None
    label: str = ""
