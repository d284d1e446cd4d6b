"""Ids as users pass them: text or UUID, checked and made canonical in one place."""

from __future__ import annotations

import uuid

from compute_executor.errors import InvalidArgument, InvalidRequest

AnyId = str | uuid.UUID


def canonical(value: AnyId, what: str) -> str:
    """Return the id as lower-case text with hyphens. Raises InvalidRequest naming what it should have been,
    InvalidArgument for what is neither text nor a UUID.

    >>> canonical("4B116D3C-1703-4f8f-9f6f-39921e5864df", "endpoint")
    '4b116d3c-1703-4f8f-9f6f-39921e5864df'
    """
    if isinstance(value, uuid.UUID):
        return str(value)
    if not isinstance(value, str):
        raise InvalidArgument(
            f"a {what} id is a UUID or its text, not {type(value).__name__}: {value!r:.100}"
        )
    try:
        parsed = uuid.UUID(value)
    except ValueError:
        parsed = None
    if parsed is None or str(parsed) != value.lower():
        raise InvalidRequest(f"{value[:100]!r} is no {what} id: it must be a UUID")
    return str(parsed)
