"""Batches: calls that travel together in one Submit frame, known by prefix and position.

A batch is made under the session's lock and from then on belongs to the session's I/O thread. It is the only
index from task to future: there is no table of task ids (see protocol/ids.py).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from compute_executor.future import ComputeFuture
from compute_executor.protocol.frames import Body, Options
from compute_executor.protocol.ids import new_prefix
from compute_executor.serialization.large import Part

T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode


class Function:
    """Function as it is registered: ``digest`` = sha256 of ``code``, which is one native stream (or, once it
    is known where large bodies go, a blob of it).

    ``code`` is None for a function that is registered already; ``digest`` is its id then (16 bytes).
    """

    __slots__ = ("code", "digest", "name")

    def __init__(self, digest: bytes, name: str, code: Body | None) -> None:
        self.digest: bytes = digest
        self.name: str = name
        self.code: Body | None = code

    def __repr__(self) -> str:
        return f"<Function {self.name} {self.digest.hex()[:12]}>"


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """Destination of calls and the options to run them with: calls share a batch if their targets are equal.

    ``endpoint``: 16 bytes of its id, or none for the service's own. ``pool``: 16 bytes, or None. ``group``: 16 bytes
    of the task group, or none for the first one of the session.
    """

    endpoint: bytes
    pool: bytes | None
    options: Options
    group: bytes = b""
    _key: bytes = field(init=False, repr=False)  # options may hold dicts, which have no hash

    def __post_init__(self) -> None:
        """Encode the key once. Raises TypeError for options that cannot travel."""
        object.__setattr__(self, "_key", _encode((self.endpoint, self.pool, self.options, self.group)))

    def group_id(self, first: str) -> str:
        """Return the id of the task group as text. ``first``: that of the session's first one."""
        return str(uuid.UUID(bytes=self.group)) if self.group else first

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


class Call(Generic[T]):
    """Call that has not been confirmed: its future, its function, its arguments as a body, and what they refer to."""

    __slots__ = ("body", "dropped", "function", "future", "parts", "size", "target")

    def __init__(
        self,
        future: ComputeFuture[T],
        function: Function,
        body: Body,
        target: Target,
        parts: tuple[Part, ...] = (),
    ) -> None:
        self.parts: tuple[Part, ...] = parts
        self.future: ComputeFuture[T] = future
        self.function: Function = function
        self.body: Body = body
        self.target: Target = target
        self.size: int = len(body) if isinstance(body, bytes) else 0
        self.dropped: bool = False


class CallBatch:
    """Batch of calls with their ids. ``calls`` is given up when the service has accepted them; ``futures`` holds None
    for those that are done; ``open`` counts the others."""

    __slots__ = ("calls", "futures", "open", "prefix", "target")

    def __init__(
        self, target: Target, calls: list[Call[Any]], futures: list[ComputeFuture[Any] | None], prefix: bytes
    ) -> None:
        self.prefix: bytes = prefix
        self.target: Target = target
        self.calls: list[Call[Any]] = calls
        self.futures: list[ComputeFuture[Any] | None] = futures
        self.open: int = len(futures)

    def pop(self, position: int) -> ComputeFuture[Any] | None:
        """Take out and return the future at ``position``; None if that has happened before, or there is none."""
        if not 0 <= position < len(self.futures):
            return None
        future, self.futures[position] = self.futures[position], None
        if future is not None:
            self.open -= 1
        return future


def without_ids(target: Target, calls: list[Call[Any]]) -> CallBatch:
    """Make a batch of calls that will get their ids from the service, when it answers."""
    for call in calls:
        call.future.call = None
    return CallBatch(target, calls, [call.future for call in calls], b"")


def with_ids(target: Target, calls: list[Call[Any]]) -> CallBatch:
    """Make a batch whose calls have their task ids from now on."""
    batch = CallBatch(target, calls, [call.future for call in calls], new_prefix())
    for position, call in enumerate(calls):
        call.future.assign(batch.prefix, position)
    return batch
