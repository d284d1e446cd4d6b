"""What both wires share."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from compute_executor.sdk.wires.wire import chunks


@settings(deadline=None)
@given(st.lists(st.integers()), st.integers(1, 10))
def test_chunks_lose_nothing_and_are_as_large_as_may_be(items: list[int], count: int) -> None:
    found = list(chunks(items, count))
    assert [one for some in found for one in some] == items
    assert all(len(some) == count for some in found[:-1])
    assert all(0 < len(some) <= count for some in found)
