"""Why a task ended without its function's own outcome, in words."""

from __future__ import annotations

import msgspec
import pytest

from compute_executor.protocol.frames import BROKEN, LOST, Blob, Body, Reason, Result
from compute_executor.session.reasons import container_of, reason_of

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


def test_the_container_that_is_the_reason() -> None:
    for container in (b"c" * 16, None):
        body = msgspec.msgpack.encode(Reason("so it is", container=container))
        assert container_of(Result(1, b"p" * 12, 0, BROKEN, body)) == container
    assert container_of(Result(1, b"p" * 12, 0, BROKEN, b"\xc1")) is None
