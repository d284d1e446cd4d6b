from __future__ import annotations

import contextlib
import os
import select
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import InvalidRequest, ProgramFailed
from compute_executor.sweeps.programs import (
    ROW,
    ProgramCall,
    ScriptCall,
    absolute,
    check_collect,
    check_program,
    columns_of,
    filled,
    placeholders,
)

PATIENCE = 30.0


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_it_runs_in_the_folder_of_its_row_with_its_parameters(tmp_path: Path) -> None:
    sim = program(tmp_path / "sim", 'echo "$@"; pwd > here; echo oops >&2; echo \'{"energy": 1.5}\'')
    call = ProgramCall([sim, "--n", "{n}", "--out={row}.dat", "{{x}}"], tmp_path / "files")
    found = call(**{"n": 3, ROW: 7})
    folder = tmp_path / "files" / "7"
    assert {**found, "seconds": 0} == {"exit_code": 0, "seconds": 0, "energy": 1.5, "folder": str(folder)}
    assert (folder / "stdout.txt").read_text().startswith("--n 3 --out=7.dat {x}\n")
    assert (folder / "stderr.txt").read_text() == "oops\n"
    assert Path((folder / "here").read_text().strip()) == folder


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    sim = program(tmp_path / "sim", 'printf "%s|" "$@"')
    ProgramCall([sim, "{a}", "$HOME", "`x`"], tmp_path / "files")(a="; rm -rf / 'quoted' \"x\" *", **{ROW: 1})
    shown = (tmp_path / "files" / "1" / "stdout.txt").read_text()
    assert shown == "; rm -rf / 'quoted' \"x\" *|$HOME|`x`|"


def test_an_exit_code_is_a_failure_with_the_end_of_the_errors(tmp_path: Path) -> None:
    sim = program(tmp_path / "sim", "echo diverged >&2; exit 3")
    with pytest.raises(ProgramFailed, match=r"sim ended with 3; the end of .*stderr\.txt: diverged"):
        ProgramCall([sim], tmp_path / "files")()
    killed = program(tmp_path / "killed", "kill -9 $$")
    with pytest.raises(ProgramFailed, match=r"ended with SIGKILL; it has written nothing"):
        ProgramCall([killed], tmp_path / "files")()
    with pytest.raises(ProgramFailed, match="absent cannot be run: No such file"):
        ProgramCall([str(tmp_path / "absent")], tmp_path / "files")()


def test_one_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path) -> None:
    sim = program(tmp_path / "sim", "sleep 300 & echo $! > child; wait")
    with pytest.raises(TimeoutError, match=r"was stopped after 0\.3 seconds"):
        ProgramCall([sim], tmp_path / "files", timeout=0.3)()
    child = int((tmp_path / "files" / "1" / "child").read_text())
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(child)
        ended, _, _ = select.select([process], [], [], PATIENCE)  # the signal has come, its turn may not have
        os.close(process)
        assert ended


def test_a_script_gets_name_and_value(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import sys, json; print(json.dumps({'argv': sys.argv[1:]}))")
    call = ScriptCall([sys.executable, str(script)], ["lr", "on", "none"], tmp_path / "files")
    assert call(lr=0.5, on=True, none=None)["argv"] == ["--lr", "0.5", "--on", "true"]


@pytest.mark.parametrize(
    ("output", "collect", "columns"),
    [
        ("energy=-1.5e2\nenergy=7", ["energy=([0-9.e+-]+)"], {"energy": 7}),
        ("E = 3.5 eV", ["energy=E = ([0-9.]+)"], {"energy": 3.5}),
        ("a=1 b=x", [r"both=a=(?P<a>\d+) b=(?P<b>\w+)"], {"a": 1, "b": "x"}),
        ('noise\n{"a": [1, 2]}\n\n', [], {"a": [1, 2]}),
        ("{broken", [], {}),
        ("[1]", [], {}),
        ("", [], {}),
    ],
)
def test_columns_come_from_the_output(
    tmp_path: Path, output: str, collect: list[str], columns: dict[str, Any]
) -> None:
    (tmp_path / "stdout.txt").write_text(output)
    assert columns_of(str(tmp_path), collect) == columns


def test_columns_come_from_a_csv_that_it_wrote(tmp_path: Path) -> None:
    (tmp_path / "stdout.txt").touch()
    (tmp_path / "out.csv").write_text("t,v\n1,0.5\n2,x\n")
    assert columns_of(str(tmp_path), ["out.csv"]) == {"t": [1, 2], "v": [0.5, "x"]}
    (tmp_path / "one.csv").write_text("t,v\n1,0.5\n")
    assert columns_of(str(tmp_path), ["one.csv"]) == {"t": 1, "v": 0.5}
    for absent, says in (("no.csv", "cannot be read"), ("empty.csv", "has no rows")):
        (tmp_path / "empty.csv").write_text("t\n")
        with pytest.raises(ProgramFailed, match=says):
            columns_of(str(tmp_path), [absent])


def test_output_without_what_was_to_be_collected_fails_the_row(tmp_path: Path) -> None:
    (tmp_path / "stdout.txt").write_text("nothing")
    with pytest.raises(ProgramFailed, match="nothing that matches energy"):
        columns_of(str(tmp_path), ["energy=([0-9]+)"])


@pytest.mark.parametrize("wanted", ["energy", "energy=x", "energy=([", "=(x)"])
def test_a_wrong_collect_is_refused_beforehand(wanted: str) -> None:
    with pytest.raises(InvalidRequest, match="--collect"):
        check_collect([wanted])


@pytest.mark.parametrize("text", ["{}", "{0}", "{a.b}", "{a[0]}", "{", '{"a": 1}', "{a b}"])
def test_braces_hold_names_only(text: str) -> None:
    with pytest.raises(InvalidRequest, match="braces hold the name of a parameter"):
        placeholders(text)


def test_values_are_filled_in_as_text() -> None:
    values = {"a": 0.1, "b": True, "c": None, "d": "x y"}
    assert filled("{a}-{a:.3f}-{b}-{c}-{d}{{}}", values) == "0.1-0.100-true-null-x y{}"


def test_arguments_that_name_files_are_found_from_the_folder_of_a_row(tmp_path: Path) -> None:
    (tmp_path / "sim").touch()
    (tmp_path / "in.dat").touch()
    given = ["./sim", "in.dat", "absent.dat", "--x", "{n}", os.devnull]
    assert absolute(given, tmp_path) == [
        str(tmp_path / "sim"),
        str(tmp_path / "in.dat"),
        "absent.dat",
        "--x",
        "{n}",
        os.devnull,
    ]


def collected(tmp_path: Path, script: str, *collect: str) -> dict[str, Any]:
    return ProgramCall([program(tmp_path / "sim", script)], tmp_path / "files", collect)(**{ROW: 1})


def test_what_looks_like_a_number_and_is_none_stays_text(tmp_path: Path) -> None:
    found = collected(
        tmp_path,
        "echo 'id=007 n=1_0 x=-.5e3 big=12345678901234567890123'",
        *(f"{n}={n}=(\\S+)" for n in ("id", "n", "x", "big")),
    )
    assert [found[name] for name in ("id", "n", "x", "big")] == [
        "007",
        "1_0",
        -500.0,
        12345678901234567890123,
    ]


@pytest.mark.parametrize("script", ["echo x=1e400", "echo '{\"x\": 1e400}'"])
def test_a_number_that_no_float_can_hold_is_a_failure(tmp_path: Path, script: str) -> None:
    with pytest.raises(ProgramFailed, match="1e400 is outside the range"):
        collected(tmp_path, script, *(["x=x=(.+)"] if "{" not in script else []))


def test_columns_that_are_called_like_ours_are_kept_beside_them(tmp_path: Path) -> None:
    found = collected(tmp_path, 'echo \'{"seconds": 5, "folder": "mine", "exit_code": 7}\'')
    assert (found["exit_code"], found["folder"]) == (0, str(tmp_path / "files" / "1"))
    assert (found["result.exit_code"], found["result.seconds"], found["result.folder"]) == (7, 5, "mine")


def test_a_csv_of_an_earlier_attempt_is_not_collected(tmp_path: Path) -> None:
    assert collected(tmp_path, "printf 'a\\n1\\n' > out.csv", "out.csv")["a"] == 1
    with pytest.raises(ProgramFailed, match="cannot be read"):
        collected(tmp_path, "true", "out.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,a\\n1,2\\n", "a column is there twice: a, a"),
        ("a,b\\n1\\n", "row 1 has 1 cells for 2 columns"),
        ("a\\n1,2\\n", "row 1 has 2"),
    ],
)
def test_a_csv_of_which_something_would_be_lost_is_a_failure(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ProgramFailed, match=says):
        collected(tmp_path, f"printf '{text}' > out.csv", "out.csv")


def test_one_name_is_collected_once() -> None:
    with pytest.raises(InvalidRequest, match="a is collected twice"):
        check_collect(["a=x(.)", "a=y(.)"])


def test_a_program_that_is_not_there_is_told_before_the_run(tmp_path: Path) -> None:
    check_program("sh")
    check_program("./{n}/sim")
    (tmp_path / "data").write_text("")
    for name, says in {
        str(tmp_path / "absent"): "there is no such program",
        str(tmp_path / "data"): "may not be exec",
    }.items():
        with pytest.raises(InvalidRequest, match=says):
            check_program(name)
