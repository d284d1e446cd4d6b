from __future__ import annotations

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.service.auth.accounts.durations import seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("1s", 1), ("5m", 300), ("12h", 43200), ("30d", 2592000), ("1w", 604800)]
)
def test_a_number_and_a_unit(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "30", "d", "0d", "-1d", "1.5h", "30 d", "30d\n", "1y", "٣d", "9999999999s"]
)
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(InvalidRequest, match="duration"):
        seconds(text)
