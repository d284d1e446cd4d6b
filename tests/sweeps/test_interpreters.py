from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from compute_executor.errors import InvalidRequest
from compute_executor.sweeps.interpreters import command_with, other_python


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing in it."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False)
    return folder


def test_the_active_environment_runs_the_function_unless_it_is_this_one(environment: Path) -> None:
    python = str(environment / "bin" / "python")
    assert other_python(None, {}) is None
    assert other_python(None, {"VIRTUAL_ENV": str(environment)}) == python
    assert other_python(None, {"CONDA_PREFIX": str(environment)}) == python
    assert other_python(None, {"VIRTUAL_ENV": sys.prefix}) is None
    assert other_python(None, {"VIRTUAL_ENV": "/absent"}) is None
    assert other_python(sys.executable, {"VIRTUAL_ENV": str(environment)}) is None
    assert other_python(str(environment), {}) == python


def test_a_python_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="--python /absent: there is no interpreter"):
        other_python("/absent", {})


def test_the_command_runs_with_the_other_python(environment: Path) -> None:
    command = command_with(str(environment / "bin" / "python"), ["--version"])
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("compute-executor, version")


def test_a_python_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be run"):
        command_with(str(tmp_path / "python"), [])
