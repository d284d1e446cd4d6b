"""Users have their turns; nobody's operations change their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compute_executor.service.store.operations import OperationQueues


def test_one_operation_waits_for_some_of_another_users() -> None:
    waiting: OperationQueues[str] = OperationQueues()
    for number in range(9):
        waiting.put("ann", f"a{number}")
    waiting.put("bob", "b0")
    assert waiting.take(4) == ["a0", "b0", "a1", "a2"]
    assert waiting
    waiting.put("eve", "e0")
    assert waiting.take(9) == ["a3", "e0", "a4", "a5", "a6", "a7", "a8"]
    assert not waiting
    assert waiting.take(1) == []


moves = st.lists(st.one_of(st.sampled_from("abc"), st.integers(1, 5)), max_size=40)


@given(moves)
def test_nothing_is_lost_and_each_users_order_is_kept(moves: list[str | int]) -> None:
    waiting: OperationQueues[tuple[str, int]] = OperationQueues()
    put: list[tuple[str, int]] = []
    taken: list[tuple[str, int]] = []
    for move in [*moves, 1000]:
        if isinstance(move, int):
            found = waiting.take(move)
            assert len(found) == min(move, len(put) - len(taken))
            taken += found
        else:
            put.append((move, len(put)))
            waiting.put(move, put[-1])
    for user in "abc":
        assert [one for one in taken if one[0] == user] == [one for one in put if one[0] == user]
