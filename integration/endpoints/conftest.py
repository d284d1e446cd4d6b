"""One engine after the other, each with one endpoint for all tests about it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compute_executor import system
from integration.endpoints.engines import MAKERS, Place, command_of, place
from integration.endpoints.slurm import NoSlurm

GONE_WITHIN = 20.0
"""Seconds that processes have to be gone after their endpoint, or their cluster, has ended."""


@contextmanager
def nothing_left() -> Iterator[None]:
    """Fail if a process is left that was started meanwhile, whoever was its parent. The service stays."""
    system.adopt_orphans()
    before = set(system.descendants(os.getpid()))
    yield
    deadline = time.monotonic() + GONE_WITHIN
    while (left := set(system.descendants(os.getpid())) - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left, f"left behind: {[command_of(pid) for pid in left]}"


@pytest.fixture(scope="module", autouse=True)
def no_process_left() -> Iterator[None]:
    """What a module has started ends with it."""
    with nothing_left():
        yield


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session", autouse=True)
def home_for_all(shared_home: Path) -> Iterator[None]:
    """The state folder of all tests here, also for fixtures that outlive one of them."""
    before = dict(os.environ)
    os.environ.update(COMPUTE_EXECUTOR_HOME=str(shared_home), COMPUTE_EXECUTOR_IDLE="20")
    os.environ.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
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
        {"parsl": "parsl", "slurm": "parsl", "dask": "distributed", "mpi": "mpi4py", "ray": "ray"}.get(
            request.param, "compute_executor"
        )
    )
    try:
        with nothing_left(), place(request.param, tmp_path_factory.mktemp(request.param)) as made:
            yield made
    except NoSlurm as error:
        pytest.skip(f"no Slurm: {error}")
