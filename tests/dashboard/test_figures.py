"""What the page shows: rates between two looks, progress of groups, failures by their error."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from compute_executor.dashboard.figures import (
    KEPT,
    STATES,
    Failure,
    History,
    Sample,
    endpoint_row,
    failures,
    progress,
    rates,
    user_rows,
)


def counts(**changed: int) -> dict[str, int]:
    return {**dict.fromkeys(STATES, 0), **changed}


def group(name: str = "a", **changed: int) -> dict[str, Any]:
    return {"id": name, "owner": "ann", **counts(**changed)}


def test_the_rate_is_what_ended_between_two_looks() -> None:
    history = History()
    history.add(counts(queued=10), 2, 100.0)
    history.add(counts(queued=4, running=1, succeeded=4, failed=1), 3, 102.0)
    first, second = history.samples
    assert (first.rate, first.queued) == (0.0, 10)
    assert (second.rate, second.queued, second.running, second.workers) == (2.5, 4, 1, 3)


def test_what_a_clean_up_deletes_is_no_rate() -> None:
    history = History()
    history.add(counts(succeeded=1_000), 0, 1.0)
    history.add(counts(succeeded=5), 0, 2.0)
    assert history.samples[-1].rate == 0.0


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), max_size=12))
def test_corners_draw_the_same_lines(figures: list[tuple[int, int]]) -> None:
    history = History()
    history.samples.extend(
        Sample(float(n), 0.0, queued, running, 0) for n, (queued, running) in enumerate(figures)
    )
    corners = history.corners()
    times = [one.time for one in corners]
    assert corners == [one for one in history.samples if one.time in times]
    for one in history.samples:  # what was left out lies on the line between its neighbours
        before = max((c for c in corners if c.time <= one.time), key=lambda c: c.time)
        after = min((c for c in corners if c.time >= one.time), key=lambda c: c.time)
        assert before[1:] == one[1:] == after[1:]
    middle = zip(corners, corners[1:], corners[2:], strict=False)
    assert not any(a[1:] == b[1:] == c[1:] for a, b, c in middle)


@given(st.lists(st.integers(0, 100), max_size=400), st.floats(0, 10))
def test_the_history_is_bounded_and_never_negative(ends: list[int], step: float) -> None:
    history = History()
    for number, ended in enumerate(ends):
        history.add(counts(succeeded=ended), 1, 1.0 + number * step)
    assert len(history.samples) <= KEPT
    assert all(sample.rate >= 0 for sample in history.samples)


def test_users_by_what_has_not_ended() -> None:
    groups = [group(queued=1, failed=2), {**group(queued=5), "owner": "bob"}, group(running=1, succeeded=3)]
    bob, ann = user_rows(groups)
    assert (bob["user"], bob["groups"], bob["queued"]) == ("bob", 1, 5)
    assert ann == {"user": "ann", "groups": 2, **counts(queued=1, running=1, succeeded=3, failed=2)}


def test_an_endpoint_with_its_load() -> None:
    state = {"status": "online", "details": {"total_workers": 4, "idle_workers": 1, "x": 3}}
    shown = endpoint_row({"uuid": "u", "name": "e", "display_name": None}, state)
    assert shown == {"id": "u", "name": "e", "status": "online", "load": "4 total workers, 1 idle workers"}
    assert endpoint_row({"uuid": "u"}, {})["status"] == "unknown"


def test_progress_without_a_rate_or_without_work() -> None:
    assert progress(group(queued=5), 0.0) == (0.0, None)
    assert progress(group(succeeded=5), 3.0) == (1.0, None)
    assert progress(group(), 3.0) == (1.0, None)


def test_rates_by_group() -> None:
    before, after = [group("a", succeeded=1)], [group("a", succeeded=5), group("b", succeeded=9)]
    assert rates(before, after, 2.0) == {"a": 2.0}
    assert rates(before, after, 0.0) == {}


def test_failures_by_their_error_the_most_frequent_first() -> None:
    tasks = [{"error": text, "short": f"x.{n}"} for n, text in enumerate(["b", "a 1", "a 2", None])]
    assert failures(tasks) == [
        Failure("a 1", 2, "x.1"),
        Failure("b", 1, "x.0"),
        Failure("(no message)", 1, "x.3"),
    ]
