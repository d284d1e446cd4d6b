from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from compute_executor.sweeps.calls import NumberedCall
from compute_executor.sweeps.running import FIRST, IN_FLIGHT, RowCall, SweepRun


def square(x: int) -> int:
    return x * x


def row(place: int) -> RowCall:
    return RowCall(place, place, {"x": place})


def test_every_call_comes_back_with_its_row() -> None:
    with ThreadPoolExecutor(3) as executor:
        run = SweepRun(executor, NumberedCall(square))
        for place in range(100):
            run.submit(row(place), {"x": place})
        ended: list[tuple[RowCall | None, Future[Any]]] = []
        while run.open:
            ended += run.take()
    assert sorted((entry.id, *future.result()) for entry, future in ended if entry) == [
        (place, place, place * place) for place in range(100)
    ]


class Held(ThreadPoolExecutor):
    """Keeps every future open until the test ends it."""

    def __init__(self) -> None:
        super().__init__(1)
        self.futures: list[Future[Any]] = []

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        self.futures.append(Future())
        return self.futures[-1]


def test_there_is_room_for_so_many_and_again_when_one_has_ended() -> None:
    executor = Held()
    run = SweepRun(executor, square, in_flight=2)
    run.submit(row(0), {})
    run.submit(row(1), {})
    assert run.room == 0
    executor.futures[1].set_result(None)
    assert [entry for entry, _ in run.take()] == [row(1)]
    assert run.room == 1


def test_the_first_rows_do_not_wait_until_thousands_are_submitted() -> None:
    executor = Held()
    run = SweepRun(executor, square)
    assert run.room == FIRST
    rooms = []
    for place in range(6):
        run.submit(row(place), {})
        executor.futures[-1].set_result(None)
        run.take()
        rooms.append(run.room)
    assert rooms == [512, 1024, 2048, IN_FLIGHT, IN_FLIGHT, IN_FLIGHT]


def test_calls_of_an_earlier_sweep_have_no_row_and_take_no_room() -> None:
    executor = Held()
    run = SweepRun(executor, square, in_flight=1)
    earlier: Future[Any] = Future()
    run.adopt([earlier])
    assert (run.adopted, run.room, run.open) == (1, 1, 0)
    earlier.set_result((7, 49))
    assert run.take() == [(None, earlier)]
    assert run.adopted == 0


def test_an_interrupt_arrives_between_two_outcomes() -> None:
    executor = Held()
    run = SweepRun(executor, square)
    run.submit(row(0), {})
    run.interrupt()
    assert run.take() == []
    assert run.interrupted
