"""What the page shows: rates between two looks, progress of groups, failures by their error."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from compute_executor.dashboard.figures import KEPT, Failure, History, failures, progress, rates


def group(name: str = "a", **counts: int) -> dict[str, Any]:
    states = ("queued", "running", "succeeded", "failed", "lost", "cancelled")
    return {"id": name, **dict.fromkeys(states, 0), **counts}


def test_the_rate_is_what_ended_between_two_looks() -> None:
    history = History()
    history.add([group(queued=10)], 2, 100.0)
    history.add([group(queued=4, running=1, succeeded=4, failed=1)], 3, 102.0)
    first, second = history.samples
    assert (first.rate, first.queued) == (0.0, 10)
    assert (second.rate, second.queued, second.running, second.workers) == (2.5, 4, 1, 3)


def test_a_group_that_comes_later_counts_from_then_on() -> None:
    history = History()
    history.add([], 0, 1.0)
    history.add([group(succeeded=1_000)], 0, 2.0)
    assert history.samples[-1].rate == 0.0


def test_a_group_that_is_gone_takes_nothing_away() -> None:
    history = History()
    history.add([group("a", succeeded=5), group("b")], 0, 1.0)
    history.add([group("b", lost=3)], 0, 2.0)
    assert history.samples[-1].rate == 3.0


@given(st.lists(st.integers(0, 100), max_size=400), st.floats(0, 10))
def test_the_history_is_bounded_and_never_negative(counts: list[int], step: float) -> None:
    history = History()
    for number, count in enumerate(counts):
        history.add([group(succeeded=count)], 1, 1.0 + number * step)
    assert len(history.samples) <= KEPT
    assert all(sample.rate >= 0 for sample in history.samples)


def test_progress_without_a_rate_or_without_work() -> None:
    assert progress(group(queued=5), 0.0) == (0.0, None)
    assert progress(group(succeeded=5), 3.0) == (1.0, None)
    assert progress(group(), 3.0) == (1.0, None)


def test_rates_by_group() -> None:
    before, after = [group("a", succeeded=1)], [group("a", succeeded=5), group("b", succeeded=9)]
    assert rates(before, after, 2.0) == {"a": 2.0}
    assert rates(before, after, 0.0) == {}


def test_failures_by_their_error_the_most_frequent_first() -> None:
    tasks = [{"error": text, "short": f"x.{n}"} for n, text in enumerate(["b", "a", "a", None])]
    assert failures(tasks) == [
        Failure("a", 2, "x.1"),
        Failure("b", 1, "x.0"),
        Failure("(no message)", 1, "x.3"),
    ]
