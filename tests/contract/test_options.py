"""ex.options(...): an Executor with other wishes and the same connection."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, as_completed
from pathlib import Path

import pytest

import compute_executor
from compute_executor.errors import ResourcesNotOffered
from tests.contract import work
from tests.contract.work import PATIENCE, Gate

MakeOurs = Callable[..., compute_executor.Executor]


def dies_first(folder: Path) -> str:
    """Kills its own worker the first time it runs."""
    marker = folder / "ran"
    if marker.exists():
        return "survived"
    marker.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def test_a_view_is_an_executor(ours: compute_executor.Executor) -> None:
    view = ours.options(retries=1)

    assert isinstance(view, Executor)
    assert view.submit(work.square, 3).result(PATIENCE) == 9
    assert list(view.map(work.square, range(20))) == [n * n for n in range(20)]
    assert list(view.map(work.square, range(20), chunksize=4, buffersize=2)) == [n * n for n in range(20)]


@pytest.mark.parametrize("name", ["retries", "timeout", "container", "endpoint_id"])
def test_options_are_not_keywords_of_submit(ours: compute_executor.Executor, name: str) -> None:
    future = ours.options(retries=1).submit(work.capture, **{name: 2})

    assert future.result(PATIENCE) == ((), {name: 2})


def test_a_view_of_a_view_adds_to_it(ours: compute_executor.Executor, tmp_path: Path) -> None:
    view = ours.options(retries=2).options(timeout=60)

    assert view.submit(dies_first, tmp_path).result(PATIENCE) == "survived"


def test_without_retries_a_lost_worker_is_an_error(ours: compute_executor.Executor, tmp_path: Path) -> None:
    with pytest.raises(BrokenExecutor):
        ours.submit(dies_first, tmp_path).result(PATIENCE)
    assert ours.submit(work.square, 3).result(PATIENCE) == 9


def test_a_task_that_runs_too_long_is_stopped(ours: compute_executor.Executor, gate: Gate) -> None:
    future = ours.options(timeout=0.2).submit(gate.hold)

    with pytest.raises(TimeoutError):
        future.result(PATIENCE)
    assert ours.submit(work.square, 3).result(PATIENCE) == 9


def test_parent_and_views_share_their_workers(make_ours: MakeOurs) -> None:
    executor = make_ours(max_workers=1)
    view = executor.options(retries=1)

    pids = {one.submit(os.getpid).result(PATIENCE) for one in (executor, view, executor, view)}

    assert len(pids) == 1


def test_a_view_is_closed_with_its_parent(make_ours: MakeOurs) -> None:
    executor = make_ours(max_workers=1)
    view = executor.options(retries=1)
    view.submit(work.square, 2)
    executor.shutdown()

    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        view.submit(work.square, 3)


def test_a_view_of_a_closed_executor_cannot_submit(make_ours: MakeOurs) -> None:
    executor = make_ours(max_workers=1)
    executor.shutdown()

    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.options(retries=1).submit(work.square, 3)


def test_a_thousand_views_cost_little(ours: compute_executor.Executor) -> None:
    futures = [ours.options(retries=n % 3).submit(work.square, n) for n in range(1000)]

    assert [future.result(PATIENCE) for future in futures] == [n * n for n in range(1000)]


def test_a_view_in_asyncio_and_as_completed(ours: compute_executor.Executor) -> None:
    view = ours.options(retries=1)

    async def main() -> int:
        return await asyncio.get_running_loop().run_in_executor(view, work.square, 6)

    assert asyncio.run(main()) == 36
    mixed = [ours.submit(work.square, 1), view.submit(work.square, 2)]
    assert {future.result() for future in as_completed(mixed, PATIENCE)} == {1, 4}


def test_an_option_that_does_not_exist(ours: compute_executor.Executor) -> None:
    with pytest.raises(TypeError):
        ours.options(colour="red")  # type: ignore[call-arg]


@pytest.mark.parametrize("wrong", [{"retries": -1}, {"timeout": 0}, {"timeout": -1}, {"retries": "two"}])
def test_an_option_that_makes_no_sense(ours: compute_executor.Executor, wrong: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        ours.options(**wrong).submit(work.square, 1)  # type: ignore[arg-type]


def test_an_id_that_is_none_is_named(make_ours: MakeOurs) -> None:
    with pytest.raises(ValueError, match="'a lab' is no endpoint id: it must be a UUID"):
        make_ours(endpoint_id="a lab")


def test_what_calls_take_is_kept_or_refused(ours: compute_executor.Executor) -> None:
    assert ours._max_workers is not None
    most = ours._max_workers
    wide = ours.options(cores=most, memory="1MB")
    assert [wide.submit(work.square, n).result(PATIENCE) for n in range(3)] == [0, 1, 4]
    with pytest.raises(ResourcesNotOffered, match=rf"cores={most + 1}, and {most} worker"):
        ours.options(cores=most + 1)
    too_much = ours.options(memory="900TB").map(work.square, range(300))
    with pytest.raises(ResourcesNotOffered, match=r"memory=.* \(900000000000000 bytes\), and .* are there"):
        next(too_much)
