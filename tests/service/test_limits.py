from __future__ import annotations

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.protocol import frames
from compute_executor.service.limits import ServiceLimits, announced, limits_of


def test_what_is_announced_is_what_holds() -> None:
    told = announced()
    assert told["max_body"] == frames.MAX_FRAME
    assert told["max_batch"] == ServiceLimits().batch
    assert told["inline_limit"] == frames.INLINE_LIMIT < told["max_body"] < told["max_blob"]


def test_limits_are_changed_by_name() -> None:
    changed = limits_of({"keep": "14d", "keep_acknowledged": 60, "workers": "8", "pool_grace": "1.5"})
    assert changed == ServiceLimits(keep=14 * 86400.0, keep_acknowledged=60.0, workers=8, pool_grace=1.5)
    assert limits_of({}) == ServiceLimits()
    assert limits_of({"disk": "1.5G", "keep-results": "5m"}) == ServiceLimits(
        disk=3 << 29, keep_results=300.0
    )
    assert limits_of({"disk": "100MB", "user_stored": "1 TiB"}) == ServiceLimits(
        disk=10**8, user_stored=1 << 40
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"keap": 1}, r"there is no limit 'keap' \(did you mean keep\?\); there are function, "),
        ({"": 1}, "there is no limit ''"),
        ({"workers": 1.5}, "limit workers is a whole number, or a size such as 20GB or 20GiB, not 1.5"),
        ({"workers": "two"}, "limit workers is a whole number, or a size such as 20GB or 20GiB, not 'two'"),
        ({"workers": "8d"}, "a whole number"),
        ({"workers": True}, "a whole number"),
        ({"workers": -1}, "0 or more"),
        ({"keep": "14x"}, "a number of seconds, or a time such as 36h or 14d, not '14x'"),
        ({"keep": float("inf")}, "0 or more"),
        ({"keep": float("nan")}, "a number of seconds"),
        ({"keep": None}, "a number of seconds"),
        ({"keep": "-3d"}, "a number of seconds"),
    ],
)
def test_a_wrong_limit_is_named(given: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        limits_of(given)
