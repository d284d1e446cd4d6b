from __future__ import annotations

from compute_executor.endpoint.leases.clocks import ahead


def test_clocks_that_may_be_equal_are() -> None:
    """Else what ends on this machine could end after its caller has seen it."""
    assert [ahead(100.0, 102.0, theirs) for theirs in (100.0, 100.1, 102.0)] == [0.0] * 3


def test_others_differ_by_the_middle_of_the_exchange() -> None:
    assert ahead(100.0, 102.0, 50.0) == 51.0
    assert ahead(100.0, 102.0, 151.0) == -50.0
