from __future__ import annotations

from compute_executor.endpoint.leases.balance import Load, keeping


def test_what_waits_behind_others_is_for_whoever_has_nothing() -> None:
    assert keeping([Load(2, 4), Load(2, 0)]) == [True, False]
    assert keeping([Load(2, 3), Load(2, 9), Load(2, 1)]) == [True, True, False]


def test_else_all_stays() -> None:
    assert keeping([Load(2, 9), Load(2, 2)]) == [False, False], "nobody has a worker without a task"
    assert keeping([Load(2, 2), Load(2, 0)]) == [False, False], "what runs stays"
    assert keeping([Load(0, 0), Load(2, 3)]) == [False, False], "nobody has a worker yet"
    assert keeping([]) == []
