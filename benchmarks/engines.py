"""Our Executor through engines beside the same engines used directly, one after the other on the same machine.

    python -m benchmarks.engines [--rounds 3] [--output docs]

starts dask (a scheduler and two workers), Parsl (HTEX on this machine, and in a job of a one-node Slurm), MPI, Ray
and a pool of processes as integration/endpoints does, each with two workers, measures, and writes
benchmarks-engines.md. Needs what these need: pip install parsl distributed mpi4py mpich ray, and Slurm; what is not
there is left out, and the page says so. Each measurement is a process of its own; a round goes through all.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import engines_report
from benchmarks.engines_report import BODIES, DIRECT, ONE, ONE_BODY, OURS, RATE, ROOT, Figures
from benchmarks.work import echo, successor

ENGINES = {
    "dask": "distributed",
    "parsl": "parsl",
    "slurm": "parsl",
    "mpi": "mpi4py",
    "ray": "ray",
    "factory": "",
}
"""Each with the module that it needs."""
WORKERS = 2
MANY = 10_000
ALONE = 100
LARGE, LARGE_ALONE = 50, 20
BODY = 1_000_000
WARM_UP = 20
PATIENCE = 600.0


def measure(executor: Executor) -> Figures:
    """All figures of one executor: tasks a second, and seconds."""
    for number in range(WARM_UP):
        executor.submit(successor, number).result(PATIENCE)
    one = statistics.median(_alone(executor, successor, 1) for _ in range(ALONE))
    begun = time.perf_counter()
    futures = [executor.submit(successor, number) for number in range(MANY)]
    wait(futures, PATIENCE)
    rate = MANY / (time.perf_counter() - begun)
    if [future.result(0) for future in futures] != list(range(1, MANY + 1)):
        raise SystemExit("wrong answers")
    body = os.urandom(BODY)
    one_body = statistics.median(_alone(executor, echo, os.urandom(BODY)) for _ in range(LARGE_ALONE))
    begun = time.perf_counter()
    bodies = [executor.submit(echo, body[number:] + body[:number]) for number in range(LARGE)]
    wait(bodies, PATIENCE)
    large = LARGE / (time.perf_counter() - begun)
    return {RATE: rate, ONE: one, BODIES: large, ONE_BODY: one_body}


def _alone(executor: Executor, function: Callable[[Any], Any], value: Any) -> float:
    begun = time.perf_counter()
    executor.submit(function, value).result(PATIENCE)
    return time.perf_counter() - begun


# -- the engines, used directly ----------------------------------------------------------------------------


@contextmanager
def direct(engine: str, address: str) -> Iterator[Executor]:
    """An executor of the engine's own, as its documentation has it."""
    if engine == "dask":
        from distributed import Client  # type: ignore[import-not-found]

        with Client(address) as client:
            yield client.get_executor(pure=False)
    elif engine in ("parsl", "slurm"):
        from parsl.concurrent import ParslPoolExecutor  # type: ignore[import-not-found]
        from parsl.config import Config  # type: ignore[import-not-found]
        from parsl.executors import HighThroughputExecutor  # type: ignore[import-not-found]
        from parsl.providers import LocalProvider, SlurmProvider  # type: ignore[import-not-found]

        one_block: dict[str, Any] = {"init_blocks": 1, "max_blocks": 1}
        if engine == "slurm":
            in_job: dict[str, Any] = {"partition": "main", "exclusive": False, "worker_init": _own_programs()}
            provider: Any = SlurmProvider(walltime="00:10:00", **one_block, **in_job)
        else:
            provider = LocalProvider(**one_block)
        htex = HighThroughputExecutor(address="127.0.0.1", max_workers_per_node=WORKERS, provider=provider)
        config = Config(executors=[htex], run_dir=tempfile.mkdtemp(), initialize_logging=False)
        with ParslPoolExecutor(config=config) as pool:
            yield pool
    elif engine == "mpi":
        from mpi4py.futures import MPIPoolExecutor  # type: ignore[import-not-found]

        with MPIPoolExecutor(max_workers=WORKERS, path=[str(ROOT)]) as ranks:
            yield ranks
    elif engine == "ray":
        with RayExecutor() as tasks:
            yield tasks
    else:
        with ProcessPoolExecutor(WORKERS) as processes:
            yield processes


def _own_programs() -> str:
    """Shell commands with which a job finds the programs and modules of this Python."""
    return f"export PATH={os.path.dirname(sys.executable)}:$PATH PYTHONPATH={ROOT}"


class RayExecutor(Executor):
    """Tasks of Ray as futures of the standard library."""

    def __init__(self) -> None:
        import ray  # type: ignore[import-not-found]

        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
        self._ray = ray
        self._remote: dict[Callable[..., Any], Any] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See Executor."""
        if fn not in self._remote:
            self._remote[fn] = self._ray.remote(fn)
        future: Future[Any] = self._remote[fn].remote(*args, **kwargs).future()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See Executor."""
        self._ray.shutdown()


def one_measurement(who: str, engine: str, place: str) -> None:
    """The child: prints its figures."""
    if who == OURS:
        import compute_executor

        executor: Any = compute_executor.Executor(place)
    else:
        executor = direct(engine, place)
    with executor as opened:
        print(json.dumps(measure(opened)), flush=True)


# -- the runs ----------------------------------------------------------------------------------------------


def run(who: str, engine: str, place: str, **environment: str) -> Figures:
    """One measurement in a process of its own."""
    places = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"  # of mpiexec, and Parsl's programs
    mpiexec = shutil.which("mpiexec", path=places)
    before = [mpiexec or "mpiexec", "-n", "1"] if (who, engine) == (DIRECT, "mpi") else []
    done = subprocess.run(
        [*before, sys.executable, "-m", "benchmarks.engines", "--measure", who, engine, place],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": places, **environment},
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def round_of(engine: str) -> dict[str, Figures]:
    """Our Executor through an engine, and the engine directly."""
    from integration.endpoints.engines import DaskCluster, place
    from integration.endpoints.slurm import OneNodeSlurm

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        address, environment = "", {}
        (apart := Path(folder) / "directly").mkdir()
        if engine == "dask":
            address = DaskCluster(apart, stack).address
        if engine == "slurm":
            cluster = OneNodeSlurm(apart)
            stack.callback(cluster.down)
            cluster.up()
            environment = cluster.environment
        directly = run(DIRECT, engine, address, **environment)
        stack.close()
        with place(engine, Path(folder)) as made:
            return {OURS: run(OURS, engine, made.name), DIRECT: directly}


def left_out() -> dict[str, str]:
    """The engines that are not here, and why."""
    from integration.endpoints.slurm import PROGRAMS

    missing = {
        engine: f"no module {module}"
        for engine, module in ENGINES.items()
        if module and importlib.util.find_spec(module) is None
    }
    absent = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent and "slurm" not in missing:
        missing["slurm"] = f"no {absent[0]}"
    return missing


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("docs"))
    parser.add_argument("--measure", nargs=3, metavar=("WHO", "ENGINE", "PLACE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        one_measurement(*chosen.measure)
        return

    begun = time.time()
    absent = left_out()
    here = [engine for engine in ENGINES if engine not in absent]
    found: dict[str, dict[str, list[Figures]]] = {engine: {OURS: [], DIRECT: []} for engine in here}
    loads: list[float] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ.update(COMPUTE_EXECUTOR_HOME=home, COMPUTE_EXECUTOR_IDLE="60")
        for number in range(chosen.rounds):
            loads.append(os.getloadavg()[0])
            for engine in here:
                for who, figures in round_of(engine).items():
                    found[engine][who].append(figures)
                print(
                    f"round {number + 1}, {engine}: {found[engine][OURS][-1]} {found[engine][DIRECT][-1]}",
                    flush=True,
                )
    page = engines_report.page(found, absent, loads, begun)
    chosen.output.mkdir(exist_ok=True)
    (chosen.output / "benchmarks-engines.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
