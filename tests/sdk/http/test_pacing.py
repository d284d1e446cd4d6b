"""The pacer keeps every limit and never waits longer than it must."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.sdk.http.pacing import Pacer


def starts_of(pacer: Pacer, arrivals: list[float]) -> list[float]:
    return [now + pacer.reserve(now) for now in arrivals]


def test_the_first_ones_go_at_once_and_the_next_waits_for_the_window() -> None:
    pacer = Pacer(limit=20, window=10.0)
    assert starts_of(pacer, [0.0] * 20) == [0.0] * 20
    assert pacer.reserve(4.0) == pytest.approx(6.0)


def test_a_slow_caller_never_waits() -> None:
    assert starts_of(Pacer(2, 10.0), [0.0, 6.0, 12.0, 18.0]) == [0.0, 6.0, 12.0, 18.0]


@given(
    st.integers(1, 5),
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
)
def test_no_window_has_more_than_the_limit(limit: int, gaps: list[int]) -> None:
    now, arrivals = 0.0, []
    for gap in gaps:
        now += gap
        arrivals.append(now)
    starts = starts_of(Pacer(limit, 10.0), arrivals)
    assert starts == sorted(starts)
    for index in range(limit, len(starts)):
        assert starts[index] - starts[index - limit] >= 10.0
        if starts[index] > max(
            arrivals[index], starts[index - 1]
        ):  # it waited: not a moment longer than needed
            assert starts[index] == starts[index - limit] + 10.0
