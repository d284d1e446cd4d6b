"""What arrives at the function and in the table, through the whole command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Command = Callable[..., Result]

MODEL = """
def kind(x):
    return type(x).__name__

def annotated(flag: bool):
    return str(flag)

def leaves_default(x, y=7):
    return y

def array(n):
    import numpy
    return numpy.arange(n)

def power(n):
    return 10 ** n

class Silent:
    pass

class Broken:
    def __str__(self):
        return str(1 / 0)

def odd_objects(x):
    return {1: 1, 2: Silent(), 3: Broken()}[x]

def nested(x):
    circle = {"a": {"b": x}}
    if x == 2:
        circle["c"] = circle
    return circle
"""


@pytest.fixture(autouse=True)
def model(here: Path) -> None:
    (here / "valued.py").write_text(MODEL)


def read(name: str = "results.csv") -> list[dict[str, str]]:
    csv.field_size_limit(2**31 - 1)
    with Path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("function", "grid", "arrived"),
    [
        ("kind", "x=true,false", ["bool", "bool"]),
        ("kind", "x=null,1", ["NoneType", "int"]),
        ("annotated", "flag=1,false", ["True", "False"]),
        ("leaves_default", "x=1", ["7"]),
    ],
)
def test_values_arrive_as_what_they_are(
    command: Command, function: str, grid: str, arrived: list[str]
) -> None:
    assert command("sweep", f"valued.py:{function}", "--grid", grid).exit_code == 0
    assert [row["result"] for row in read()] == arrived


def test_an_empty_cell_is_the_default_and_other_columns_are_carried_along(command: Command) -> None:
    Path("in.csv").write_text("x;y;where it was\n1;;north\n2;3;south\n")
    sweep = ("sweep", "valued.py:leaves_default", "--params", "in.csv")
    assert command(*sweep).exit_code == 0
    expected = [("1", "", "north", "7"), ("2", "3", "south", "3")]
    assert [(r["x"], r["y"], r["where it was"], r["result"]) for r in read()] == expected
    assert "2 rows (2 were there before)" in command(*sweep, "--resume").stdout


def test_an_array_is_written_whole(command: Command) -> None:
    pytest.importorskip("numpy")
    assert command("sweep", "valued.py:array", "--grid", "n=2000").exit_code == 0
    assert json.loads(read()[0]["result"]) == list(range(2000))


def test_a_result_that_cannot_be_written_fails_its_row_alone(command: Command) -> None:
    done = command("sweep", "valued.py:odd_objects", "--grid", "x=1,2,3")
    assert done.exit_code == 1
    assert (
        "2 rows could not be written as they are. All values are in results.csv.sweep, whole" in done.stderr
    )
    assert [row["result"] for row in read()] == ["1", "", ""]
    assert "valued.Silent cannot be written as text" in read()[1]["error"]
    assert "ZeroDivisionError" in read()[2]["error"]


def test_mappings_in_a_mapping_are_columns_and_a_circle_fails_its_row_alone(command: Command) -> None:
    assert command("sweep", "valued.py:nested", "--grid", "x=1,2,3").exit_code == 1
    assert [row["a.b"] for row in read()] == ["1", "", "3"]
    assert "RecursionError" in read()[1]["error"]


def test_a_number_of_any_size_is_written(command: Command) -> None:
    assert command("sweep", "valued.py:power", "--grid", "n=2,5000,3").exit_code == 0
    assert [len(row["result"]) for row in read()] == [3, 5001, 4]


def test_a_constant_may_hold_commas(command: Command) -> None:
    assert command("sweep", "valued.py:kind", "--set", "x=a,b").exit_code == 0
    assert read() == [{"x": "a,b", "result": "str", "error": ""}]
    done = command("sweep", "valued.py:kind", "--grid", "x=1", "--set", "x=2", "--overwrite")
    assert "given twice" in done.stderr


def test_a_row_with_none_and_one_with_the_default_are_not_the_same(command: Command) -> None:
    Path("in.csv").write_text("x,y\n1,null\n1,\n")
    sweep = ("sweep", "valued.py:leaves_default", "--params", "in.csv")
    command(*sweep)
    Path("in.csv").write_text("x,y\n1,\n1,null\n")
    command(*sweep, "--resume")
    assert [(row["y"], row["result"]) for row in read()] == [("", "7"), ("null", "")]
