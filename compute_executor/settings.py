"""The settings of an Executor that its session needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from compute_executor.peer import ServiceLocator
from compute_executor.protocol.frames import PoolSpec

GRACE = 300.0
"""Seconds for which a service may be gone before its open futures end with an error."""

FIRST_GRACE = 10.0
"""The same for a service that was never reached: more likely a wrong address than one that is restarting."""

NO_ROOM_PAUSE = 0.25
"""Seconds until a batch is offered again to a service that had no room for it."""


class ExecutorSettings(NamedTuple):
    """Settings of one session.

    ``group``: 16 bytes of the task group. ``pool``, ``spec``: workers of its own, or None for those of another
    endpoint. ``flush_interval``, ``grace``, ``first_grace`` and ``no_room_pause`` in seconds. ``by_source``,
    ``resend_unknown``, ``serializer``, ``amqp_port``: see Executor. ``pace``: submits to a hosted service in so many
    seconds at most, or None for what the service takes. ``trace``: the file for a time line, or None. ``label``: how
    lists name the Executor's tasks. ``prints``: what tasks write appears in the program. ``spec_of_now``: makes
    ``spec`` again at the first submit.
    """

    peer: ServiceLocator
    group: bytes
    pool: bytes | None
    spec: PoolSpec | None
    batch_size: int = 128
    flush_interval: float = 0.005
    by_source: bool = False
    resend_unknown: bool = False
    grace: float = GRACE
    first_grace: float = FIRST_GRACE
    no_room_pause: float = NO_ROOM_PAUSE
    trace: str | None = None
    label: str = ""
    prints: bool = False
    serializer: Any = None
    amqp_port: int | None = None
    pace: tuple[int, float] | None = None
    spec_of_now: Callable[[PoolSpec], PoolSpec] | None = None
