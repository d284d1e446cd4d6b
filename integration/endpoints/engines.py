"""The engines that the tests of this folder run on: each started for real, with an endpoint on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from integration.endpoints.slurm import OneNodeSlurm
from tests.endpoint.agent.running import RunningEndpoint, environment

PATIENCE = 60.0

PARSL = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

config = Config(
    executors=[HighThroughputExecutor(max_workers_per_node=2, provider=LocalProvider(init_blocks=0, max_blocks=1))]
)
"""

FACTORY = """
from concurrent.futures import ProcessPoolExecutor


def make():
    return ProcessPoolExecutor(2)
"""


class Place:
    """An endpoint on one engine. ``hurt``: kills what the engine gave for workers, at once."""

    def __init__(self, kind: str, start: Callable[[], RunningEndpoint], hurt: Callable[[], None]) -> None:
        self.kind = kind
        self._start = start
        self.hurt = hurt
        self.endpoint = start()

    @property
    def name(self) -> str:
        """By which programs name it."""
        return self.endpoint.name

    def start_again(self) -> None:
        """After it was killed."""
        self.endpoint = self._start()


def children(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    direct = [child for child, parent in parents if parent == pid]
    return direct + [one for child in direct for one in children(child)]


def engine_of(endpoint: RunningEndpoint) -> int:
    """The process that the engine of an endpoint lives in."""
    (record,) = Path(os.environ["COMPUTE_EXECUTOR_HOME"], "endpoints", endpoint.name).glob("*/engine.json")
    return int(json.loads(record.read_text())["pid"])


def parent_of(pid: int) -> int:
    """The process that has started it, or its adopter."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def pilots_of(pid: int) -> list[int]:
    """The pilots below a process."""
    return [one for one in children(pid) if b"pilots.pilot" in command_of(one)]


def command_of(pid: int) -> bytes:
    """The command line of a process; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kill(pids: list[int]) -> None:
    """SIGKILL."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@contextmanager
def place(kind: str, folder: Path) -> Iterator[Place]:
    """An endpoint on an engine of this kind. Raises NoSlurm if that is what is missing."""
    with ExitStack() as stack:
        made = MAKERS[kind](folder, stack)
        try:
            yield made
        finally:
            made.endpoint.end()


def _start(name: str, *options: str, **changes: str) -> Callable[[], RunningEndpoint]:
    def start() -> RunningEndpoint:
        endpoint = RunningEndpoint(name, *options, **changes)
        assert "is connected" in endpoint.said, endpoint.end()
        return endpoint

    return start


def _slurm(folder: Path, stack: ExitStack) -> Place:
    cluster = OneNodeSlurm(folder)
    stack.callback(cluster.down)
    cluster.up()

    def cancel() -> None:
        for job in cluster.jobs():
            cluster.run("scancel", job)

    options = (
        "--engine",
        "slurm",
        "--partition",
        "main",
        "--workers-per-node",
        "2",
        "--gpus",
        "0,1",
        "--walltime",
        "00:10:00",
    )
    return Place("slurm", _start("hpc", *options, **cluster.environment), cancel)


def _local(kind: str, *options: str) -> Place:
    made: list[Place] = []
    made.append(Place(kind, _start(kind, *options), lambda: kill(pilots_of(made[0].endpoint.pid))))
    return made[0]


def _parsl(folder: Path, stack: ExitStack) -> Place:
    config = folder / "config.py"
    config.write_text(PARSL)
    made: list[Place] = []

    def hurt() -> None:
        """Its blocks are daemons: they are found by the folder of their ticket."""
        listed = subprocess.run(["ps", "-e", "-o", "pid="], capture_output=True, text=True, check=True)
        home = os.environ["COMPUTE_EXECUTOR_HOME"].encode()
        kill(
            [
                pid
                for pid in map(int, listed.stdout.split())
                if home in (line := command_of(pid)) and b"ticket" in line
            ]
        )

    made.append(Place("parsl", _start("parsl", "--engine", "parsl", "--config", str(config)), hurt))
    return made[0]


def _factory(folder: Path, stack: ExitStack) -> Place:
    path = folder / "pools.py"
    path.write_text(FACTORY)
    return _local("factory", "--engine", f"{path}:make")


def _mpi(folder: Path, stack: ExitStack) -> Place:
    return _local("mpi", "--engine", "mpi", "--ranks", "2")


class DaskCluster:
    """A scheduler and workers of dask, each a process. Ended with ``stack``."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._file = folder / "scheduler.json"
        self._stack = stack
        self.scheduler = self._start("scheduler", "--port", "0")
        self.address = self._address()
        self.workers = [self.start_worker() for _ in range(2)]

    def _address(self) -> str:
        deadline = time.monotonic() + PATIENCE
        while not self._file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return str(json.loads(self._file.read_text())["address"])

    def start_worker(self) -> subprocess.Popen[bytes]:
        """One more, with one thread."""
        return self._start("worker", "--nthreads", "1", "--no-nanny")

    def start_scheduler_again(self) -> None:
        """Where the one before was."""
        self.scheduler = self._start("scheduler", "--port", self.address.rpartition(":")[2])

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        place = ("--host", "127.0.0.1") if what == "scheduler" else ()
        command = [sys.executable, "-m", "dask", what, "--scheduler-file", str(self._file), "--no-dashboard"]
        process = subprocess.Popen(
            [*command, *place, *options],
            env=environment(),
            cwd=self._file.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(_end, process)
        return process


def _dask(folder: Path, stack: ExitStack) -> Place:
    cluster = DaskCluster(folder, stack)

    def hurt() -> None:
        kill([one for worker in cluster.workers for one in pilots_of(worker.pid)])

    start = _start("dask", "--engine", "dask", "--scheduler", cluster.address)
    return Place("dask", start, hurt)


def _ray(folder: Path, stack: ExitStack) -> Place:
    """One that the endpoint starts. Pilots die with it, or are killed."""
    return _local("ray", "--engine", "ray", "--workers", "1", "--max-blocks", "2")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


MAKERS: dict[str, Callable[[Path, ExitStack], Place]] = {
    "slurm": _slurm,
    "parsl": _parsl,
    "dask": _dask,
    "mpi": _mpi,
    "factory": _factory,
    "ray": _ray,
}
