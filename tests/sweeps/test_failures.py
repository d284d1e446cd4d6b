from __future__ import annotations

import json
from pathlib import Path

from compute_executor.sweeps.failures import (
    ALIKE,
    FailureLimit,
    SweepFailure,
    grouped,
    write_failures,
)


def failure(row: int, error: str) -> SweepFailure:
    return SweepFailure(row, {"x": row, "name": "a"}, error, f"Traceback\n{error}", "said\n", 2)


def test_the_first_rows_that_all_fail_alike_end_a_sweep() -> None:
    limit = FailureLimit(None)
    said = [limit.exceeded(f"ValueError: {n} is odd") for n in range(ALIKE)]
    assert not any(said[:-1])
    assert "the first 20 rows all failed alike" in said[-1]


def test_one_that_does_not_is_enough_to_go_on() -> None:
    for other in ("", "KeyError: 'x'"):
        limit = FailureLimit(None)
        errors = ["ValueError: 1"] * 5 + [other] + ["ValueError: 1"] * 100
        assert not any(limit.exceeded(error) for error in errors)


def test_a_number_of_failures_is_allowed() -> None:
    limit = FailureLimit(2)
    assert [bool(limit.exceeded(error)) for error in ("a", "", "b", "", "c")] == [False] * 4 + [True]
    assert FailureLimit(0).exceeded("a")


def test_groups_are_counted_the_most_frequent_first() -> None:
    found = [failure(n, f"E: {n}") for n in range(3)] + [failure(9, "F: no")]
    assert [(group.number, group.first.row) for group in grouped([found[3], *found[:3]])] == [(3, 0), (1, 9)]


def test_all_failures_in_a_file(tmp_path: Path) -> None:
    write_failures(tmp_path / "errors.txt", [failure(3, "E: no")])
    text = (tmp_path / "errors.txt").read_text()
    assert text == "row 3 (2 attempts): x = 3, name = a\nTraceback\nE: no\noutput:\nsaid\n\n"
    write_failures(tmp_path / "errors.jsonl", [failure(3, "E: no"), failure(4, "E: no")])
    lines = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == [3, 4]
    assert lines[0]["parameters"] == {"x": 3, "name": "a"}
