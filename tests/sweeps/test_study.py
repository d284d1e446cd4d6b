"""A study on threads: what is kept, run, stopped, resumed."""

from __future__ import annotations

import csv
import gc
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import InvalidRequest, NotFound, ServiceUnavailable
from compute_executor.sweeps.book import Book, book_of
from compute_executor.sweeps.design import Design
from compute_executor.sweeps.grid import Axis
from compute_executor.sweeps.study import Study, StudyRequest


class Counted:
    """A function that knows how often it was called with what, and fails where it is told to."""

    def __init__(self, fails: dict[int, int] | None = None) -> None:
        self.calls: list[int] = []
        self.fails = fails or {}

    def __call__(self, x: int) -> int:
        self.calls.append(x)
        if self.fails.get(x, 0) > 0:
            self.fails[x] -= 1
            raise ValueError(f"{x} is told to fail")
        return x * x


def request(function: Callable[..., Any], values: list[int], **options: Any) -> StudyRequest:
    return StudyRequest(function, Design(axes=[Axis("x", values)]), "m.py:f", **options)


def run(asked: StudyRequest, executor: Executor | None = None) -> Study:
    study = Study(asked)
    with executor or ThreadPoolExecutor(2) as used:
        study.run(used)
    study.finish()
    study.close()
    return study


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "results.csv"


def test_every_row_is_in_the_table_and_whole_in_the_book(out: Path) -> None:
    run(request(Counted(), list(range(2000)), out=out))
    assert [(int(row["x"]), int(row["result"])) for row in read(out)] == [(x, x * x) for x in range(2000)]
    book = Book(book_of(out))
    assert [row.value() for row in book.rows()] == [x * x for x in range(2000)]
    assert book.get("finished")
    book.close()


def test_resume_runs_what_failed_and_what_is_new_and_keeps_the_rest(out: Path) -> None:
    function = Counted({2: 1})
    first = run(request(function, [1, 2, 3], out=out))
    assert (first.tally.failed, first.first_failure) == (1, "ValueError: 2 is told to fail")
    function.calls.clear()
    second = run(request(function, [0, 1, 2, 3, 4], out=out, resume=True))
    assert sorted(function.calls) == [0, 2, 4]
    assert (second.tally.skipped, second.tally.ended, second.tally.failed) == (2, 3, 0)
    assert [row["result"] for row in read(out)] == ["0", "1", "4", "9", "16"]


def test_resume_takes_no_value_for_that_of_another_with_the_same_text(out: Path) -> None:
    def shown(x: Any) -> str:
        return repr(x)

    def asked(values: list[Any], **options: Any) -> StudyRequest:
        return StudyRequest(shown, Design(axes=[Axis("x", values)]), "m.py:f", out=out, **options)

    run(asked(["a", 5, True, 0.0, None]))
    values = [" a", "a", "5", 5.0, 1, True, -0.0, 0.0, "null", None]
    second = run(asked(values, resume=True))
    assert second.tally.skipped == 5
    found = [row["result"].strip("'") for row in read(out)]
    assert found == [" a", "a", "5", "5", "1", "True", "-0.0", "0.0", "null", "None"]


def test_attempts_are_counted_over_all_runs(out: Path) -> None:
    function = Counted({1: 5})
    run(request(function, [1], out=out, retries=1))
    run(request(function, [1], out=out, resume=True, retries=2))
    book = Book(book_of(out))
    (row,) = book.rows()
    assert row.end is not None
    assert row.end.attempts == 5
    assert "test_study.py" in row.end.traceback
    book.close()


def test_a_row_that_fails_is_tried_again_at_once_if_asked(out: Path) -> None:
    function = Counted({1: 2, 2: 1})
    study = run(request(function, [1, 2, 3], out=out, retries=2))
    assert study.tally.failed == 0
    assert sorted(function.calls) == [1, 1, 1, 2, 2, 3]


def test_retry_failed_runs_those_and_no_others(out: Path) -> None:
    function = Counted({2: 1})
    run(request(function, [1, 2], out=out))
    function.calls.clear()
    run(request(function, [1, 2, 3], out=out, retry_failed=True))
    assert function.calls == [2]
    assert [row["x"] for row in read(out)] == ["1", "2"]


def test_too_many_failures_end_it_and_the_rest_can_be_run(out: Path) -> None:
    function = Counted(dict.fromkeys(range(6000), 1))
    study = Study(request(function, list(range(6000)), out=out))
    with ThreadPoolExecutor(1) as executor:
        study.run(executor)
        executor.shutdown(cancel_futures=True)
    study.finish()
    study.close()
    assert "the first 20 rows all failed alike" in study.stopped
    assert study.tally.ended < 6000
    run(request(function, list(range(6000)), out=out, resume=True, max_failures=6000))
    run(request(function, list(range(6000)), out=out, resume=True, max_failures=6000))
    assert len(read(out)) == 6000
    assert not any(row["error"] for row in read(out))


def test_an_interrupt_keeps_what_has_ended(out: Path) -> None:
    study = Study(request(Counted(), list(range(100_000)), out=out))

    def changed() -> None:
        study.interrupt()

    with ThreadPoolExecutor(1) as executor:
        study.run(executor, changed)
        executor.shutdown(cancel_futures=True)
    study.finish()
    study.close()
    assert 0 < len(read(out)) == study.tally.ended < 100_000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "is there already: add --resume"),
        ({"values": [1], "name": "m.py:g", "resume": True}, "is of another sweep: it is of m.py:f"),
        ({"axis": "y", "resume": True}, "is of another sweep: it has no column 'y'"),
    ],
)
def test_a_table_that_is_there_is_left_alone(out: Path, options: dict[str, Any], says: str) -> None:
    run(request(Counted(), [1], out=out))
    before = out.read_bytes()
    design = Design(axes=[Axis(options.pop("axis", "x"), options.pop("values", [1]))])
    with pytest.raises(InvalidRequest, match=says):
        Study(StudyRequest(Counted(), design, options.pop("name", "m.py:f"), out, **options))
    assert out.read_bytes() == before


def test_overwrite_begins_anew(out: Path) -> None:
    run(request(Counted(), [1, 2], out=out))
    run(request(Counted(), [7], out=out, overwrite=True))
    assert [row["x"] for row in read(out)] == ["7"]


def test_two_sweeps_into_one_table_at_once_are_refused(out: Path) -> None:
    study = Study(request(Counted(), [1], out=out))
    for options in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(InvalidRequest, match="another sweep is writing to"):
            Study(request(Counted(), [1], out=out, **options))
    study.close()


def test_an_unfinished_book_without_its_table_is_not_lost(out: Path) -> None:
    study = Study(request(Counted({1: 1}), [1], out=out.with_suffix(".pickle")))
    with ThreadPoolExecutor(1) as executor:
        study.run(executor)
    study.close()  # as after a kill: no table was written
    with pytest.raises(InvalidRequest, match="is the book of a sweep that has not ended: add --resume"):
        Study(request(Counted(), [1], out=out.with_suffix(".pickle")))
    run(request(Counted(), [1], out=out.with_suffix(".pickle"), resume=True))
    run(request(Counted(), [1], out=out.with_suffix(".pickle"), overwrite=True))
    out.with_suffix(".pickle").unlink()
    run(
        request(Counted(), [1], out=out.with_suffix(".pickle"))
    )  # it had ended: whoever removes the table knows why


def test_a_table_whose_book_is_gone_is_gone_on_with(out: Path) -> None:
    run(request(Counted(), [1, 2], out=out))
    book_of(out).unlink()
    with out.open("a") as file:
        file.write('3,"torn')
    function = Counted()
    run(request(function, [1, 2, 3], out=out, resume=True))
    assert function.calls == [3]
    assert [row["result"] for row in read(out)] == ["1", "4", "9"]


def test_without_a_table_the_book_goes_with_the_study(tmp_path: Path) -> None:
    study = run(request(Counted(), [1, 2]))
    assert study.book.path.exists()
    path = study.book.path
    del study
    gc.collect()
    assert not path.exists()


class Service(ThreadPoolExecutor):
    """Threads that stand for our Executor: it has a task group, and knows calls of an earlier one."""

    def __init__(self, earlier: dict[str, list[Future[Any]]] | None = None) -> None:
        super().__init__(1)
        self.task_group_id = "group-2"
        self.earlier = earlier
        self.asked: list[str] = []

    def reload_tasks(self, group: str, *, known: dict[bytes, int]) -> list[Future[Any]]:
        self.asked.append(group)
        if self.earlier is None:
            raise NotFound("there is no such group")
        return self.earlier[group]


def unfinished(out: Path, count: int) -> None:
    """A sweep that was killed: its calls are noted, none has ended."""
    study = Study(request(Counted(), list(range(count)), out=out))
    study.book.add_group("group-1")
    study.book.add_calls((n, {"x": n}) for n in range(count))
    study.close()


def test_calls_that_still_run_are_taken_over_and_not_run_again(out: Path) -> None:
    unfinished(out, 5)
    earlier: list[Future[Any]] = [Future() for _ in range(4)]
    earlier[0].set_result((0, "earlier"))
    raised = ValueError("no")
    raised._sweep_row = 1  # type: ignore[attr-defined]
    earlier[1].set_exception(raised)
    function = Counted()
    service = Service({"group-1": earlier})

    def end() -> None:
        earlier[2].set_result((2, "late"))
        earlier[3].cancel()
        earlier[3].set_running_or_notify_cancel()

    timer = threading.Timer(0.2, end)
    timer.start()
    study = run(request(function, [0, 1, 2, 3, 4, 5], out=out, resume=True), service)
    timer.join()
    assert sorted(function.calls) == [3, 4, 5]
    assert study.tally.adopted == 4
    assert [row["result"] for row in read(out)] == ["earlier", "", "late", "9", "16", "25"]
    assert [row["error"] for row in read(out)] == ["", "ValueError: no", "", "", "", ""]


def test_calls_for_which_no_row_waits_are_not_waited_for(out: Path) -> None:
    unfinished(out, 3)
    service = Service({"group-1": [Future()]})
    study = Study(request(Counted(), [7], out=out, resume=True))
    with service:
        study.run(service)
    study.finish()
    study.close()
    assert [row["x"] for row in read(out)] == ["7"]


def test_what_the_service_has_forgotten_is_run_again(out: Path) -> None:
    unfinished(out, 3)
    function = Counted()
    service = Service()
    run(request(function, [0, 1, 2], out=out, resume=True), service)
    assert service.asked == ["group-1"]
    assert sorted(function.calls) == [0, 1, 2]
    run(request(function, [0, 1, 2], out=out, resume=True), Service())
    book = Book(book_of(out))
    assert book.groups() == []  # all have ended
    book.close()


def test_trouble_of_the_service_ends_it_and_nothing_is_an_error_of_a_row(out: Path) -> None:
    def unavailable(x: int) -> None:
        raise ServiceUnavailable("gone")

    study = Study(request(unavailable, [1], out=out))
    with ThreadPoolExecutor(1) as executor, pytest.raises(ServiceUnavailable):
        study.run(executor)
    study.close()
    book = Book(book_of(out))
    assert (book.counts(), book.open_calls()) == ((0, 0), 1)
    book.close()
