"""One engine after the other, each with one endpoint for all tests about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.endpoints.engines import MAKERS, Place, place
from integration.endpoints.slurm import NoSlurm


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session", autouse=True)
def home_for_all(shared_home: Path) -> Iterator[None]:
    """The state folder of all tests here, also for fixtures that outlive one of them."""
    before = dict(os.environ)
    os.environ.update(COMPUTE_EXECUTOR_HOME=str(shared_home), COMPUTE_EXECUTOR_IDLE="20")
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def state_home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of a folder for each test (conftest.py of the project)."""
    monkeypatch.setenv("COMPUTE_EXECUTOR_HOME", str(shared_home))
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "20")
    return shared_home


@pytest.fixture(scope="module", params=list(MAKERS))
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An endpoint on an engine."""
    pytest.importorskip(
        {"parsl": "parsl", "slurm": "parsl", "dask": "distributed", "mpi": "mpi4py"}.get(
            request.param, "compute_executor"
        )
    )
    try:
        with place(request.param, tmp_path_factory.mktemp(request.param)) as made:
            yield made
    except NoSlurm as error:
        pytest.skip(f"no Slurm: {error}")
