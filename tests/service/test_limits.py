from __future__ import annotations

from compute_executor.protocol import frames
from compute_executor.service.limits import ServiceLimits, announced


def test_what_is_announced_is_what_holds() -> None:
    told = announced()
    assert told["max_body"] == frames.MAX_FRAME
    assert told["max_batch"] == ServiceLimits().batch
    assert told["inline_limit"] == frames.INLINE_LIMIT < told["max_body"] < told["max_blob"]
