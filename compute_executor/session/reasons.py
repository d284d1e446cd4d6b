"""Why a task ended without its function's own outcome, in words."""

from __future__ import annotations

import msgspec

from compute_executor.protocol.frames import Reason, Result

_reason = msgspec.msgpack.Decoder(Reason).decode


def reason_of(result: Result) -> str:
    """Return the message of an outcome that comes with a reason; it may be unreadable, then that is said."""
    reason = _read(result)
    return reason.message if reason else "the service gives no reason that can be read here"


def container_of(result: Result) -> bytes | None:
    """Return the container that could not be used, if that is the reason."""
    reason = _read(result)
    return reason.container if reason else None


def _read(result: Result) -> Reason | None:
    try:
        return _reason(result.body if isinstance(result.body, bytes) else b"")
    except (ValueError, RecursionError):
        return None
