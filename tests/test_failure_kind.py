"""Which failures are alike."""

from __future__ import annotations

from compute_executor.failure_kind import kind_of_failure


def test_failures_are_alike_without_their_numbers_and_names() -> None:
    assert kind_of_failure("E: no 1e5 at 0x7f12 in 'a b'") == kind_of_failure("E: no 3 at 0x81 in 'c'")
    assert kind_of_failure("E: a") != kind_of_failure("F: a")
