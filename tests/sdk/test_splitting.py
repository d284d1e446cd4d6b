"""How a batch is split: within limits, and by whom a refusal concerns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.errors import (
    ComputeError,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    PayloadTooLarge,
    ServiceUnavailable,
)
from compute_executor.sdk.limits import OWN
from compute_executor.sdk.splitting import MAX_HALVED, parts, smaller

FUNCTIONS = st.lists(st.sampled_from("fgh"), max_size=12)
ERRORS = st.sampled_from([InvalidRequest("x"), PayloadTooLarge("x"), NotFound("x"), NotAuthorized("x")])


@given(st.lists(st.integers(0, 10), max_size=40), st.integers(10, 30), st.integers(1, 6))
def test_parts_keep_order_and_limits(sizes: list[int], room: int, count: int) -> None:
    found = list(parts(sizes, OWN._replace(request_bytes=room, batch_tasks=count)))
    assert [index for part in found for index in part] == list(range(len(sizes)))
    for part in found:
        assert 0 < len(part) <= count
        assert sum(sizes[index] for index in part) <= room


def test_one_that_is_over_the_limit_is_alone() -> None:
    assert list(parts([1, 50, 1], OWN._replace(request_bytes=10))) == [[0], [1], [2]]


@given(FUNCTIONS, ERRORS)
def test_smaller_parts_hold_all_and_are_smaller(functions: list[str], error: ComputeError) -> None:
    found = smaller(functions, error)
    if found:
        assert sorted(index for part in found for index in part) == list(range(len(functions)))
        assert all(0 < len(part) < len(functions) for part in found)


@pytest.mark.parametrize(
    ("functions", "error", "expected"),
    [
        ("f", InvalidRequest("x"), []),
        ("ff", ServiceUnavailable("x"), []),
        ("fgf", NotFound("x"), [[0, 2], [1]]),
        ("fgf", InvalidRequest("x"), [[0, 2], [1]]),
        ("ff", NotFound("x"), []),
        ("fff", InvalidRequest("x"), [[0], [1, 2]]),
        ("fgf", PayloadTooLarge("x"), [[0], [1, 2]]),
        ("f" * (MAX_HALVED + 1), InvalidRequest("x"), []),
    ],
)
def test_who_is_to_blame(functions: str, error: ComputeError, expected: list[list[int]]) -> None:
    assert smaller(list(functions), error) == expected
