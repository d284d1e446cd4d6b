"""Why a task ended without its function's own outcome, in words."""

from __future__ import annotations

import msgspec
import pytest

from compute_executor.protocol.frames import LOST, Blob, Body, Reason, Result
from compute_executor.results.reasons import reason_of

UNREADABLE = "the service gives no reason that can be read here"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (msgspec.msgpack.encode(Reason("so it is")), "so it is"),
        (b"\xc1", UNREADABLE),
        (Blob("0" * 32, 9), UNREADABLE),
    ],
)
def test_the_message(body: Body, message: str) -> None:
    assert reason_of(Result(1, b"p" * 12, 0, LOST, body)) == message
