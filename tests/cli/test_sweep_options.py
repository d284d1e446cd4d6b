"""The options of `sweep` beyond grids, and `plot` and `export`, through the whole command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compute_executor.cli import commands

Command = Callable[..., Result]

MODEL = """
import numpy as np

def bowl(a, b=0.0):
    return {"z": (a - 3) ** 2 + b * b}

def seeded(x, seed):
    return seed

def fails(x):
    if x % 3 == 0:
        print("about to fail")
        raise ValueError(f"{x} is a multiple")
    return x

def array(n: int):
    return np.arange(n)

def kinds(n: int):
    return n if n == 1 else "word"

def debugged(x):
    return x * 2
"""


@pytest.fixture(autouse=True)
def model(here: Path) -> None:
    (here / "optioned.py").write_text(MODEL)


def read(name: str = "results.csv") -> list[dict[str, str]]:
    with Path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_samples_with_a_condition(command: Command) -> None:
    sweep = ("sweep", "optioned.py:bowl", "--sample", "50", "--range", "a=0:1", "--range", "b=0:1")
    assert command(*sweep, "--where", "a < b", "--seed", "3").exit_code == 0
    rows = read()
    assert 10 < len(rows) < 40
    assert all(float(row["a"]) < float(row["b"]) for row in rows)
    assert list(rows[0]) == ["a", "b", "z", "error"]


def test_repeats_get_seeds(command: Command) -> None:
    assert (
        command("sweep", "optioned.py:seeded", "--grid", "x=1,2", "--repeat", "3", "--seed", "1").exit_code
        == 0
    )
    rows = read()
    assert [row["repeat"] for row in rows] == ["1", "2", "3"] * 2
    assert all(row["seed"] == row["result"] for row in rows)
    assert len({row["seed"] for row in rows}) == 6


def test_a_search_with_its_picture(command: Command) -> None:
    search = ("--range", "a=-10:10", "--minimize", "z", "--evaluations", "80", "--plot", "p.svg")
    done = command("sweep", "optioned.py:bowl", *search)
    assert done.exit_code == 0
    assert "least z " in done.stdout
    assert len(read()) <= 80
    assert Path("p.svg").read_text().startswith("<?xml")


def test_failures_are_told_with_parameters_traceback_and_counts(command: Command) -> None:
    done = command("sweep", "optioned.py:fails", "--grid", "x=1..9", "--errors", "e.jsonl")
    assert done.exit_code == 1
    assert "first failure: ValueError: 3 is a multiple" in done.stdout
    assert "at row 3: x = 3" in done.stdout
    assert "optioned.py" in done.stdout
    assert "3 x ValueError: 3 is a multiple (first: row 3)" in done.stdout
    lines = [json.loads(line) for line in Path("e.jsonl").read_text().splitlines()]
    assert [(line["row"], line["parameters"]) for line in lines] == [
        (3, {"x": 3}),
        (6, {"x": 6}),
        (9, {"x": 9}),
    ]


def test_retry_failed_and_max_failures(command: Command) -> None:
    sweep = ("sweep", "optioned.py:fails", "--grid", "x=3,6,9,12")
    done = command(*sweep, "--max-failures", "0")
    assert done.exit_code == 1
    assert "more than 0 rows failed (--max-failures)" in done.stderr
    assert "--resume" in done.stderr
    assert "rows kept" in command(*sweep, "--retry-failed").stderr


def test_the_table_on_the_standard_output(command: Command) -> None:
    done = command("sweep", "optioned.py:bowl", "--grid", "a=3,4", "--out", "-", "--minimize", "z")
    assert done.stdout == "a,z,error\n3,0.0,\n4,1.0,\n"
    assert "least z 0 at a = 3" in done.stderr
    assert not list(Path().glob("*results*"))


def test_rows_from_the_standard_input(here: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    sweep = ["sweep", "optioned.py:bowl", "--params", "-", "--out", "-"]
    for text in ("a\n3\n", '[{"a": 3}]', '{"a": 3}\n'):
        done = CliRunner().invoke(commands, sweep, obj=lambda _: ThreadPoolExecutor(1), input=text)
        assert done.stdout == "a,z,error\n3,0.0,\n"


def test_what_a_format_cannot_hold_is_in_the_book_and_exported(command: Command) -> None:
    done = command("sweep", "optioned.py:kinds", "--grid", "n=1,2", "--out", "r.parquet")
    assert done.exit_code == 1
    assert "row 2, column 'result': parquet cannot hold word" in done.stderr
    assert "compute-executor export r.parquet.sweep results.pickle" in done.stderr
    assert not Path("r.parquet").exists()
    done = command("export", "r.parquet.sweep", "r.jsonl")
    assert (done.exit_code, done.stdout) == (0, "2 rows: r.jsonl\n")
    assert [json.loads(line)["result"] for line in Path("r.jsonl").read_text().splitlines()] == [1, "word"]
    assert command("export", "r.parquet.sweep", "r.jsonl").exit_code == 2
    assert command("export", "absent.sweep", "r.csv").exit_code == 2


def test_an_array_of_2000_numbers_is_whole_in_every_format(command: Command) -> None:
    for ending in ("csv", "jsonl", "parquet", "nc", "pickle", "xlsx"):
        assert (
            command("sweep", "optioned.py:array", "--grid", "n=2000", "--out", f"r.{ending}").exit_code == 0
        )
    from compute_executor.sweeps.reading import read_table

    whole = list(range(2000))
    assert (
        json.loads(read()[0]["result"] if Path("results.csv").exists() else read("r.csv")[0]["result"])
        == whole
    )
    assert list(read_table(Path("r.parquet"))[1][0]["result"]) == whole
    assert list(read_table(Path("r.pickle"))[1][0]["result"]) == whole
    assert json.loads(read_table(Path("r.xlsx"))[1][0]["result"]) == whole
    assert [row["result"] for row in read_table(Path("r.nc"))[1]] == whole


def test_a_script_that_says_nothing_is_told_and_so_is_a_unit_without_a_column(command: Command) -> None:
    Path("quiet.py").write_text("def f(n):\n    return n\n")
    quiet = command("sweep", "quiet.py", "--grid", "n=1", "--out", "quiet.csv")
    assert quiet.exit_code == 0
    assert "no results but exit code and time" in quiet.stdout
    assert "to call a function of it, write quiet.py:NAME" in quiet.stdout
    done = command(
        "sweep", "quiet.py:f", "--grid", "n=1,2", "--unit", "m=kg", "--unit", "n=m", "--out", "f.csv"
    )
    assert "--unit m: no column is called so; there is n, result" in done.stdout
    assert "--unit n" not in done.stdout
    assert "no results" not in done.stdout


def test_a_table_is_drawn_without_running_anything(command: Command) -> None:
    command("sweep", "optioned.py:bowl", "--grid", "a=0:6:7", "--grid", "b=0:1:3", "--unit", "a=mm")
    for table, options in (("results.csv", ()), ("results.csv.sweep", ("--colour", "b", "--log-x"))):
        done = command("plot", table, "--out", "p.svg", *options)
        assert (done.exit_code, done.stdout) == (0, "picture: p.svg\n")
        Path("p.svg").unlink()
    Path("results.csv.sweep").unlink()
    assert "name a parameter with --x" in command("plot", "results.csv").stderr
    assert command("plot", "results.csv", "--x", "a", "--y", "z", "--out", "p.pdf").exit_code == 0


def test_one_row_under_the_debugger(here: Path) -> None:
    done = CliRunner().invoke(
        commands, ["sweep", "optioned.py:debugged", "--grid", "x=1,2", "--debug", "2"], input="continue\n"
    )
    assert done.exit_code == 0, done.output
    assert "row 2: x = 2" in done.output
    assert "returned 4" in done.output
    assert not Path("results.csv").exists()
    done = CliRunner().invoke(commands, ["sweep", "optioned.py:debugged", "--grid", "x=1,2", "--debug", "3"])
    assert "the sweep has 2 rows" in done.output


def test_a_program_and_a_script(command: Command) -> None:
    collect = ("--collect", "energy=([0-9.e+-]+)")
    done = command("sweep", "--grid", "n=1,2", *collect, "--", "echo", "energy={n}e2", "{row}")
    assert done.exit_code == 0, done.output
    assert [(row["n"], row["energy"], row["exit_code"]) for row in read()] == [
        ("1", "100.0", "0"),
        ("2", "200.0", "0"),
    ]
    Path("script.py").write_text("import sys, json; print(json.dumps({'got': ' '.join(sys.argv[1:])}))")
    assert command("sweep", "script.py", "--grid", "n=1", "--set", "mode=x y", "--overwrite").exit_code == 0
    assert read()[0]["got"] == "'--mode x y --n 1"  # which a spreadsheet would take for a formula


def test_a_function_of_a_package(command: Command) -> None:
    assert (
        command("sweep", "fractions:Fraction", "--grid", "numerator=1,2", "--set", "denominator=3").exit_code
        == 0
    )
    assert [row["result"] for row in read()] == ["1/3", "2/3"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sample", "5"], "--sample needs a --range"),
        (["--grid", "a=1", "--range", "b=0:1"], "--range and --method are for --sample"),
        (["--sample", "5", "--range", "a=0:1", "--method", "best"], "--method best: it must be one of lhs"),
        (["--sample", "5", "--range", "a=0:1", "--grid", "a=1"], "parameter 'a' is given twice"),
        (["--grid", "a=1", "--where", "__import__('os')"], "--where __import__('os'): only"),
        (["--grid", "a=1", "--where", "a > 1"], "none of 1 points fulfils it"),
        (["--grid", "a=1", "--where", "c > 1"], "'c' is no parameter of this sweep"),
        (["--grid", "a=1", "--seed", "1"], "the function takes none"),
        (["--grid", "a=1", "--evaluations", "9"], "--evaluations is for a search"),
        (["--adaptive", "z"], "--adaptive needs --evaluations N"),
        (["--minimize", "z", "--evaluations", "9"], "a search needs a --range"),
        (["--minimize", "z", "--evaluations", "9", "--range", "a=0:1", "--grid", "b=1"], "leave out --grid"),
        (["--grid", "a=1", "--out", "r.doc"], "its name must end in .csv"),
        (["--grid", "a=1", "--collect", "x=(.)"], "--collect is for programs"),
        (["--grid", "a=1", "--unit", "a"], "--unit a: write NAME=UNIT"),
        (["--grid", "a=1", "--unit", "a=m", "--unit", "a=km"], "a has the unit 'm' already"),
        (["--grid", "a=1", "--errors", "no/e.txt"], "there is no folder no"),
        (["--grid", "a=1", "--python", "/absent"], "there is no interpreter"),
        (["--grid", "a=1", "--url", "x", "--profile", "y"], "--url and --profile exclude each other"),
        (["--grid", "a=1", "--retry-failed", "--overwrite"], "exclude each other"),
        (["--grid", "a=1", "--", "sim"], "both optioned.py:bowl and a program"),
    ],
)
def test_a_wrong_option_is_one_clear_line_before_the_run(here: Path, arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(commands, ["sweep", "optioned.py:bowl", *arguments])
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("results.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--grid", "n=1", "--", "sim"], "no argument of the program has {n}"),
        (["--grid", "n=1", "--", "sim", "{n}", "{seed}"], "the program wants {seed}: add --seed S"),
        (["--grid", "n=1", "--", "sim", "{n.x}"], "braces hold the name of a parameter"),
        (["--grid", "n=1", "--collect", "x", "--", "sim", "{n}"], "write NAME=PATTERN"),
        (["--grid", "n=1"], "nothing to run"),
        (["absent.ipynb", "--grid", "n=1"], "absent.ipynb"),
        (["no.such.package:f", "--grid", "n=1"], "cannot load no.such.package"),
    ],
)
def test_a_wrong_program_is_one_clear_line_before_the_run(
    command: Command, arguments: list[str], says: str
) -> None:
    done = command("sweep", *arguments)
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert not Path("results.csv").exists()
