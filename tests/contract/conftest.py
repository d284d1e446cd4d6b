"""Our Executor beside the standard library's: every test here runs on both, unless it says what only ours does.

The tests of a session share one state folder, and so one embedded service: what is under test is the interface,
and an executor must not mind what others did on the same service.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import compute_executor
from compute_executor.testing import FakeService
from tests.contract.work import Gate

MakeExecutor = Callable[..., Executor]

KINDS: dict[str, Callable[..., Executor]] = {
    "threads": ThreadPoolExecutor,
    "compute": lambda **options: compute_executor.Executor(**options),
    "fake": lambda **options: compute_executor.Executor(**options),
}
"""The reference, ours, and ours with the service that `compute_executor.testing` offers."""


ENDPOINT = os.environ.get("CONTRACT_ENDPOINT", "")
"""The name of an endpoint that runs: then the tests are about calls that go there (integration/endpoints)."""


def _there(**options: Any) -> compute_executor.Executor:
    """An Executor of the endpoint, which has workers of its own. What makes workers is not its business."""
    if options.get("initializer") is not None:
        pytest.skip("the workers of an endpoint are set up there")
    options.pop("max_workers", None)
    return compute_executor.Executor(ENDPOINT, **options)


if ENDPOINT:
    KINDS = {"endpoint": _there}

OF_OWN_WORKERS = {
    "test_an_error_cancels_what_has_not_begun",
    "test_an_id_that_is_none_is_named",
    "test_parent_and_views_share_their_workers",
    "test_cancelling_again_is_true_again",
    "test_cancelling_what_has_not_begun",
    "test_closing_cancels_what_has_not_begun",
    "test_the_others_go_on",
    "test_the_worker_sees_what_the_caller_sees",
    "test_there_is_at_least_one_worker",
    "test_two_processes_share_one_service",
    "test_what_calls_take_is_kept_or_refused",
}
"""Tests of what an Executor with workers of its own is made with, or finds there, and of one with a single worker."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what is not about an endpoint, where one is meant."""
    for item in items:
        if ENDPOINT and getattr(item, "originalname", "") in OF_OWN_WORKERS:
            item.add_marker(pytest.mark.skip("it is about an Executor's own workers"))


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if ENDPOINT:
        return Path(os.environ["COMPUTE_EXECUTOR_HOME"])
    return tmp_path_factory.mktemp("contract")


@pytest.fixture(autouse=True)
def state_home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of a folder for each test (conftest.py of the project)."""
    monkeypatch.setenv("COMPUTE_EXECUTOR_HOME", str(shared_home))
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "5")
    return shared_home


@pytest.fixture(params=list(KINDS))
def make_executor(request: pytest.FixtureRequest) -> Iterator[MakeExecutor]:
    """Makes executors of one kind, and shuts them down after the test."""
    with ExitStack() as stack:
        if request.param == "fake":
            stack.enter_context(FakeService())

        def make(**options: Any) -> Executor:
            return stack.enter_context(KINDS[request.param](**options))

        yield make


@pytest.fixture
def executor(make_executor: MakeExecutor) -> Executor:
    return make_executor(max_workers=2)


@pytest.fixture
def make_ours() -> Iterator[Callable[..., compute_executor.Executor]]:
    """Makes executors of ours, for what no standard one does."""
    with ExitStack() as stack:

        def make(**options: Any) -> compute_executor.Executor:
            make_one = _there if ENDPOINT else compute_executor.Executor
            return stack.enter_context(make_one(**options))

        yield make


@pytest.fixture
def ours(make_ours: Callable[..., compute_executor.Executor]) -> compute_executor.Executor:
    return make_ours(max_workers=2)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Holds tasks until it is opened; always open in the end, so that no worker waits for ever."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


BUSY = ("first", "another") if ENDPOINT else ("first",)
"""The tasks that take all workers: one, of an Executor with a single worker, and two at an endpoint."""


@pytest.fixture
def keep_busy(gate: Gate) -> Callable[[Executor], None]:
    """Gives all workers something to do, until the gate opens."""

    def keep(executor: Executor) -> None:
        for name in BUSY:
            executor.submit(gate.hold, name)
        for name in BUSY:
            gate.wait_for(name)

    return keep
