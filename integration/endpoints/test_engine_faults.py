"""What can go wrong with one engine only: a scheduler, a rank, the time limit of a job."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from compute_executor import Executor
from compute_executor.errors import WorkerLost
from integration.endpoints.account import PATIENCE, WORKERS, ends_well
from integration.endpoints.engines import (
    DaskCluster,
    children,
    command_of,
    engine_of,
    parent_of,
    pilots_of,
    place,
)
from integration.endpoints.slurm import NoSlurm, OneNodeSlurm
from tests.contract.work import wait_until
from tests.endpoint.agent.running import RunningEndpoint, run
from tests.faults import work

pytestmark = pytest.mark.timeout(240)


class Traced:
    """Tasks on an endpoint that leave a trace, of which some have begun."""

    def __init__(self, executor: Executor, folder: Path, count: int = 300) -> None:
        self.trace = folder / "trace"
        self.futures = [executor.submit(work.traced_slowly, str(self.trace), name) for name in range(count)]
        wait_until(lambda: len(work.runs(self.trace)) >= 30)

    def first_loss(self) -> float:
        """Seconds until a future has ended with an error."""
        begun = time.monotonic()
        wait_until(lambda: any(one.done() and one.exception() for one in self.futures))
        return time.monotonic() - begun

    def end_well(self) -> list[WorkerLost]:
        """See `account.ends_well`."""
        return ends_well(self.futures, self.trace)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    pytest.importorskip("distributed")
    with ExitStack() as stack:
        yield DaskCluster(tmp_path, stack)


@pytest.fixture
def dask(cluster: DaskCluster) -> Iterator[RunningEndpoint]:
    endpoint = RunningEndpoint("daskfaults", "--engine", "dask", "--scheduler", cluster.address)
    assert "is connected" in endpoint.said
    yield endpoint
    endpoint.end()


def test_the_scheduler_of_dask_is_killed(cluster: DaskCluster, dask: RunningEndpoint, tmp_path: Path) -> None:
    """What runs at its workers goes on. When these are gone, too, what ran is lost, and what waits runs in the
    cluster that is there next."""
    with Executor(dask.name) as executor:
        tasks = Traced(executor, tmp_path)
        cluster.scheduler.kill()
        seen = len(work.runs(tasks.trace))
        wait_until(lambda: len(work.runs(tasks.trace)) > seen + 50)
        for worker in cluster.workers:
            worker.kill()
        assert tasks.first_loss() < 30
        cluster.start_scheduler_again()
        cluster.start_worker()
        lost = tasks.end_well()
    assert 1 <= len(lost) <= WORKERS * 4
    assert os.uname().nodename in str(lost[0])


def test_a_worker_of_dask_leaves(cluster: DaskCluster, dask: RunningEndpoint, tmp_path: Path) -> None:
    with Executor(dask.name) as executor:
        tasks = Traced(executor, tmp_path)
        cluster.workers[0].send_signal(signal.SIGTERM)
        lost = tasks.end_well()
    assert len(lost) <= WORKERS * 2


def test_a_worker_of_a_pool_is_killed(tmp_path: Path) -> None:
    """Its pool is broken for good, in the standard library: it is made again."""
    with place("factory", tmp_path) as pool, Executor(pool.name) as executor:
        tasks = Traced(executor, tmp_path)
        pilots = pilots_of(pool.endpoint.pid)
        os.kill(parent_of(pilots[0]), signal.SIGKILL)
        assert tasks.first_loss() < 30
        lost = tasks.end_well()
    assert 1 <= len(lost) <= WORKERS * 4
    assert os.uname().nodename in str(lost[0])


def test_a_rank_of_mpi_is_aborted(tmp_path: Path) -> None:
    """Most MPIs end all others then: what ran is lost, and a new job does the rest."""
    pytest.importorskip("mpi4py")
    with place("mpi", tmp_path) as mpi, Executor(mpi.name) as executor:
        tasks = Traced(executor, tmp_path)
        ranks = [one for one in children(engine_of(mpi.endpoint)) if b"mpi4py" in command_of(one)]
        os.kill(ranks[-1], signal.SIGABRT)
        assert tasks.first_loss() < 30
        lost = tasks.end_well()
    assert 1 <= len(lost) <= WORKERS * 4
    assert os.uname().nodename in str(lost[0])


@pytest.mark.slow
def test_the_time_limit_of_a_block_is_over_in_the_middle_of_a_task(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What fits runs; what does not is lost with Slurm's reason; nothing is started that a block cannot end."""
    pytest.importorskip("parsl")
    try:
        slurm = OneNodeSlurm(tmp_path_factory.mktemp("slurm"))
        slurm.up()
    except NoSlurm as error:
        pytest.skip(f"no Slurm: {error}")
    trace = tmp_path / "trace"
    options = ("--engine", "slurm", "--partition", "main", "--workers", "2", "--walltime", "00:01:00")
    endpoint = RunningEndpoint("limited", *options, **slurm.environment)
    try:
        with Executor(endpoint.name) as executor:
            long = executor.submit(_sleeps, str(trace), 0, 300)
            wait_until(lambda: work.runs(trace)[0] == 1)
            short = [executor.submit(_sleeps, str(trace), name, 4) for name in range(1, 31)]
            with pytest.raises(WorkerLost, match="TIMEOUT") as lost:
                long.result(PATIENCE)
            assert os.uname().nodename in str(lost.value)
            assert "job " in str(lost.value)
            ended: list[Any] = [future.result(PATIENCE) for future in short]
        assert ended == list(range(1, 31)), "none of those was lost with the block"
        assert max(work.runs(trace).values()) == 1
    finally:
        run("stop", endpoint.name, **slurm.environment)
        endpoint.end()
        slurm.down()


def _sleeps(trace: str, name: int, seconds: float) -> int:
    work.traced(trace, name)
    time.sleep(seconds)
    return name
