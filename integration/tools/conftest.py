"""One Executor for the tests of tools: the only place that says which."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import Executor

import pytest

import compute_executor

collect_ignore_glob = [] if importlib.util.find_spec("dask") else ["test_*.py"]
"""Without the requirements of this folder there is nothing to collect: `python -m integration.run tools`."""


@pytest.fixture(autouse=True)
def nothing_left() -> None:
    """Not checked here: progress bars, process launchers and event loops keep threads and pipes of their own."""


@pytest.fixture
def executor() -> Iterator[Executor]:
    with compute_executor.Executor(max_workers=2) as executor:
        yield executor
