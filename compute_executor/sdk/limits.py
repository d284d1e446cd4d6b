"""What a service takes, by name, each with its source. Checked before sending: a refusal costs a round trip."""

from __future__ import annotations

from typing import NamedTuple

from compute_executor.errors import PayloadTooLarge
from compute_executor.protocol.ids import MAX_BATCH


class RequestLimits(NamedTuple):
    """Bytes are of what goes over the wire (base64 included where there is any)."""

    function_bytes: int
    """One registered function."""
    request_bytes: int
    """The body of one submit, all its tasks together."""
    batch_tasks: int
    """Tasks in one submit."""
    status_tasks: int
    """Task ids in one question for results."""
    requests: int
    """Requests in ``window`` seconds; 0: as many as one likes."""
    window: float


HOSTED = RequestLimits(
    function_bytes=10_000_000,  # Globus Compute's documented limit of a function
    request_bytes=10_000_000,  # and of a submit, the whole batch together; over it: 413 TASK_PAYLOAD_TOO_LARGE
    batch_tasks=10_000,  # none is documented; a batch so large is near the size limit with the smallest payloads
    status_tasks=128,  # as many as globus-compute-sdk 4.19.0 asks for at a time
    requests=20,  # "20 requests per 10 s", documented
    window=10.0,
)

OWN = RequestLimits(
    function_bytes=16_000_000,  # service.limits.MAX_BODY, less its frame
    request_bytes=12_000_000,  # below MAX_BODY; bodies over frames.INLINE_LIMIT travel beside it
    batch_tasks=min(MAX_BATCH, 100_000),
    status_tasks=10_000,  # service.limits.MAX_STATUS_QUERY is 100,000
    requests=0,
    window=0.0,
)


def check(what: str, size: int, limit: int) -> None:
    """Raise PayloadTooLarge, naming both figures, if ``size`` is over ``limit``."""
    if size > limit:
        raise PayloadTooLarge(
            f"{what} is {size:,} bytes, the service takes {limit:,}. Pass large data by reference: a path, a URL"
        )
