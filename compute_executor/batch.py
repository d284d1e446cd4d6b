"""What travels together: the calls of one Submit frame, known by prefix and position.

A batch is made under the session's lock and from then on belongs to the session's I/O thread. It is the only
index from task to future: nobody keeps a table of task ids (see protocol/ids.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from compute_executor.protocol.frames import Body, Options
from compute_executor.protocol.ids import new_prefix

if TYPE_CHECKING:
    from compute_executor.functions.codecs import Codec
    from compute_executor.future import ComputeFuture

T = TypeVar("T")


class Function:
    """A function as it is registered: ``digest`` = sha256 of ``code``, which is one native stream (or, once it
    is known where large bodies go, a blob of it).

    ``code`` is None for a function that is registered already; ``digest`` is its id then (16 bytes).
    """

    __slots__ = ("code", "digest", "name")

    def __init__(self, digest: bytes, name: str, code: Body | None) -> None:
        self.digest = digest
        self.name = name
        self.code = code

    def __repr__(self) -> str:
        return f"<Function {self.name} {self.digest.hex()[:12]}>"


class Target:
    """Where calls go and how they are to be run: only calls of one lane share a batch."""

    __slots__ = ("endpoint", "form", "options", "pool")

    def __init__(self, endpoint: bytes, pool: bytes | None, options: Options) -> None:
        self.endpoint = endpoint
        self.form: Codec | None = None  # in which calls travel there; the session finds out at the first
        self.pool = pool
        self.options = options


class Call(Generic[T]):
    """One call on its way out: its future, its function, its arguments as a body."""

    __slots__ = ("body", "dropped", "function", "future", "lane", "size")

    def __init__(self, future: ComputeFuture[T], function: Function, body: Body, lane: Target) -> None:
        self.future = future
        self.function = function
        self.body = body
        self.lane = lane
        self.size = len(body) if isinstance(body, bytes) else 0
        self.dropped = False


class CallBatch:
    """Calls with their ids. ``calls`` is given up when the service has accepted them; ``futures`` holds None
    for those that are done; ``open`` counts the others."""

    __slots__ = ("calls", "futures", "lane", "open", "prefix")

    def __init__(
        self, lane: Target, calls: list[Call[Any]], futures: list[ComputeFuture[Any] | None], prefix: bytes
    ) -> None:
        self.prefix = prefix
        self.lane = lane
        self.calls = calls
        self.futures = futures
        self.open = len(futures)

    def pop(self, position: int) -> ComputeFuture[Any] | None:
        """The future at ``position``, which is done by that; None if it was before, or never was."""
        if position >= len(self.futures):
            return None
        future, self.futures[position] = self.futures[position], None
        if future is not None:
            self.open -= 1
        return future


def gather(lane: Target, calls: list[Call[Any]]) -> CallBatch:
    """Make a batch of calls that get their ids from the service, when it answers."""
    for call in calls:
        call.future.call = None
    return CallBatch(lane, calls, [call.future for call in calls], b"")


def seal(lane: Target, calls: list[Call[Any]]) -> CallBatch:
    """Make a batch: from here on each of its calls has its task id."""
    batch = CallBatch(lane, calls, [call.future for call in calls], new_prefix())
    for position, call in enumerate(calls):
        call.future.assign(batch, position)
    return batch
