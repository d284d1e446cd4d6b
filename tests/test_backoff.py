"""Pauses between attempts, as numbers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from compute_executor.backoff import Backoff

SECONDS = st.floats(0.001, 10.0)


@given(first=SECONDS, longest=st.floats(10.0, 100.0), failures=st.integers(1, 2000))
def test_pauses_double_up_to_the_longest(first: float, longest: float, failures: int) -> None:
    backoff = Backoff(first, longest)
    pauses = [backoff.failed() for _ in range(failures)]
    assert pauses[0] == first
    for before, after in itertools.pairwise(pauses):
        assert after == min(longest, 2 * before)


@given(chance=st.floats(0.0, 1.0), failures=st.integers(0, 50))
def test_chance_takes_off_up_to_half(chance: float, failures: int) -> None:
    whole = Backoff(1.0, 30.0, failures).failed()
    assert whole / 2 <= Backoff(1.0, 30.0, failures).failed(chance) <= whole


def test_a_success_begins_anew() -> None:
    backoff = Backoff(1.0, 30.0)
    assert [backoff.failed(), backoff.failed()] == [1.0, 2.0]
    backoff.succeeded()
    assert (backoff.failures, backoff.failed()) == (0, 1.0)
