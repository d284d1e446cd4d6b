"""How much a user endpoint is given ahead: enough to be busy, and not everything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.service.globus_compute.credit import (
    AHEAD,
    FUNCTIONS,
    LEAST,
    MOST,
    STEP,
    UNKNOWN,
    Credit,
    workers,
)


def filled(credit: Credit, function: int, first: int = 0) -> int:
    """Give it tasks until there is no room; how many."""
    count = 0
    while room := credit.room():
        for _ in range(room):
            credit.given((1, first + count), function)
            count += 1
    return count


@pytest.mark.parametrize(("threads", "left"), [(1, 28), (2, 28), (4, 0)])
def test_how_many_of_sixty_of_an_unknown_function_can_be_withdrawn(threads: int, left: int) -> None:
    """What is given is withdrawn no more: 15 for each worker, in steps of 32."""
    credit, given = Credit(), 0
    credit.workers = threads
    while given < 60 and (room := credit.room()):
        for _ in range(min(room, 60 - given)):
            credit.given((1, given), 7)
            given += 1
    assert 60 - given == left


def learned(seconds: float, number: int = 2) -> Credit:
    """Of an endpoint with so many workers, on which function 7 takes so long."""
    credit = Credit()
    credit.workers = number
    credit.given((9, 9), 7)
    credit.ended((9, 9), seconds)
    return credit


@pytest.mark.parametrize("number", [1, 2, 50])
def test_what_takes_long_is_given_one_ahead(number: int) -> None:
    most = LEAST * number + STEP
    assert LEAST * number <= filled(learned(3600.0, number), 7) <= most


@pytest.mark.parametrize("seconds", [0.01, 0.1, 0.5])
def test_workers_have_work_for_a_while(seconds: float) -> None:
    given = filled(learned(seconds), 7)
    assert 2 * AHEAD <= given * seconds < 2 * AHEAD + STEP * seconds


def test_what_takes_no_time_is_limited_by_count() -> None:
    assert filled(learned(0.0), 7) >= 2000
    assert filled(learned(0.0, 5000), 7) == MOST


def test_an_unknown_function_is_tried_first() -> None:
    credit = learned(0.0)
    given = filled(credit, 8)
    assert given < 2 * AHEAD / UNKNOWN + STEP
    credit.ended((1, 0), 0.001)
    assert credit.room() == 0  # what is out was counted as it was given
    for position in range(1, given):
        credit.ended((1, position), 0.001)
    assert filled(credit, 8, given) > given


def test_a_function_that_becomes_slow_is_given_less() -> None:
    credit = learned(0.001)
    many = filled(credit, 7)
    for position in range(many):
        credit.ended((1, position), 1.0)
    assert filled(credit, 7) <= LEAST * 2 + STEP < many


def test_some_that_take_much_longer_than_most_do_not_count_for_more() -> None:
    credit = learned(0.001)
    for position in range(100):
        credit.given((2, position), 7)
        credit.ended((2, position), 0.1 if position % 8 == 0 else 0.0005)
    assert filled(credit, 7) > 2000


def test_a_task_without_times_teaches_nothing() -> None:
    credit = learned(0.001)
    credit.given((1, 1), 7)
    credit.ended((1, 1), None)
    assert filled(credit, 7) > 1000


def test_a_task_of_a_service_before_is_counted_until_it_ends() -> None:
    credit = Credit()
    for position in range(100):
        credit.given((1, position), None)
    assert credit.room() == 0
    for position in range(100):
        credit.ended((1, position), 1.0)
    assert credit.room() == STEP


def test_only_so_many_functions_are_remembered() -> None:
    credit = learned(0.001)
    for function in range(100, 100 + FUNCTIONS):
        credit.given((2, function), function)
        credit.ended((2, function), 0.001)
    assert filled(credit, 7) < 2 * AHEAD / UNKNOWN + STEP  # forgotten: the one that was seen longest ago


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["given", "ended", "dropped"]))))
def test_nothing_is_counted_twice_or_for_ever(steps: list[tuple[int, str]]) -> None:
    credit = Credit()
    for position, step in steps:
        if step == "given":
            credit.given((1, position), 7)
        elif step == "ended":
            credit.ended((1, position), 0.5)
        else:
            credit.dropped((1, position))
    for position in range(21):
        credit.dropped((1, position))
    assert credit.room() == STEP


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, 1),
        ({"total_workers": 8}, 8),
        ({"total_workers": 0}, 1),
        ({"total_workers": "many"}, 1),
        ({"total_workers": float("inf")}, 1),
        (
            {
                "total_workers": 0,
                "scaling_enabled": True,
                "max_blocks": 3,
                "nodes_per_block": 2,
                "max_workers_per_node": 4,
            },
            24,
        ),
        ({"total_workers": 2, "scaling_enabled": False, "max_blocks": 3, "max_workers_per_node": 4}, 2),
        ({"scaling_enabled": True, "max_blocks": 5, "max_workers_per_node": float("inf")}, 5),
    ],
)
def test_workers_by_heartbeat(state: dict[str, Any], expected: int) -> None:
    assert workers(state) == expected
