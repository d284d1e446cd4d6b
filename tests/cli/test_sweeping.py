from __future__ import annotations

import csv
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compute_executor.cli import commands
from compute_executor.errors import ServiceUnavailable

Command = Callable[..., Result]

MODEL = """
import os, signal

CONSTANT = 5

def area(width, height):
    return width * height

def both(width, height=2):
    return {"area": width * height, "round": 2 * (width + height)}

def picky(x):
    if x % 2:
        raise ValueError(f"{x} is odd\\nand that is \\x1b[31mbad")
    return {"half": x // 2}

def counted(x):
    with open("calls.txt", "a") as file:
        file.write(f"{x}\\n")
    if os.path.exists(f"fail-{x}"):
        raise RuntimeError("told to")
    return x

def interrupting(x):
    if x == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return x

def unavailable(x):
    from compute_executor.errors import ServiceUnavailable
    if x == 2:
        raise ServiceUnavailable("the service has gone")
    return x

def exits(x):
    raise SystemExit(3)

def kind(x):
    return type(x).__name__
"""


@pytest.fixture(autouse=True)
def model(here: Path) -> None:
    (here / "swept_model.py").write_text(MODEL)


def read(name: str = "results.csv") -> list[dict[str, str]]:
    with Path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_grid_becomes_a_table_in_its_order(command: Command) -> None:
    done = command("sweep", "swept_model.py:area", "--grid", "width=1,2", "--grid", "height=0:1:3")
    assert done.exit_code == 0
    assert read() == [
        {"width": str(w), "height": str(h), "result": str(w * h), "error": ""}
        for w in (1, 2)
        for h in (0.0, 0.5, 1.0)
    ]
    assert "6 rows in 0:00:0" in done.stdout
    assert "0 failed: results.csv" in done.stdout


def test_a_mapping_becomes_columns(command: Command) -> None:
    assert command("sweep", "swept_model.py:both", "--grid", "width=3", "--out", "o.csv").exit_code == 0
    assert read("o.csv") == [{"width": "3", "area": "6", "round": "10", "error": ""}]


def test_a_table_of_parameters_with_a_grid(command: Command) -> None:
    Path("in.csv").write_text("width\n1\n2\n")
    assert (
        command("sweep", "swept_model.py:area", "--params", "in.csv", "--grid", "height=5,6").exit_code == 0
    )
    assert [row["result"] for row in read()] == ["5", "6", "10", "12"]


def test_values_arrive_as_ints_floats_and_strings(command: Command) -> None:
    for values, kind in (("1,2", "int"), ("1,2.5", "float"), ("a,1", "str")):
        command("sweep", "swept_model.py:kind", "--grid", f"x={values}", "--overwrite")
        assert {row["result"] for row in read()} == {kind}


def test_a_failed_row_keeps_its_error_and_the_others_their_results(command: Command) -> None:
    done = command("sweep", "swept_model.py:picky", "--grid", "x=1:4:4")
    assert done.exit_code == 1
    assert [row["half"] for row in read()] == ["", "1", "", "2"]
    assert read()[0]["error"] == "ValueError: 1 is odd\nand that is \x1b[31mbad"
    assert "2 failed" in done.stdout
    assert "first failure: ValueError: " in done.stdout
    assert "\x1b" not in done.stdout


def test_a_function_that_exits_fails_its_row_only(command: Command) -> None:
    sweep = ("sweep", "swept_model.py:exits", "--grid", "x=1,2", "--minimize", "result", "--plot", "p.png")
    done = command(*sweep)
    assert (done.exit_code, done.stderr) == (1, "")
    assert "2 failed" in done.stdout
    assert not Path("p.png").exists()
    assert read()[0] == {"x": "1", "error": "SystemExit: 3"}


def test_resume_runs_just_what_has_no_result(command: Command) -> None:
    sweep = ("sweep", "swept_model.py:counted", "--grid", "x=1,2,3")
    Path("fail-2").touch()
    assert command(*sweep).exit_code == 1
    Path("calls.txt").unlink()
    Path("fail-2").unlink()
    done = command(*sweep[:-1], "x=1,2,3,4", "--resume")
    assert done.exit_code == 0
    assert sorted(Path("calls.txt").read_text().split()) == ["2", "4"]
    assert [row["result"] for row in read()] == ["1", "2", "3", "4"]
    assert "4 rows (2 were there before)" in done.stdout


def test_resume_of_a_complete_table_runs_nothing(command: Command) -> None:
    sweep = ("sweep", "swept_model.py:counted", "--grid", "x=1,2", "--resume")
    command(*sweep)
    Path("calls.txt").unlink()
    assert command(*sweep).exit_code == 0
    assert not Path("calls.txt").exists()


def test_rows_outside_the_resumed_sweep_are_kept_and_told(command: Command) -> None:
    command("sweep", "swept_model.py:counted", "--grid", "x=1,2,3")
    done = command("sweep", "swept_model.py:counted", "--grid", "x=3,4", "--resume")
    assert [row["x"] for row in read()] == ["3", "4", "1", "2"]
    assert "2 earlier rows of other values kept at the end of results.csv" in done.stdout


def test_a_table_that_was_there_is_left_alone_unless_overwrite_is_given(command: Command) -> None:
    sweep = ("sweep", "swept_model.py:counted", "--grid", "x=1")
    Path("results.csv").write_text("hours of work")
    done = command(*sweep)
    assert done.exit_code == 2
    assert "results.csv is there already: add --resume" in done.stderr
    assert Path("results.csv").read_text() == "hours of work"
    assert command(*sweep, "--overwrite").exit_code == 0
    assert read() == [{"x": "1", "result": "1", "error": ""}]


def test_only_regular_files_are_replaced(command: Command) -> None:
    os.mkfifo("pipe")
    done = command("sweep", "swept_model.py:counted", "--grid", "x=1", "--out", "pipe", "--overwrite")
    assert (done.exit_code, done.stderr) == (2, "Error: cannot write pipe: it is not a regular file\n")
    assert Path("pipe").is_fifo()


def test_the_best_row_is_told(command: Command) -> None:
    sweep = ("sweep", "swept_model.py:area", "--grid", "width=1,2", "--grid", "height=3,4")
    assert "least result 3 at width = 1, height = 3" in command(*sweep, "--minimize", "result").stdout
    assert (
        "greatest result 8 at width = 2, height = 4"
        in command(*sweep, "--maximize", "result", "--overwrite").stdout
    )


def test_one_or_two_parameters_make_a_picture(command: Command) -> None:
    done = command("sweep", "swept_model.py:both", "--grid", "width=1:9:9", "--plot", "line.png")
    assert "picture: line.png" in done.stdout
    sweep = ("sweep", "swept_model.py:both", "--grid", "width=1:9:9", "--grid", "height=1,2,3")
    options = ("--plot", "map.png", "--plot-column", "round", "--maximize", "area", "--overwrite")
    assert command(*sweep, *options).exit_code == 0
    assert Path("line.png").stat().st_size > 1000
    assert Path("map.png").stat().st_size > 1000


@pytest.fixture
def no_collection() -> Iterator[None]:
    """No garbage collection: what a signal raises in a callback of it (Hypothesis has one) is dropped."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_an_interrupt_keeps_what_is_done_and_says_how_to_go_on(command: Command) -> None:
    sweep = ("sweep", "swept_model.py:interrupting", "--grid", "x=1:200000:200000")
    done = command(*sweep)
    assert done.exit_code == 130
    rows = read()
    assert 0 < len(rows) < 200000
    assert all(row["result"] == row["x"] for row in rows)
    assert f"interrupted. {len(rows):,} of 200,000 rows are in results.csv" in done.stderr
    assert f"{' '.join(sweep)} --resume" in done.stderr


def test_a_service_that_cannot_be_reached_is_told_in_a_line_and_where_its_remedy_is(here: Path) -> None:
    def unavailable(_: object) -> None:
        raise ServiceUnavailable("the service is not there")

    done = CliRunner().invoke(
        commands, ["sweep", "swept_model.py:area", "--params", "in.csv"], obj=unavailable
    )
    assert done.exit_code == 2
    (here / "in.csv").write_text("width,height\n1,1\n")
    done = CliRunner().invoke(
        commands, ["sweep", "swept_model.py:area", "--params", "in.csv"], obj=unavailable
    )
    assert done.exit_code == 1
    assert done.stderr == f"Error: the service is not there\n{ServiceUnavailable().help}\n"
    assert not Path("results.csv").exists()


def test_trouble_of_the_service_is_not_the_rows_and_ends_the_sweep(command: Command) -> None:
    done = command("sweep", "swept_model.py:unavailable", "--grid", "x=1:100000:100000")
    assert done.exit_code == 1
    assert not any(row["error"] for row in read())
    assert "Error: the service has gone. " in done.stderr
    assert "of 100,000 rows are in results.csv" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["absent.py:area", "--grid", "width=1"], "absent.py is not there"),
        (["swept_model", "--grid", "width=1"], "write FILE.py:FUNCTION"),
        (["swept_model.py:aera", "--grid", "width=1"], "no function 'aera'; did you mean area?"),
        (["swept_model.py:CONSTANT", "--grid", "x=1"], "CONSTANT in swept_model.py is not callable"),
        (["swept_model.py:area"], "nothing to sweep"),
        (["swept_model.py:area", "--grid", "width"], "--grid width: it must be a parameter name"),
        (["swept_model.py:area", "--grid", "width=1"], "needs height"),
        (
            ["swept_model.py:both", "--grid", "width=1", "--grid", "weight=1"],
            "takes no keyword argument 'weight'",
        ),
        (["swept_model.py:both", "--params", "absent.csv"], "cannot read absent.csv: No such file"),
        (
            ["swept_model.py:both", "--grid", "width=1", "--out", "no/o.csv"],
            "cannot write no/o.csv: there is no folder no",
        ),
        (
            ["swept_model.py:both", "--grid", "width=1", "--out", "."],
            "cannot write .: it is not a regular file",
        ),
        (
            ["swept_model.py:both", "--grid", "width=1", "--plot", "p.png"],
            "over the parameters that vary, and none of this sweep does",
        ),
        (
            ["swept_model.py:both", "--grid", "width=1,2", "--plot", "p.doc"],
            "--plot p.doc: the name must end",
        ),
        (
            ["swept_model.py:both", "--grid", "width=1", "--minimize", "a", "--maximize", "b"],
            "exclude each other",
        ),
        (["swept_model.py:both", "--grid", "width=1", "--minimize", "a"], "no result is called 'a'"),
        (
            ["x.py:f", "--endpoint", "4b116d3c-1703-4f8f-9f6f-39921e5864df", "--max-workers", "2"],
            "the workers of an endpoint are set up there",
        ),
        (["swept_model.py:both", "--params", "in.csv", "--out", "in.csv"], "are the same file"),
        (["swept_model.py:both", "--grid", "width=1", "--resume", "--out", "in.csv"], "is of another sweep"),
        (["swept_model.py:both", "--grid", "width=1", "--errors", "results.csv"], "are the same file"),
        (["swept_model.py:both", "--grid", "width=1", "--errors", "swept_model.py"], "are the same file"),
        (
            ["swept_model.py:both", "--grid", "width=1", "--out", "note.csv", "--resume"],
            "is of another sweep",
        ),
        (["--grid", "width=1", "--", "./absent", "{width}"], "cannot run ./absent: there is no such program"),
    ],
)
def test_a_wrong_input_is_one_clear_line(command: Command, arguments: list[str], says: str) -> None:
    Path("in.csv").write_text("width\n1\n")
    Path("note.csv").write_text("a note of mine\n")
    done = command("sweep", *arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert Path("in.csv").read_text() == "width\n1\n"
    assert Path("note.csv").read_text() == "a note of mine\n"


def test_no_room_for_the_table_says_how_to_go_on(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("compute_executor.sweeps.book.Book.add_ends", full)
    done = command("sweep", "swept_model.py:both", "--grid", "width=1")
    assert done.exit_code == 1
    assert "results.csv: No space left on device. 0 of 1 rows are in results.csv" in done.stderr
