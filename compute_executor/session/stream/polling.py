"""Outcomes by asking for them: while there is no stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from compute_executor.peer import ServiceEndpoint, request
from compute_executor.protocol.frames import Result

MAX_TASKS = 10_000
"""Tasks asked about at once: a tenth of what the service allows, so that an answer stays below some MB."""

Tasks = list[tuple[bytes, list[int]]]
"""Prefix and positions."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Result]).decode


def poll(address: ServiceEndpoint, tasks: Tasks) -> list[Result]:
    """The outcomes of those that have ended, of at most MAX_TASKS. Only for tasks that the service has confirmed: it
    calls one that it does not know lost. Raises ComputeError."""
    return _decode(request(address, "POST", "/v2/batch_status", _encode(tasks)))


def parts(tasks: Iterable[tuple[bytes, list[int]]], size: int) -> Iterator[Tasks]:
    """The tasks in lists of at most ``size`` each."""
    part: Tasks = []
    room = size
    for prefix, positions in tasks:
        start = 0
        while start < len(positions):
            some = positions[start : start + room]
            part.append((prefix, some))
            start += len(some)
            room -= len(some)
            if room == 0:
                yield part
                part, room = [], size
    if part:
        yield part
