"""Outcomes by asking for them: while there is no stream."""

from __future__ import annotations

import msgspec

from compute_executor.peer import ServiceEndpoint, request
from compute_executor.protocol.frames import Result
from compute_executor.protocol.ids import TaskPositions

MAX_TASKS = 10_000
"""Tasks asked about at once: a tenth of what the service allows, so that an answer stays below some MB."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Result]).decode


def poll(address: ServiceEndpoint, tasks: TaskPositions) -> list[Result]:
    """The outcomes of those that have ended, of at most MAX_TASKS. Only for tasks that the service has confirmed: it
    calls one that it does not know lost. Raises ComputeError."""
    return _decode(request(address, "POST", "/v2/batch_status", _encode(tasks)))
