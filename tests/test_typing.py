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


def test_every_public_name_has_a_known_type(tmp_path: Path) -> None:
    """Classes and functions that a page of the reference names, with all their members."""
    import compute_executor

    public = {
        f"{one.__module__}.{one.__qualname__}"
        for one in (getattr(compute_executor, name) for name in compute_executor.__all__)
        if hasattr(one, "__qualname__")
    }
    modules = ("compute_executor.errors.", "compute_executor.serialize.", "compute_executor.testing.")
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
    symbols = said["typeCompleteness"]["symbols"]
    assert len(symbols) > 1000, "the package was found"
    unknown = [
        symbol["name"]
        for symbol in symbols
        if (symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"])
        and (
            symbol["name"].startswith(modules)
            or any(symbol["name"] == name or symbol["name"].startswith(f"{name}.") for name in public)
        )
    ]
    assert unknown == []
