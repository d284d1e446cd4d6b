"""Why a task ended without its function's own outcome, in words."""

from __future__ import annotations

import msgspec

from compute_executor.protocol.frames import Reason, Result

_reason = msgspec.msgpack.Decoder(Reason).decode


def reason_of(result: Result) -> str:
    """The message of an outcome that comes with a reason; it may be unreadable, then that is said."""
    try:
        return _reason(result.body if isinstance(result.body, bytes) else b"").message
    except msgspec.DecodeError:
        return "the service gives no reason that can be read here"
