"""The port through which results, beginnings and broken pools are pushed to a client.

The methods are called on the loop thread and must not block; a subscriber that has no room takes note and reads from
the store later.
"""

from __future__ import annotations

from typing import Protocol

from compute_executor.protocol.frames import Result, Written

Began = tuple[bytes, int, float]  # prefix, position, Unix time


class Subscriber(Protocol):
    """A client connection that wants results pushed: `api.stream`, `api.legacy_stream`, or a result queue."""

    def results(self, group: bytes, results: list[Result]) -> None:
        """Take outcomes that cannot be lost any more, in rising ``seq``."""

    def stored(self, group: bytes) -> None:
        """Note that there are more outcomes of the group in the store."""

    def began(self, tasks: list[Began]) -> None:
        """Take the tasks of the subscribed groups that have begun."""

    def output(self, prefix: bytes, position: int, part: Written) -> None:
        """Note that a task of a subscribed group has written this."""

    def pool_failed(self, pool: bytes, message: str) -> None:
        """Note that workers of a pool that this subscriber opened cannot start."""

    async def goodbye(self, reason: str) -> None:
        """Note that the service ends; returns when the subscriber has been told, or need not be."""
