"""The command that starts the ranks of a call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.worker import mpi_prefix
from compute_executor.protocol.resources import Resources
from compute_executor.surroundings import mpi_launcher
from tests.endpoint.conftest import Lab, Script


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an mpiexec that stands in for one, alone on PATH."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "PMI", "OMPI_", "COMPUTE_EXECUTOR_MPI")):
            monkeypatch.delenv(name)
    program = tmp_path / "bin" / "mpiexec"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return program.parent


def test_it_is_there_during_the_call_only(launcher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(mpi_prefix.VARIABLE, raising=False)
    with mpi_prefix.set_for(3):
        assert os.environ[mpi_prefix.VARIABLE] == "mpiexec -n 3"
        with mpi_prefix.set_for(4):
            assert os.environ[mpi_prefix.VARIABLE] == "mpiexec -n 4"
        assert os.environ[mpi_prefix.VARIABLE] == "mpiexec -n 3"
    assert mpi_prefix.VARIABLE not in os.environ


def test_in_a_job_of_slurm_the_ranks_are_on_the_machine_of_the_call(
    launcher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_NODELIST", "n[1-2]")
    assert mpi_prefix.prefix(2) == "env -u SLURM_JOB_ID -u SLURM_NODELIST mpiexec -n 2"


def test_which_launcher(launcher: Path) -> None:
    path = {"PATH": str(launcher)}
    assert mpi_launcher(path) == "mpiexec"
    assert mpi_launcher({**path, "PMI_RANK": "0"}) == "", "ranks are not started by ranks"
    assert mpi_launcher({"PATH": "/nowhere"}) == ""
    assert (
        mpi_launcher({"PATH": "/nowhere", "COMPUTE_EXECUTOR_MPI_LAUNCHER": "srun --mpi=pmix"})
        == "srun --mpi=pmix"
    )


def test_a_worker_sets_it_for_a_task_with_ranks(lab: Lab, launcher: Path) -> None:
    def prefix(argument: Any) -> Any:
        return argument, os.environ.get("PARSL_MPI_PREFIX")

    async def scenario(script: Script) -> None:
        assert await script.run(prefix, 1, needs=Resources(ranks=2)) == (1, "mpiexec -n 2")
        assert await script.run(prefix, 2) == (2, None)

    lab(scenario, max_workers=2)
