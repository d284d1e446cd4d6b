from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_executor.cli.table import ResultsTable, as_result, records, replaced, rows


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.csv"


def test_a_column_per_parameter_and_per_key_then_the_error(path: Path) -> None:
    table = ResultsTable(path, ["x"])
    table.add(table.cells({"x": 1}, {"a": 0.1, "b": None}))
    table.add(table.cells({"x": 2}, {}, 'ValueError: no, "no"\nand no'))
    table.close()
    assert table.results() == ["a", "b"]
    assert path.read_text() == 'x,a,b,error\n1,0.1,,\n2,,,"ValueError: no, ""no""\nand no"\n'


def test_rows_are_in_the_file_once_flushed(path: Path) -> None:
    table = ResultsTable(path, ["x"])
    table.add(table.cells({"x": 1}, {"a": 1}))
    table.add(table.cells({"x": 2}, {"a": 2}))
    table.flush()
    assert [row["a"] for row in read(path)] == ["1", "2"]
    table.close()


def test_a_column_that_turns_up_late_is_added_to_the_rows_before(path: Path) -> None:
    table = ResultsTable(path, ["x"])
    table.add(table.cells({"x": 1}, {}, "broken\nhere"))
    table.add(table.cells({"x": 2}, {"a": 1}))
    table.add(table.cells({"x": 3}, {"b": 2}))
    table.close()
    assert read(path) == [
        {"x": "1", "a": "", "b": "", "error": "broken\nhere"},
        {"x": "2", "a": "1", "b": "", "error": ""},
        {"x": "3", "a": "", "b": "2", "error": ""},
    ]


def test_a_result_named_like_a_parameter_or_error_gets_a_name_of_its_own(path: Path) -> None:
    table = ResultsTable(path, ["x"], taken=["y"])
    table.add(table.cells({"x": 1}, {"x": 2, "y": 3, "error": 4}))
    table.close()
    assert read(path) == [{"x": "1", "result.x": "2", "result.y": "3", "result.error": "4", "error": ""}]


def test_arranged_it_has_the_records_asked_for_in_that_order(path: Path) -> None:
    table = ResultsTable(path, ["x"])
    numbers = [table.add(table.cells({"x": x}, {"text": f"{x}\n{x}"})) for x in range(5)]
    assert numbers == [0, 1, 2, 3, 4]
    table.arrange([3, 0, 4])
    assert [row["x"] for row in read(path)] == ["3", "0", "4"]
    assert [row["x"] for row in rows(path, 2)] == ["3", "0"]


def test_a_new_table_takes_the_place_of_the_old_one(path: Path) -> None:
    path.write_text("something else")
    ResultsTable(path, ["x"]).close()
    assert path.read_text() == "x,error\n"


@given(st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=2), max_size=8), st.data())
def test_cut_anywhere_the_whole_records_before_the_cut_are_found(
    tmp_path_factory: pytest.TempPathFactory, cells: list[list[str]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "out.csv"
    table = ResultsTable(path, ["a", "b"])
    for a, b in cells:
        table.add(table.cells({"a": a, "b": b}, {}))
    table.close()
    content = path.read_bytes()
    whole = list(records(io.BytesIO(content)))
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    with path.open("rb") as file:
        found = list(records(file))
    assert found == [record for record in whole if record[1] <= cut]


def test_what_is_no_mapping_is_one_result() -> None:
    assert as_result(5) == {"result": 5}
    assert as_result({"a": 1}) == {"a": 1}
    assert as_result(None) == {"result": None}


def test_replacing_fails_whole(path: Path) -> None:
    path.write_text("before")

    def fail() -> None:
        with replaced(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [entry.name for entry in path.parent.iterdir()] == ["out.csv"]
    assert path.read_text() == "before"
