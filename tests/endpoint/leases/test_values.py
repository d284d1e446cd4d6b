"""What a holder keeps, as values: held tasks, reports, functions, credit."""

from __future__ import annotations

from compute_executor.endpoint.leases.function_table import FunctionTable
from compute_executor.endpoint.leases.held_tasks import HeldTasks
from compute_executor.endpoint.leases.outbox import ReportOutbox
from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.endpoint.pool.scheduling_policy import Assignment
from compute_executor.protocol.frames import VALUE, Blob


def task(position: int) -> Assignment:
    return Assignment(7, position, 1, 0, b"body")


def ended(position: int) -> TaskEnded:
    return TaskEnded(7, position, 1, VALUE, b"value", 1.0, 2.0)


def holding(count: int) -> HeldTasks:
    held = HeldTasks()
    for position in range(count):
        held.add(task(position))
        held.ready((7, position, 1))
    return held


def test_tasks_are_taken_in_order_and_once() -> None:
    held = holding(5)
    assert held.take(2) == [task(0), task(1)]
    assert held.take(9) == [task(2), task(3), task(4)]
    assert held.take(9) == []
    assert (len(held), held.waiting) == (5, 0)


def test_a_task_whose_body_is_not_here_is_not_taken() -> None:
    held = HeldTasks()
    held.add(task(0))
    assert held.take(1) == []
    held.ready((7, 0, 1))
    assert held.take(1) == [task(0)]


def test_what_the_engine_has_is_not_given_back() -> None:
    held = holding(4)
    held.take(2)
    assert held.give_back([(7, 0), (7, 2), (7, 9)]) == [(7, 2, 1)]
    assert held.give_back_newest(0) == [(7, 3, 1)]
    assert held.take(9) == []
    assert held.keys == [(7, 0, 1), (7, 1, 1)]


def test_what_comes_back_from_the_engine_is_first_again() -> None:
    held = holding(3)
    held.take(2)
    held.came_back([(7, 0, 1), (7, 1, 1), (7, 9, 1)])
    assert held.take(9) == [task(0), task(1), task(2)]
    assert held.remove((7, 1, 1))
    assert not held.remove((7, 1, 1))


def test_the_oldest_are_kept_when_others_could_run_some_sooner() -> None:
    held = holding(6)
    assert held.give_back_newest(2) == [(7, position, 1) for position in (2, 3, 4, 5)]


def test_reports_are_numbered_and_kept_until_they_are_stored() -> None:
    outbox = ReportOutbox()
    assert outbox.close_report() is None
    outbox.add([ended(0)])
    outbox.add([ended(1)])
    first = outbox.close_report()
    outbox.add([ended(2)])
    second = outbox.close_report()
    assert first is not None
    assert second is not None
    assert (first.number, len(first.outcomes), second.number) == (1, 2, 2)
    assert outbox.progress == (3, 0)
    assert outbox.names() == {(7, 0, 1), (7, 1, 1), (7, 2, 1)}
    assert outbox.stored(1) == [ended(0), ended(1)]
    assert outbox.progress == (3, 2)
    assert outbox.unstored() == [second]
    assert outbox.stored(1) == []
    assert outbox.stored(2) == [ended(2)]
    assert outbox.empty


def test_a_function_keeps_its_number_over_connections() -> None:
    table = FunctionTable()
    table.add(3, b"code")
    table.add(4, Blob("a" * 32, 70_000))
    table.new_connection()
    table.add(9, b"code")
    assert table.local(9) == 0
    assert table.code(0) == b"code"
    assert table.code(1) == Blob("a" * 32, 70_000)
