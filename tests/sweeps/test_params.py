from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps import target
from compute_executor.sweeps.annotations import Parameters
from compute_executor.sweeps.params import ParamTable


def table(folder: Path, text: str) -> ParamTable:
    path = folder / "table.csv"
    path.write_bytes(text.encode())
    return ParamTable(path)


def test_a_row_is_a_call_and_each_column_has_one_type(tmp_path: Path) -> None:
    found = table(tmp_path, 'n,rate,name\n1,1,"a, b"\n2,0.5,007\n')
    assert found.names == ["n", "rate", "name"]
    assert found.count == 2
    assert list(found.rows()) == [
        {"n": 1, "rate": 1.0, "name": "a, b"},
        {"n": 2, "rate": 0.5, "name": "007"},
    ]


def test_rows_can_be_read_again(tmp_path: Path) -> None:
    found = table(tmp_path, "n\n1\n2\n")
    assert list(found.rows()) == list(found.rows()) == [{"n": 1}, {"n": 2}]


def test_a_spreadsheets_mark_line_ends_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    assert list(table(tmp_path, "\ufeffn,m\r\n1,2\r\n\r\n3,4\r\n").rows()) == [
        {"n": 1, "m": 2},
        {"n": 3, "m": 4},
    ]


def test_only_columns_with_different_values_vary(tmp_path: Path) -> None:
    assert table(tmp_path, "a,b,c\n1,5,x\n2,5,x\n1,5,y\n").varying == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("n\n", "no rows"),
        ("n,m\n1\n", "line 2: 1 cells for 2 columns"),
        ("n,n\n1,2\n", "'n'"),
        ("n,my rate\n1,2\n", "'my rate'"),
        ('n\n"1\n', "no CSV table"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        table(tmp_path, text)
    assert "table.csv" in refused.value.message


def test_a_file_that_is_absent_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"cannot read .*absent\.csv: No such file"):
        ParamTable(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"n\n\xff\xfe\n")
    with pytest.raises(InvalidRequest, match=r"binary\.csv is no table in UTF-8"):
        ParamTable(tmp_path / "binary.csv")


def test_documents_bring_their_types(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"n": 1, "name": "007", "list": [1, 2]}, {"n": 2.5}]')
    found = ParamTable(path, defaults=["name", "list"])
    assert list(found.rows()) == [{"n": 1, "name": "007", "list": [1, 2]}, {"n": 2.5}]
    (tmp_path / "rows.toml").write_text("[[rows]]\nflag = true\n")
    assert list(ParamTable(tmp_path / "rows.toml").rows()) == [{"flag": True}]
    (tmp_path / "rows.jsonl").write_text('{"n": null}\n\n{"n": 3}\n')
    assert list(ParamTable(tmp_path / "rows.jsonl").rows()) == [{"n": None}, {"n": 3}]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", "{"), ("a.json", "[1]"), ("a.toml", "="), ("a.jsonl", "x"), ("a.json", "[]")],
)
def test_a_wrong_document_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidRequest, match=name):
        ParamTable(tmp_path / name)


def test_yaml_and_parquet(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    (tmp_path / "a.yaml").write_text("- n: 1\n  flag: true\n")
    assert list(ParamTable(tmp_path / "a.yaml").rows()) == [{"n": 1, "flag": True}]
    (tmp_path / "b.yaml").write_text("- [\n")
    with pytest.raises(InvalidRequest, match=r"b\.yaml is no YAML table"):
        ParamTable(tmp_path / "b.yaml")
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pandas.DataFrame({"n": [1, 2], "name": ["007", "x"]}).to_parquet(tmp_path / "c.parquet")
    assert list(ParamTable(tmp_path / "c.parquet").rows()) == [{"n": 1, "name": "007"}, {"n": 2, "name": "x"}]
    (tmp_path / "d.parquet").write_text("no parquet")
    with pytest.raises(InvalidRequest, match=r"d\.parquet is no PARQUET table"):
        ParamTable(tmp_path / "d.parquet")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_delimiter_is_recognised(tmp_path: Path, mark: str) -> None:
    assert list(table(tmp_path, f"n{mark}m\n1{mark}2\n").rows()) == [{"n": 1, "m": 2}]


def test_an_empty_cell_needs_a_default(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"line 2, m: the cell is empty"):
        table(tmp_path, "n,m\n1,\n")


def test_a_column_of_floats_does_not_take_digits_from_a_whole_number(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"line 2, n: 9007199254740993 among floats would lose digits"):
        table(tmp_path, "n\n9007199254740993\n0.5\n")


def keywords(x: Any = 0, y: Any = 0) -> None: ...


def document(path: Path, text: str, function: Callable[..., Any] = keywords) -> ParamTable:
    path.write_text(text)
    return ParamTable(
        path, Parameters(function), target.accepted(function), target.optional_parameters(function)
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", '[{"x": "5"}, {"x": "true"}, {"x": ""}, {"x": " a "}, {}]'),
        ("t.jsonl", '{"x": "5"}\n{"x": "true"}\n{"x": ""}\n{"x": " a "}\n{"y": 0}\n'),
        ("t.yaml", "- x: '5'\n- x: 'true'\n- x: ''\n- x: ' a '\n- y: 0\n"),
        ("t.toml", "[[r]]\nx='5'\n[[r]]\nx='true'\n[[r]]\nx=''\n[[r]]\nx=' a '\n[[r]]\ny=0\n"),
    ],
)
def test_text_in_a_document_is_text_and_an_empty_one_is_no_empty_cell(
    tmp_path: Path, name: str, text: str
) -> None:
    rows = list(document(tmp_path / name, text).rows())
    assert [row.get("x") for row in rows] == ["5", "true", "", " a ", None]
    assert "x" not in rows[-1]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("t.json", '[{"x": 1e400}]', "1e400 is outside the range"),
        ("t.toml", "[[r]]\nx=1e400\n", "1e400 is outside the range"),
        ("t.yaml", "- x: 1.0e+400\n", "outside the range"),
        ("t.json", '[{"x": 1, "x": 2}]', "'x' is there twice"),
        ("t.yaml", "- x: 1\n  x: 2\n", "'x' is there twice"),
        ("t.csv", "a;b\n1;2\n", r"none of its columns \(a, b\) is a parameter; there is x, y"),
        ("t.csv", "X,y\n1,2\n", "column 'X' is no parameter, and 'x' is"),
        ("t.xlsx", "no zip", "it is no workbook"),
    ],
)
def test_what_would_be_lost_in_a_document_is_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        document(tmp_path / name, text)


@pytest.mark.parametrize(
    "text", ['[{"x": 1}, {"x": 2.5}]', '[{"x": 1}, {"x": [1]}]', '[{"x": 1}, {"x": null}]']
)
def test_a_value_of_a_document_is_looked_at_before_the_run(tmp_path: Path, text: str) -> None:
    def count(x: int) -> None: ...

    with pytest.raises(InvalidRequest, match=r"t\.json record 2, x: x = "):
        document(tmp_path / "t.json", text, count)


def test_yaml_has_the_numbers_that_people_write(tmp_path: Path) -> None:
    text = "- x: 1e5\n- x: 1e-3\n- x: 2.5E3\n- x: '1e5'\n- x: .inf\n- x: 2026-01-02\n"
    values = [row["x"] for row in document(tmp_path / "t.yaml", text).rows()]
    assert values == [1e5, 1e-3, 2500.0, "1e5", math.inf, datetime.date(2026, 1, 2)]


@pytest.mark.parametrize("ending", ["parquet", "xlsx"])
def test_an_empty_cell_of_a_file_of_columns_is_the_default_or_else_nothing(
    tmp_path: Path, ending: str
) -> None:
    def model(x: Any, y: int = 3) -> None: ...

    path = tmp_path / f"t.{ending}"
    frame = pandas.DataFrame({"x": ["a", None], "y": pandas.array([None, 5], dtype="Int64")})
    frame.to_parquet(path) if ending == "parquet" else frame.to_excel(path, index=False)
    found = ParamTable(path, Parameters(model), {"x", "y"}, {"y"})
    assert list(found.rows()) == [{"x": "a"}, {"x": None, "y": 5}]
