from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from compute_executor.cli.plan import Row
from compute_executor.cli.running import SweepRun


def places(count: int) -> Iterator[tuple[int, Row]]:
    return ((place, {"x": place}) for place in range(count))


def square(x: int) -> int:
    return x * x


def test_every_row_is_called_once_and_comes_back_with_its_place() -> None:
    with ThreadPoolExecutor(3) as executor:
        ended = [
            one for some in SweepRun(executor, square, places(100), in_flight=7).outcomes() for one in some
        ]
    assert sorted((one.place, one.row["x"], one.future.result()) for one in ended) == [
        (place, place, place * place) for place in range(100)
    ]


class Held(ThreadPoolExecutor):
    """Keeps every future open until the test ends it, or after as many submissions as ``then`` says."""

    def __init__(self, then: dict[int, int] | None = None) -> None:
        super().__init__(1)
        self.futures: list[Future[Any]] = []
        self._then = then or {}

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        self.futures.append(Future())
        if len(self.futures) in self._then:
            self.futures[self._then[len(self.futures)]].set_result(None)
        return self.futures[-1]


def test_no_more_are_in_flight_than_allowed() -> None:
    executor = Held(then={5: 3})
    outcomes = SweepRun(executor, square, places(100), in_flight=5).outcomes()
    assert [one.place for one in next(outcomes)] == [3]
    assert len(executor.futures) == 5
    executor.futures[0].set_result(None)
    assert [one.place for one in next(outcomes)] == [0]
    assert len(executor.futures) == 6


def test_an_interrupt_yields_what_has_ended_and_submits_no_more() -> None:
    executor = Held(then={4: 0})
    run = SweepRun(executor, square, places(100), in_flight=4)
    outcomes = run.outcomes()
    next(outcomes)
    executor.futures[1].set_result(None)
    run.interrupt()
    assert [[one.place for one in some] for some in outcomes] == [[1]]
    assert run.interrupted
    assert len(executor.futures) == 5


def test_an_interrupt_while_nothing_has_ended_yields_nothing() -> None:
    executor = Held()
    run = SweepRun(executor, square, places(3))
    run.interrupt()
    assert list(run.outcomes()) == []


def test_no_rows_no_outcomes() -> None:
    assert list(SweepRun(Held(), square, places(0)).outcomes()) == []
