"""Task ids that cost nothing: a random batch prefix, and the position in the batch.

A task id is a UUID of version 8 (RFC 9562 section 5.8: layout of one's own): its first 12 bytes are the
prefix of the batch that the task was submitted in, the last 4 its position there, big-endian. So a batch of
any size needs one random draw, one database index entry, and no list of ids in the answer; and whoever holds
``(prefix, position)`` can make the UUID when somebody asks for it.

The prefix is chosen by the submitting client and is the batch's idempotency key at the same time: the client
knows its task ids before it sends, and a batch sent twice is recognised by the service.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator
from typing import Annotated

from msgspec import Meta

PREFIX_BYTES = 12
ID_BYTES = 16
MAX_BATCH = 1 << 17
"""Most tasks a batch may hold: so many are read in some 20 ms, while others wait. The format would allow 2**32."""

Prefix = Annotated[bytes, Meta(min_length=PREFIX_BYTES, max_length=PREFIX_BYTES)]
Id = Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
"""The bytes of a UUID: what names a pool, a function, a task group, a container or an endpoint."""

Position = Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]
SequenceNumber = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""A number of an outcome. SQLite has no larger numbers."""

TaskPositions = list[tuple[Prefix, list[Position]]]
"""Tasks, by batch: prefix and positions. What Cancel, Cancelled and questions about tasks hold."""


def new_prefix() -> bytes:
    """12 random bytes with the version and variant bits of a UUID v8 in place (90 random bits)."""
    raw = bytearray(os.urandom(PREFIX_BYTES))
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    return bytes(raw)


def task_uuid(prefix: bytes, position: int) -> str:
    """Return the task's id as text.

    >>> task_uuid(bytes.fromhex("0123456789ab8def8123beef"), 258)
    '01234567-89ab-8def-8123-beef00000102'
    """
    return str(uuid.UUID(bytes=prefix + position.to_bytes(4, "big")))


def split_task_id(task_id: str | uuid.UUID) -> tuple[bytes, int]:
    """``(prefix, position)`` of a task id. Raises ValueError for what is no UUID at all.

    >>> split_task_id("01234567-89ab-8def-8123-beef00000102")[1]
    258
    """
    raw = (task_id if isinstance(task_id, uuid.UUID) else uuid.UUID(task_id)).bytes
    return raw[:PREFIX_BYTES], int.from_bytes(raw[PREFIX_BYTES:], "big")


def by_batch(tasks: Iterable[tuple[bytes, int]]) -> TaskPositions:
    """Return tasks given by prefix and position, grouped by prefix in the order in which the prefixes first came.

    >>> by_batch([(b"a", 1), (b"b", 0), (b"a", 0)])
    [(b'a', [1, 0]), (b'b', [0])]
    """
    grouped: dict[bytes, list[int]] = {}
    for prefix, position in tasks:
        grouped.setdefault(prefix, []).append(position)
    return list(grouped.items())


def each_task(tasks: TaskPositions) -> list[tuple[bytes, int]]:
    """Return the reverse of :func:`by_batch`: prefix and position of each task."""
    return [(prefix, position) for prefix, positions in tasks for position in positions]


def in_parts(tasks: Iterable[tuple[bytes, list[int]]], size: int) -> Iterator[TaskPositions]:
    """Yield the tasks in lists of at most ``size`` tasks each."""
    part: TaskPositions = []
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
