"""Every bound of the service, by name. Over one of them: a named refusal, never silent growth."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from compute_executor.durations import seconds_of
from compute_executor.errors import InvalidRequest
from compute_executor.protocol.frames import INLINE_LIMIT, MAX_FRAME
from compute_executor.protocol.ids import MAX_BATCH
from compute_executor.sizes import bytes_of

MAX_BODY = MAX_FRAME
"""Bytes of a request body, blobs apart. Globus Compute takes 10 MB a submit; a frame of ours is as large."""

MAX_BLOB = 4 * 1024**3
"""Bytes of one argument or result that travels as a file."""

MAX_HEADER_VALUE = 16 * 1024
"""Bytes of one header value that is looked at (h11's limit for all headers together is 16 KiB as well)."""

MAX_IDEMPOTENCY_KEY = 255
"""Characters of an Idempotency-Key (Stripe's limit; the IETF draft leaves it to the service)."""

MAX_PARTS = 10_000
"""Blobs, besides the bodies of its tasks, that one batch refers to: each is a row and a look at the disk."""

MAX_STATUS_QUERY = 100_000
"""Task ids in one batch_status or cancel request; the stock SDK asks for 128 at a time."""

MAX_ANSWER = 64 * 1024**2
"""Bytes of results in one answer to batch_status, give or take the last one; the rest is told the next time."""


def announced(*, parts: bool = True) -> dict[str, int]:
    """Return what a client is told at the start of a stream (`frames.Welcome.limits`). ``resources``: 1, which says
    that what calls and workers take of a machine is read here. ``parts``: whether its calls may share values;
    ``endpoint_parts``: 1, that those to endpoints of our own may."""
    limits = {
        "max_body": MAX_BODY,
        "max_blob": MAX_BLOB,
        "max_batch": MAX_BATCH,
        "inline_limit": INLINE_LIMIT,
        "max_status_query": MAX_STATUS_QUERY,
        "resources": 1,
        "endpoint_parts": 1,
    }
    return {**limits, "parts": MAX_PARTS} if parts else limits


class ServiceLimits(NamedTuple):
    """Bounds and periods that whoever runs a service may set. Sizes in bytes, times in seconds.

    Globus Compute: 10 MB a submit and a function, 10 MiB a result, results kept two weeks
    (globus-compute.readthedocs.io/en/stable/limits.html). A service of one's own can afford more, except for
    functions, which every worker loads.
    """

    function: int = 1024**3
    body: int = MAX_BLOB
    batch: int = MAX_BATCH
    open_tasks: int = 10_000_000  # of all users; about one byte of memory each, and a row a batch on disk
    functions_per_batch: int = 10_000
    retries: int = 1_000  # each is a dead worker process
    description: int = 64 * 1024  # name, description and metadata of a function together
    workers: int = 4_096  # of one pool; they are started only while there are tasks for them
    groups_per_stream: int = 10_000  # an Executor has one; about 1 kB of memory each
    decoded_tasks: int = 128 * 1024**2  # memory for arguments of open batches; the rest stays in the store
    stream_buffer: int = 1024**2  # bytes that wait for one slow reader, before it is served from the store
    user_open_tasks: int = 1_000_000  # the user_ bounds: of each user but the one who runs the service
    user_pools: int = 200
    user_pool_bytes: int = 32 * 1024**2  # specifications of pools are in memory: environment, path
    user_functions: int = 20_000
    user_stored: int = 100 * 1024**3  # bytes of arguments, results and functions
    user_files: int = 200_000  # bodies above 64 KiB; each is a file and a row
    user_streams: int = 200  # some 40 KiB of memory each
    user_groups: int = 20_000  # that all streams of a user listen to together
    user_endpoints: int = 1_000  # all are in memory, and public ones in everybody's lists
    endpoint_machines: int = 1_000  # of one endpoint, that are known; and tokens, which are made for each
    keep_acknowledged: float = 24 * 3600.0  # how long outcomes stay that a client has acknowledged
    keep: float = 14 * 24 * 3600.0  # how long they stay at most: Globus Compute's two weeks
    keep_results: float = 1.0  # how long the file of a large result stays that a client has acknowledged
    disk: int = 0  # bytes of large arguments and results; 0: half of what is free and of what they take
    keep_orphans: float = 24 * 3600.0  # how long a blob may lie before something refers to it
    pool_grace: float = 60.0  # how long an empty pool waits for its client to come back


def limits_of(given: Mapping[str, object]) -> ServiceLimits:
    """Return the bounds, with those changed that are given: numbers, or for times also text such as "14d" or "36h".
    Raises InvalidRequest that names what is wrong."""
    standard = ServiceLimits()
    given = {name.replace("-", "_"): value for name, value in given.items()}
    for name in given:
        if name not in ServiceLimits._fields:
            near = difflib.get_close_matches(name, ServiceLimits._fields, 1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise InvalidRequest(
                f"there is no limit {name!r}{meant}; there are {', '.join(ServiceLimits._fields)}"
            )
    changed: dict[str, Any] = {
        name: _value(name, value, type(getattr(standard, name))) for name, value in given.items()
    }
    return standard._replace(**changed)


def _value(name: str, value: object, kind: type[int] | type[float]) -> float:
    form = (
        "a whole number, or a size such as 20GB or 20GiB"
        if kind is int
        else "a number of seconds, or a time such as 36h or 14d"
    )
    try:
        if isinstance(value, str) and kind is float and value[-1:].isalpha():
            return seconds_of(value)
        if isinstance(value, str) and kind is int and value[-1:].isalpha():
            value = bytes_of(value)
        if isinstance(value, bool) or not isinstance(value, (int, float, str)) or kind(value) != float(value):
            raise ValueError
        number = kind(value)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"limit {name} is {form}, not {value!r}") from None
    if not 0 <= number < LONGEST_TIME * (1 if kind is float else 1_000_000):
        raise InvalidRequest(f"limit {name} is {form}, 0 or more, not {value!r}")
    return number


LONGEST_TIME = 1e10
"""Seconds: some 300 years, which nobody waits for."""
