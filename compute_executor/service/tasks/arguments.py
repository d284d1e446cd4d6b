"""The decoded arguments of open batches: kept while there is room, otherwise read from the store again.

Owner: the loop thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from compute_executor.service.scheduling.queues import Call, OpenBatch

OBJECT_BYTES = 150
"""What one decoded task costs in memory besides its bytes: a tuple, a bytes object, a place in a list."""

decode_calls: Callable[[bytes | memoryview], list[Call]] = msgspec.msgpack.Decoder(list[Call]).decode
"""The tasks of a Submit. Raises msgspec.DecodeError."""


class DecodedArguments:
    """The batches whose ``calls`` are in memory, up to ``budget`` bytes; one batch at least. ``load``: reads the
    encoded tasks of a batch, by its number."""

    def __init__(self, load: Callable[[int], bytes], budget: int) -> None:
        self._load = load
        self._budget = budget
        self._kept: OrderedDict[OpenBatch, int] = OrderedDict()  # sizes; used last comes last
        self._size = 0

    def offer(self, batch: OpenBatch, calls: list[Call], size: int) -> None:
        """Keep the calls of a batch that was just accepted, if there is room. What is older will be needed earlier
        and stays."""
        size += OBJECT_BYTES * len(calls)
        if self._size + size <= self._budget:
            self._keep(batch, calls, size)

    def get(self, batch: OpenBatch) -> list[Call]:
        """Return the calls of an open batch. Raises sqlite3.Error if they cannot be read."""
        if batch.calls is not None:
            self._kept.move_to_end(batch)
            return batch.calls
        raw = self._load(batch.number)
        calls = decode_calls(raw)
        size = len(raw) + OBJECT_BYTES * len(calls)
        while self._kept and self._size + size > self._budget:
            self.drop(next(iter(self._kept)))
        self._keep(batch, calls, size)
        return calls

    def drop(self, batch: OpenBatch) -> None:
        """Free the memory: the batch is finished, or others need the room."""
        batch.calls = None
        self._size -= self._kept.pop(batch, 0)

    def _keep(self, batch: OpenBatch, calls: list[Call], size: int) -> None:
        batch.calls = calls
        self._kept[batch] = size
        self._size += size
