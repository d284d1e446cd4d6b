"""What type checkers say of programs that use this package: nothing of right ones, an error in each wrong line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parent
BIN = Path(sys.executable).parent
PROGRAMS = HERE / "typing"


def run(*command: str, cwd: Path = ROOT) -> str:
    environ = {**os.environ, "VIRTUAL_ENV": str(BIN.parent), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env=environ, timeout=110
    )
    return done.stdout


def mypy(program: Path) -> set[int]:
    """The lines with errors."""
    said = run(
        sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--follow-imports=silent", str(program)
    )
    assert "error" in said or "Success" in said, said
    return {int(number) for number in re.findall(rf"{program.name}:(\d+): error", said)}


def basedpyright(program: Path) -> set[int]:
    said = json.loads(run(str(BIN / "basedpyright"), "--outputjson", str(program)))
    return {
        one["range"]["start"]["line"] + 1
        for one in said["generalDiagnostics"]
        if one["severity"] == "error" and one["file"].endswith(program.name)
    }


CHECKERS: dict[str, Callable[[Path], set[int]]] = {"mypy": mypy, "basedpyright": basedpyright}


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_right_program(checker: str) -> None:
    assert CHECKERS[checker](PROGRAMS / "right.py") == set()


@pytest.mark.parametrize("checker", CHECKERS)
def test_each_wrong_line(checker: str) -> None:
    lines = (PROGRAMS / "wrong.py").read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if "# error:" in line}
    assert len(marked) == 12
    assert CHECKERS[checker](PROGRAMS / "wrong.py") == marked


def test_every_name_has_a_known_type(tmp_path: Path) -> None:
    """Of every module: what a checker would have to infer may be something else to the next one."""
    said = json.loads(
        run(
            *(
                str(BIN / "basedpyright"),
                "--verifytypes",
                "compute_executor",
                "--ignoreexternal",
                "--outputjson",
            ),
            cwd=tmp_path,
        )
    )
    found = said["typeCompleteness"]
    assert len(found["symbols"]) > 1000, "the package was found"
    unknown = [
        one["name"]
        for one in found["symbols"]
        if one["isExported"] and (one["isTypeAmbiguous"] or not one["isTypeKnown"])
    ]
    assert (unknown, found["completenessScore"]) == ([], 1)
