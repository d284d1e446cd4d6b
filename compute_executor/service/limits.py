"""Every bound of the service, by name. Over one of them: a named refusal, never silent growth."""

from __future__ import annotations

from compute_executor.protocol.frames import INLINE_LIMIT, MAX_FRAME
from compute_executor.protocol.ids import MAX_BATCH

MAX_BODY = MAX_FRAME
"""Bytes of a request body, blobs apart. Globus Compute takes 10 MB a submit; a frame of ours is as large."""

MAX_BLOB = 4 * 1024**3
"""Bytes of one argument or result that travels as a file."""

MAX_HEADER_VALUE = 16 * 1024
"""Bytes of one header value that is looked at (h11's limit for all headers together is 16 KiB as well)."""

MAX_IDEMPOTENCY_KEY = 255
"""Characters of an Idempotency-Key (Stripe's limit; the IETF draft leaves it to the service)."""

MAX_STATUS_QUERY = 100_000
"""Task ids in one batch_status or cancel request; the stock SDK asks for 128 at a time."""


def announced() -> dict[str, int]:
    """What a client is told at the start of a stream (`frames.Welcome.limits`)."""
    return {
        "max_body": MAX_BODY,
        "max_blob": MAX_BLOB,
        "max_batch": MAX_BATCH,
        "inline_limit": INLINE_LIMIT,
        "max_status_query": MAX_STATUS_QUERY,
    }
