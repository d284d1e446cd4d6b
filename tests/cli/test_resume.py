from __future__ import annotations

from pathlib import Path

import pytest

from compute_executor.cli.plan import Row
from compute_executor.cli.resume import ResumedRows, reopen
from compute_executor.cli.table import rows
from compute_executor.cli.wrong_input import WrongInput


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.csv"


def plan(*values: object) -> list[Row]:
    return [{"x": value} for value in values]


def test_rows_with_a_result_are_not_run_again(path: Path) -> None:
    path.write_text("x,result,error\n1,10,\n2.0,20,\n3,,ValueError: no\n")
    table, book = reopen(path, ["x"], [])
    assert list(book.to_run(plan(1, 2, 3, 4))) == [(2, {"x": 3}), (3, {"x": 4})]
    assert book.skipped == 2
    book.enter(3, table.add(table.cells({"x": 4}, {"result": 40})))
    book.enter(2, table.add(table.cells({"x": 3}, {"result": 30})))
    table.arrange(book.order())
    assert [row["result"] for row in rows(path, 9)] == ["10", "20", "30", "40"]


def test_equal_rows_count_as_often_as_they_are_there(path: Path) -> None:
    path.write_text("x,result,error\n1,a,\n1,b,\n")
    table, book = reopen(path, ["x"], [])
    table.close()
    assert [place for place, _ in book.to_run(plan(1, 1, 1))] == [2]


def test_a_torn_line_is_cut_off_and_its_row_run_again(path: Path) -> None:
    path.write_text("x,result,error\n1,10,\n2,2")
    table, book = reopen(path, ["x"], [])
    assert [row["x"] for _, row in book.to_run(plan(1, 2))] == [2]
    table.add(table.cells({"x": 2}, {"result": 20}))
    table.close()
    assert path.read_text() == "x,result,error\n1,10,\n2,20,\n"


def test_rows_of_another_grid_are_kept_at_the_end(path: Path) -> None:
    path.write_text("x,result,error\n9,90,\n1,10,\n8,,failed then\n")
    table, book = reopen(path, ["x"], [])
    assert list(book.to_run(plan(1))) == []
    assert book.foreign() == [0]
    table.arrange(book.order())
    assert [row["x"] for row in rows(path, 9)] == ["1", "9"]


def test_columns_are_found_by_name(path: Path) -> None:
    path.write_text("y,x,result,error\n5,1,10,\n")
    table, book = reopen(path, ["x", "y"], [])
    assert list(book.to_run([{"x": 1, "y": 5}, {"x": 5, "y": 1}])) == [(1, {"x": 5, "y": 1})]
    table.add(table.cells({"x": 5, "y": 1}, {"result": 0}))
    table.close()
    assert path.read_text().splitlines()[2] == "1,5,0,"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column 'x'"),
        ("y,result,error\n1,1,\n", "no column 'x'"),
        ("x,result\n1,1\n", "no column 'error'"),
        ("x,z,result,error\n1,1,1,\n", "sweeps 'z' too"),
        ("x,result,error\n1,1\n", "record 1 has 2 cells for 3 columns"),
        ("x,result,error\n1,\xff,\n", "no table of results"),
        ('x,result,error\n"1"2,1,\n', "no table of results"),
    ],
)
def test_a_table_of_another_sweep_is_refused_and_left_as_it_is(path: Path, text: str, says: str) -> None:
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(WrongInput, match=says):
        reopen(path, ["x"], ["z"])
    assert path.read_bytes() == text.encode("latin-1")


def test_without_an_earlier_table_everything_runs() -> None:
    book = ResumedRows()
    assert [place for place, _ in book.to_run(plan(1, 1))] == [0, 1]
    assert list(book.order()) == book.foreign() == []
