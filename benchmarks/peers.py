"""One small adapter per peer: a context that starts it and yields a ``concurrent.futures`` executor.

A peer with a service of its own has that in a context by itself, so that a job can have the service up before
its clock starts. Imports are inside the adapters: a client process loads only what it measures.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

WORKERS = 2
REFERENCE = "ProcessPoolExecutor"
OURS = "compute_executor"
SHARING = frozenset({"40 x 64 MB shared"})


_Service = Callable[[], AbstractContextManager[str]]
_Connect = Callable[[str], AbstractContextManager[Any]]


def _partial(executor: Any, function: Callable[..., Any], value: Any, inputs: list[Any]) -> list[Any]:
    """``function(value, one)`` for each of the inputs, as a user of `concurrent.futures` writes it."""
    return list(executor.map(partial(function, value), inputs))


_Share = Callable[[Any, Callable[..., Any], Any, list[Any]], list[Any]]


class Peer(NamedTuple):
    """How to start one peer. ``service`` yields the address that ``connect`` wants, or None: it has none.
    ``alone``: ``connect`` starts the service itself when there is none. ``package`` is what pip calls it;
    ``missing`` says why it is not measured at all, if it is not. ``chunks``: its ``map`` heeds a chunksize.
    ``share``: how calls are given a value that they share; ``jobs``: the only ones that it is measured at, if not
    all."""

    name: str
    package: str
    connect: _Connect
    service: _Service | None = None
    alone: bool = False
    missing: str = ""
    chunks: bool = True
    share: _Share = _partial
    jobs: frozenset[str] = frozenset()

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Everything from nothing: service, then executor."""
        service = _no_service if self.service is None or self.alone else self.service
        with service() as address, self.connect(address) as executor:
            yield executor


def _no_service() -> AbstractContextManager[str]:
    return nullcontext("")


# -- ours ---------------------------------------------------------------------------------------------------


@contextmanager
def _ours(_: str) -> Iterator[Any]:
    from compute_executor import Executor

    with Executor(max_workers=WORKERS) as executor:
        yield executor


@contextmanager
def _our_service() -> Iterator[str]:
    """The embedded service as an earlier program leaves it behind: running, with nobody connected."""
    import subprocess

    program = "from compute_executor import Executor\nwith Executor(max_workers=1) as ex: ex.submit(abs, -1).result()"
    subprocess.run([sys.executable, "-c", program], check=True)
    yield ""


# -- pools on this machine ----------------------------------------------------------------------------------


@contextmanager
def _process_pool(_: str) -> Iterator[Any]:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(WORKERS) as executor:
        yield executor


@contextmanager
def _loky(_: str) -> Iterator[Any]:
    from loky import ProcessPoolExecutor

    with ProcessPoolExecutor(WORKERS) as executor:
        yield executor


@contextmanager
def _executorlib(_: str) -> Iterator[Any]:
    from executorlib import SingleNodeExecutor

    with SingleNodeExecutor(
        max_workers=WORKERS, block_allocation=True, disable_dependencies=True
    ) as executor:
        yield executor


@contextmanager
def _mpi4py(_: str) -> Iterator[Any]:
    os.environ |= {
        "PRTE_ALLOW_RUN_AS_ROOT": "1",  # the daemon that a client outside mpiexec starts refuses root otherwise
        "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor(max_workers=WORKERS) as executor:
        yield executor


# -- distributed --------------------------------------------------------------------------------------------


@contextmanager
def _dask_service() -> Iterator[str]:
    """Scheduler and workers as processes of their own, as on a cluster; yields the scheduler's address."""
    import socket
    import subprocess
    import tempfile

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    dask = [sys.executable, "-m", "dask"]
    with tempfile.TemporaryDirectory() as scratch:
        at = ["--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
        scheduler = subprocess.Popen([*dask, "scheduler", *at, "--no-dashboard"])
        size = ["--nworkers", str(WORKERS), "--nthreads", "1", "--no-dashboard", "--local-directory", scratch]
        workers = subprocess.Popen([*dask, "worker", address, *size])
        try:
            yield address
        finally:
            for process in (workers, scheduler):
                process.terminate()
            for process in (workers, scheduler):
                process.wait(20)


@contextmanager
def _dask(address: str) -> Iterator[Any]:
    from distributed import Client

    with Client(address, timeout=30) as client:
        client.wait_for_workers(WORKERS, timeout=30)
        yield client.get_executor()


def _scatter(executor: Any, function: Callable[..., Any], value: Any, inputs: list[Any]) -> list[Any]:
    client = executor._client
    there = client.scatter(value, broadcast=True, hash=False)
    found: list[Any] = client.gather(client.map(function, [there] * len(inputs), inputs, pure=False))
    return found


@contextmanager
def _ray(_: str) -> Iterator[Any]:
    import ray

    ray.init(
        num_cpus=WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=1 << 30,
        runtime_env={"env_vars": {"PYTHONPATH": os.getcwd()}},
    )
    try:
        yield ray
    finally:
        ray.shutdown()


def _put(ray: Any, function: Callable[..., Any], value: Any, inputs: list[Any]) -> list[Any]:
    there, remote = ray.put(value), ray.remote(function)
    found: list[Any] = ray.get([remote.remote(there, one) for one in inputs])
    return found


@contextmanager
def _joblib(_: str) -> Iterator[Any]:
    from joblib import Parallel

    with Parallel(n_jobs=WORKERS) as parallel:
        yield parallel


def _memmap(parallel: Any, function: Callable[..., Any], value: Any, inputs: list[Any]) -> list[Any]:
    from joblib import delayed

    return list(parallel(delayed(function)(value, one) for one in inputs))


@contextmanager
def _parsl(_: str) -> Iterator[Any]:
    import tempfile

    from parsl.concurrent import ParslPoolExecutor
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    with tempfile.TemporaryDirectory() as scratch:
        engine = HighThroughputExecutor(
            address="127.0.0.1",
            max_workers_per_node=WORKERS,
            provider=LocalProvider(init_blocks=1, max_blocks=1),
        )
        with ParslPoolExecutor(Config([engine], run_dir=scratch, usage_tracking=0)) as executor:
            yield executor


@contextmanager
def _ipyparallel(_: str) -> Iterator[Any]:
    import ipyparallel

    with ipyparallel.Cluster(n=WORKERS, log_level=40) as client:
        client.wait_for_engines(WORKERS, timeout=60)
        view = client.load_balanced_view()
        executor = view.executor
        executor.map = partial(_in_chunks, view)
        yield executor


def _in_chunks(view: Any, function: Callable[..., Any], *iterables: Any, chunksize: int = 1) -> Any:
    """``map`` of ipyparallel's executor, which itself hands a chunksize to a method that takes none."""
    if chunksize == 1:
        return view.imap(function, *iterables)
    return view.map_async(function, *iterables, chunksize=chunksize)


@contextmanager
def _no_executor(_: str) -> Iterator[Any]:
    raise NotImplementedError
    yield


PEERS = {
    peer.name: peer
    for peer in (
        Peer(REFERENCE, "", _process_pool),
        Peer(OURS, "compute-executor", _ours, _our_service, alone=True),
        Peer("dask.distributed", "distributed", _dask, _dask_service, chunks=False, share=_scatter),
        Peer("Ray", "ray", _ray, share=_put, jobs=SHARING),
        Peer("joblib", "joblib", _joblib, share=_memmap, jobs=SHARING),
        Peer("loky", "loky", _loky),
        Peer("executorlib", "executorlib", _executorlib),
        Peer("mpi4py.futures", "mpi4py", _mpi4py),
        Peer("Parsl HTEX", "parsl", _parsl, chunks=False),
        Peer("ipyparallel", "ipyparallel", _ipyparallel),
        Peer(
            "globus-compute-sdk", "", _no_executor, missing="a group of its own: python -m benchmarks.stock"
        ),
    )
}
