from __future__ import annotations

from compute_executor.service.process.idle import IdleClock


def test_it_is_time_after_so_long_without_anything() -> None:
    clock = IdleClock(10, now=100)
    assert not clock.look(busy=False, requests=0, now=109)
    assert clock.look(busy=False, requests=0, now=110)


def test_work_and_requests_start_it_anew() -> None:
    clock = IdleClock(10, now=100)
    assert not clock.look(busy=True, requests=0, now=111)
    assert not clock.look(busy=False, requests=0, now=120)
    assert not clock.look(busy=False, requests=1, now=121)
    assert not clock.look(busy=False, requests=1, now=130)
    assert clock.look(busy=False, requests=1, now=131)


def test_no_patience_is_no_time_at_all() -> None:
    clock = IdleClock(0, now=100)
    assert not IdleClock(float("inf"), now=0).look(busy=False, requests=0, now=1e9)
    assert clock.look(busy=False, requests=0, now=100)
