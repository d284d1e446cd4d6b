"""Initializers whose arguments are too large for the frame that declares a pool."""

from __future__ import annotations

import pickle
from typing import Any

from compute_executor.protocol.frames import Blob
from compute_executor.serialization import native
from compute_executor.serialization.buffers import BufferSink, Taken
from compute_executor.serialization.large import Part, whole
from compute_executor.session.storage import Storage


class _Arguments:
    """Arguments that were pickled before: read from bytes, they are what they were."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream

    def __reduce__(self) -> tuple[Any, ...]:
        return native.loads, (self._stream,)


def with_part(payload: bytes, storage: Storage) -> tuple[bytes, list[Blob]]:
    """Return a call payload of the same positional arguments, which lie in a part now; and that part. Raises
    ComputeError if it cannot be stored."""
    stored: list[Blob] = []

    def keep(taken: Taken) -> Part:
        blob = storage.store_part([taken.content], "the arguments of the initializer")
        stored.append(blob)
        return Part(blob.name, blob.size)

    first, _ = native.split_call(payload)
    sink = BufferSink()
    pickle.Pickler(sink, native.PROTOCOL).dump(_Arguments(bytes(first)))
    stream = whole(sink.content(keep=keep))
    return len(stream).to_bytes(4, "big") + stream, stored
