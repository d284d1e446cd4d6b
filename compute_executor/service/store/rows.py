"""What the store gives and takes: one type per table that others see. Plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from compute_executor.protocol.frames import (
    BROKEN,
    EXCEPTION,
    LOST,
    REFUSED,
    TIMEOUT,
    Options,
    ProgramInfo,
    Written,
)

FAILED_STATUSES = (EXCEPTION, TIMEOUT, REFUSED)
LOST_STATUSES = (LOST, BROKEN)
"""The statuses of outcomes that lists count together."""


class FunctionRow(NamedTuple):
    """A registered function without its code. ``only_on``: the one endpoint on which it may run. ``blob`` names the
    file of the code if it is no inline one."""

    id: bytes
    owner: str
    digest: bytes
    sharing: str
    name: str
    description: str
    metadata: dict[str, object]
    public: bool
    group: str | None
    container: bytes | None
    only_on: bytes | None
    blob: str | None
    size: int
    created: float


class BatchRow(NamedTuple):
    """An open batch as it is found at start-up, without its tasks. ``functions``: ids, 16 bytes each.
    ``size``: how many tasks."""

    number: int
    prefix: bytes
    owner: str
    group: bytes
    endpoint: bytes
    pool: bytes
    functions: list[bytes]
    size: int
    options: Options


class BatchHead(NamedTuple):
    """What is known of any batch, open or finished, by its prefix."""

    number: int
    owner: str
    group: bytes
    size: int
    finished: bool


BatchContent = tuple[bytes, int, Options, bytes | None]
"""What tells a batch from another one of the same prefix: group, count, options, tasks (None: not kept any more)."""


class NewBatch(NamedTuple):
    """A batch to be stored. ``tasks`` is the msgpack array as it came; ``blobs`` the files it refers to.

    ``key``: the Idempotency-Key of an HTTP submit and the digest of its body, or None. ``program``: the one that made
    the task group, kept if the group is new. ``indexes``: see `tasks.submissions.function_indexes`. ``parts``:
    further files that its tasks refer to, which other batches may refer to, too.
    """

    prefix: bytes
    owner: str
    group: bytes
    endpoint: bytes
    pool: bytes
    functions: list[bytes]
    tasks: bytes
    size: int
    options: Options
    created: float
    blobs: list[str]
    key: tuple[str, bytes] | None
    program: ProgramInfo | None = None
    indexes: bytes | None = None
    parts: list[str] = []  # noqa: RUF012 - never changed


class FinishedBatch(NamedTuple):
    """A batch whose last outcome is being stored. ``has_blobs``: its arguments are (partly) files. ``tally``: how
    many of its tasks ended with each status other than VALUE; None: not known, as it was open before a restart."""

    number: int
    has_blobs: bool
    has_attempts: bool
    tally: dict[int, int] | None = None


class GroupBatch(NamedTuple):
    """One batch of a task group: how many tasks it has, and when it was accepted, as a Unix time."""

    prefix: bytes
    tasks: int
    created: float


class KnownSubmit(NamedTuple):
    """What was answered to an Idempotency-Key before. ``digest`` is that of the request's body then."""

    digest: bytes
    prefix: bytes
    group: bytes
    endpoint: bytes


class PoolRow(NamedTuple):
    """A pool that is to exist. ``spec`` is the msgpack of a frames.PoolSpec."""

    id: bytes
    owner: str
    spec: bytes


class GroupRow(NamedTuple):
    """A task group: whose it is, the outcome number below which nothing is its own, and what is acknowledged."""

    owner: str
    floor: int
    acked: int


ID_BYTES = 16


def split_ids(joined: bytes) -> list[bytes]:
    """Return the ids in a column that holds several, one after the other."""
    return [joined[at : at + ID_BYTES] for at in range(0, len(joined), ID_BYTES)]


encode_output: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
decode_output: Callable[[bytes | memoryview], Written] = msgspec.msgpack.Decoder(Written).decode
encode_options: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
decode_options: Callable[[bytes | memoryview], Options] = msgspec.msgpack.Decoder(Options).decode
encode_metadata: Callable[[Any], bytes] = msgspec.json.Encoder().encode
decode_metadata: Callable[[bytes | str], dict[str, object]] = msgspec.json.Decoder(dict[str, object]).decode
encode_program: Callable[[Any], bytes] = msgspec.json.Encoder().encode
decode_program: Callable[[bytes | str], ProgramInfo] = msgspec.json.Decoder(ProgramInfo).decode
