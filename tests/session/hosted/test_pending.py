"""Open tasks and early results, whichever comes first."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from compute_executor.batch import Target
from compute_executor.protocol import frames
from compute_executor.sdk.outcome import Outcome
from compute_executor.session.hosted.pending import ExpectedResult, PendingTasks

TARGET, OTHER = cast(Target, object()), cast(Target, object())


def expected(name: str, target: Target = TARGET, group: str = "g") -> ExpectedResult:
    return ExpectedResult(cast(Any, f"future of {name}"), target, group)


def outcome(name: str, body: bytes = b"") -> Outcome:
    return Outcome(name, "success", frames.VALUE, body)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=30))
def test_each_future_meets_its_outcome_once_in_any_order(steps: list[tuple[bool, int]]) -> None:
    waiting, met = PendingTasks(), []
    asked: set[str] = set()
    for answer, number in steps:
        name = str(number)
        if not answer:
            found = waiting.pop(outcome(name))
            met += [(found.future, name)] if found else []
        elif name not in asked:
            asked.add(name)
            early = waiting.expect(name, expected(name))
            met += [(expected(name).future, early.task_id)] if early else []
    told = {str(number) for answer, number in steps if not answer}
    assert sorted(met) == sorted((f"future of {name}", name) for name in asked & told)
    assert waiting.open == len(asked - told)


def test_an_early_result_comes_once_however_often_it_came() -> None:
    waiting = PendingTasks()
    assert waiting.pop(outcome("a")) is None
    assert waiting.pop(outcome("a")) is None
    assert waiting.duplicates == 1
    assert waiting.expect("a", expected("a")) == outcome("a")
    assert not waiting.known("a")


def test_early_results_without_room_are_told() -> None:
    by_number, by_size = PendingTasks(max_early=1), PendingTasks(max_early_bytes=3)
    for waiting in (by_number, by_size):
        waiting.pop(outcome("a", b"12"))
        assert not waiting.missed
        waiting.pop(outcome("b", b"34"))
        assert waiting.missed
        waiting.forget_early()
        assert not waiting.missed
        waiting.pop(outcome("b", b"34"))
        assert waiting.expect("a", expected("a")) is None
        assert waiting.expect("b", expected("b")) is not None


def test_room_is_free_again_when_an_early_result_is_taken() -> None:
    waiting = PendingTasks(max_early_bytes=3)
    waiting.pop(outcome("a", b"123"))
    waiting.expect("a", expected("a"))
    waiting.pop(outcome("b", b"123"))
    assert not waiting.missed


def test_open_tasks_by_group() -> None:
    waiting = PendingTasks()
    waiting.expect("a", expected("a", TARGET, "g"))
    waiting.expect("b", expected("b", OTHER, "h"))
    assert waiting.futures() == ["future of a", "future of b"]
    assert waiting.task_ids() == ["a", "b"]
    assert waiting.task_ids({"h"}) == ["b"]
    assert [one.group for one in waiting.clear()] == ["g", "h"]
    assert waiting.open == 0
