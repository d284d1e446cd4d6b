"""Where slots for pilots come from: a provider of Parsl, which gives jobs of a batch system, or any Executor.

Runs in the process of an engine (`host`), never in the endpoint's own: libraries of engines may block, end threads,
or end the process. A slot is named by the endpoint; which job of the engine it is, the source knows.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from compute_executor.endpoint.pilots.slots import (
    ENDED,
    PENDING,
    RUNNING,
    EngineGone,
    SlotOrder,
    SlotSource,
    SlotState,
)
from compute_executor.endpoint.pilots.task import command, run_pilot


class ProviderSlots:
    """Jobs of a provider of Parsl. A job is a block of nodes; its launcher starts a pilot on each."""

    def __init__(self, provider: Any, order: SlotOrder, most: int | None = None) -> None:
        self._provider = provider
        self._order = order
        self._jobs: dict[str, str] = {}
        provider.script_dir = order.folder
        self.workers: int = order.workers * int(getattr(provider, "nodes_per_block", 1))
        self.most: int = int(most if most is not None else getattr(provider, "max_blocks", 1))

    def start(self, slot: str) -> SlotState:
        """See SlotSource. Raises RuntimeError with the scheduler's own message."""
        order = self._order
        arguments = command(sys.executable, order.ticket_file, slot, order.pilot_options())
        sets = [f"{name}={shlex.quote(value)}" for name, value in order.variables.items()]
        line = " ".join([*(["env", *sets] if sets else []), *map(shlex.quote, arguments)])
        try:
            job = str(self._provider.submit(line, 1, f"{order.name}-{slot}"))
        except Exception as error:
            raise RuntimeError(_said_by_scheduler(error)) from None
        with open(os.path.join(order.folder, f"{slot}.job"), "w", encoding="utf-8") as file:
            file.write(job)
        self._jobs[slot] = job
        return SlotState(PENDING, job)

    def look(self) -> dict[str, SlotState]:
        """See SlotSource."""
        if not self._jobs:
            return {}
        found = self._provider.status(list(self._jobs.values()))
        return {
            slot: self._state(job, status)
            for (slot, job), status in zip(self._jobs.items(), found, strict=True)
        }

    def _state(self, job: str, status: Any) -> SlotState:
        if not status.terminal:
            pending = status.status_name in ("PENDING", "HELD")
            return SlotState(PENDING if pending else RUNNING, job, _slurm_reason(job) if pending else "")
        said = _slurm_reason(job) or f"{status.status_name} {status.message or ''}".strip()
        parts = [said, _last_lines(status)]
        return SlotState(ENDED, job, "; ".join(word for word in parts if word))

    def end(self, slots: list[str]) -> None:
        """See SlotSource."""
        jobs = [self._jobs[slot] for slot in slots if slot in self._jobs]
        if jobs:
            self._provider.cancel(jobs)

    def adopt(self, slots: dict[str, SlotState]) -> None:
        """See SlotSource. Blocks that are processes of this machine are no jobs that anybody knows: their pilots find
        that their ticket is no longer valid, and end."""
        from parsl.jobs.states import JobState, JobStatus  # pyright: ignore[reportMissingImports] - an extra
        from parsl.providers.cluster_provider import (  # pyright: ignore[reportMissingImports] - an extra
            ClusterProvider,
        )

        if not isinstance(self._provider, ClusterProvider):
            return
        for slot, state in slots.items():
            self._jobs[slot] = state.job
            self._provider.resources[state.job] = {
                "job_id": state.job,
                "status": JobStatus(JobState.PENDING),
                "job_stdout_path": "",
                "job_stderr_path": "",
            }

    def close(self) -> None:
        """See SlotSource."""
        alive = [slot for slot, state in self.look().items() if state.state != ENDED]
        self.end(alive)


class ExecutorSlots:
    """Tasks of an Executor: each runs a pilot until that ends."""

    def __init__(
        self,
        executor: Executor,
        order: SlotOrder,
        most: Callable[[], int],
        *,
        job: Callable[[Future[str]], str] = lambda _: "",
    ) -> None:
        self._executor = executor
        self._order = order
        self._count = most
        self._job = job
        self._futures: dict[str, Future[str]] = {}
        self.workers: int = order.workers

    @property
    def most(self) -> int:
        """See SlotSource."""
        return self._count()

    def start(self, slot: str) -> SlotState:
        """See SlotSource. Raises EngineGone: an executor that takes no more tasks will never take one again."""
        order = self._order
        try:
            future = self._executor.submit(
                run_pilot, order.ticket, slot, order.pilot_options(), order.variables
            )
        except Exception as error:
            raise EngineGone(f"the engine takes no more tasks: {_told(error)}") from None
        self._futures[slot] = future
        return SlotState(RUNNING, self._job(future))

    def look(self) -> dict[str, SlotState]:
        """See SlotSource."""
        return {slot: self._state(future) for slot, future in self._futures.items()}

    def _state(self, future: Future[str]) -> SlotState:
        if not future.done():
            return SlotState(RUNNING, self._job(future))
        if future.cancelled():
            return SlotState(ENDED, self._job(future), "cancelled by its engine")
        error = future.exception()
        reason = _told(error) if error is not None else "it ended in order"
        return SlotState(ENDED, self._job(future), reason[:2000])

    def end(self, slots: list[str]) -> None:
        """See SlotSource. The pilots are told by the endpoint; what has not begun is cancelled here."""
        for slot in slots:
            future = self._futures.get(slot)
            if future is not None:
                try:
                    future.cancel()
                except NotImplementedError:
                    continue

    def adopt(self, slots: dict[str, SlotState]) -> None:
        """See SlotSource. Tasks of an engine end with the process that submitted them."""

    def close(self) -> None:
        """See SlotSource."""
        self.end(list(self._futures))
        self._executor.shutdown(wait=False)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


# -- by name ------------------------------------------------------------------------------------------------


def open_source(engine: str, options: dict[str, Any], order: SlotOrder) -> SlotSource:
    """Return the source for the engine of this name. Raises ValueError or TypeError for what cannot be, ImportError
    for what is missing."""
    opener = OPENERS.get(engine)
    return opener(options, order) if opener else _factory(engine, options, order)


def _slurm(options: dict[str, Any], order: SlotOrder) -> SlotSource:
    if not shutil.which("sbatch"):
        raise ValueError(
            "sbatch is not found: start the endpoint where jobs can be submitted, on a login node"
        )
    from parsl.launchers import SimpleLauncher, SrunLauncher  # pyright: ignore[reportMissingImports] - an extra
    from parsl.providers import SlurmProvider  # pyright: ignore[reportMissingImports] - an extra

    nodes = int(options.get("nodes") or 1)
    provider = SlurmProvider(
        partition=options.get("partition") or None,
        account=options.get("account") or None,
        nodes_per_block=nodes,
        cores_per_node=int(options.get("cores_per_node") or 0) or None,
        walltime=options.get("walltime") or "01:00:00",
        worker_init=options.get("worker_init") or "",
        scheduler_options=options.get("scheduler_options") or "",
        exclusive=bool(options.get("exclusive")),
        launcher=SrunLauncher() if nodes > 1 else SimpleLauncher(),
        init_blocks=0,
    )
    _test_slurm(options)
    return ProviderSlots(provider, order, int(options.get("max_blocks") or 1))


def _test_slurm(options: dict[str, Any]) -> None:
    """Raise ValueError with Slurm's own message if it would not take such a job."""
    named = {"partition": "partition", "account": "account", "nodes": "nodes", "walltime": "time"}
    arguments = [f"--{flag}={options[name]}" for name, flag in named.items() if options.get(name)]
    tried = subprocess.run(
        ["sbatch", "--test-only", *arguments],
        input=f"#!/bin/bash\n{options.get('scheduler_options', '')}\ntrue\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if tried.returncode:
        raise ValueError(f"Slurm does not take such jobs: {tried.stderr.strip()}")


def _parsl(options: dict[str, Any], order: SlotOrder) -> SlotSource:
    path = str(options.get("config") or "")
    if not path:
        raise ValueError("the engine parsl needs --config FILE.py, which defines `config`, a parsl.Config")
    from parsl.config import Config  # pyright: ignore[reportMissingImports] - an extra

    config: Any = getattr(_module(path), "config", None)
    if not isinstance(config, Config):
        found = "no `config`" if config is None else f"a `config` of type {type(config).__name__}"
        raise TypeError(f"{path} defines {found}: a parsl.Config is needed")
    providers = [one for one in config.executors if getattr(one, "provider", None) is not None]
    if len(providers) != 1:
        kinds = ", ".join(type(one).__name__ for one in config.executors)
        raise ValueError(
            f"the config of {path} must have one executor with a provider, which gives the blocks; it has {kinds}"
        )
    (executor,) = providers
    workers = order.workers or _whole(getattr(executor, "max_workers_per_node", 0)) or (os.cpu_count() or 1)
    return ProviderSlots(
        executor.provider, order._replace(workers=workers), int(options.get("max_blocks") or 0) or None
    )


def _whole(value: Any) -> int:
    """Return a number that is one; Parsl writes infinity where there is no bound."""
    return int(value) if isinstance(value, (int, float)) and 0 < value < 1e6 else 0


def _dask(options: dict[str, Any], order: SlotOrder) -> SlotSource:
    address = options.get("scheduler")
    if not address:
        raise ValueError("the engine dask needs --scheduler ADDRESS")
    from distributed import Client  # pyright: ignore[reportMissingImports] - an extra

    try:
        client = Client(address, timeout=20, set_as_default=False)
    except OSError as error:
        raise ValueError(
            f"no scheduler of dask answers at {address}: {error}. Look at --scheduler, and whether it runs"
        ) from None
    except ValueError as error:
        raise ValueError(
            f"--scheduler {address} is no address of a scheduler of dask, such as tcp://host:8786: {error}"
        ) from None
    executor = client.get_executor(pure=False, retries=0)

    def most() -> int:
        try:
            slots: int = sum(client.nthreads().values())
        except Exception:
            raise EngineGone(f"the scheduler of dask at {address} does not answer any more") from None
        return min(slots, int(options.get("max_blocks") or slots))

    return ExecutorSlots(executor, order._replace(workers=order.workers or 1), most)


def _mpi(options: dict[str, Any], order: SlotOrder) -> SlotSource:
    from mpi4py.futures import MPIPoolExecutor  # pyright: ignore[reportMissingImports] - an extra

    ranks = int(options.get("ranks") or os.cpu_count() or 1)
    executor = MPIPoolExecutor(max_workers=ranks, path=[entry for entry in sys.path if entry])
    return ExecutorSlots(executor, order._replace(workers=order.workers or 1), lambda: ranks)


def _ray(options: dict[str, Any], order: SlotOrder) -> SlotSource:
    from compute_executor.endpoint.pilots.ray_tasks import RayTasks

    executor = RayTasks(options.get("address") or None)
    return ExecutorSlots(executor, order._replace(workers=order.workers or 1), executor.slots)


def _factory(engine: str, options: dict[str, Any], order: SlotOrder) -> SlotSource:
    path, _, name = engine.rpartition(":")
    made = getattr(_module(path), name, None)
    if not callable(made):
        what = "no function" if made is None else f"something that is no function ({type(made).__name__}) as"
        raise TypeError(f"{path} defines {what} {name}")
    try:
        executor = made()
    except (Exception, SystemExit) as error:
        raise ValueError(f"{engine} cannot make an executor: {_told(error)}") from error
    if not isinstance(executor, Executor):
        raise TypeError(
            f"{engine} returned {type(executor).__name__}, which is no concurrent.futures.Executor"
        )
    most = int(options.get("max_blocks") or getattr(executor, "_max_workers", 0) or 1)
    return ExecutorSlots(executor, order._replace(workers=order.workers or 1), lambda: most)


def _module(path: str) -> Any:
    """Return what this file defines. Raises ValueError."""
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path!r}")
    spec = importlib.util.spec_from_file_location(f"_compute_executor_engine_{abs(hash(path))}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path} cannot be run: {_told(error)}") from error
    return module


OPENERS = {"slurm": _slurm, "parsl": _parsl, "dask": _dask, "mpi": _mpi, "ray": _ray}
"""By the name of the kind: see `endpoint.engine_kinds`."""

# -- what schedulers say ------------------------------------------------------------------------------------


def _said_by_scheduler(error: Exception) -> str:
    """Return what sbatch and the like say in an error of Parsl's."""
    said = " ".join(str(getattr(error, name, "") or "").strip() for name in ("stdout", "stderr")).strip()
    return said or str(error)


def _slurm_reason(job: str) -> str:
    """Return what Slurm says of a job: its state and reason. Empty where there is none."""
    if not shutil.which("scontrol") or not job.isdigit():
        return ""
    shown = subprocess.run(
        ["scontrol", "show", "job", job], capture_output=True, text=True, timeout=30, check=False
    )
    found = dict(re.findall(r"\b(JobState|Reason|ExitCode|NodeList)=(\S+)", shown.stdout))
    parts = [found.get("JobState", ""), found.get("Reason", "None")]
    return " ".join(word for word in parts if word and word != "None")


def _last_lines(status: Any) -> str:
    """Return the end of what a job wrote to its standard error."""
    path = str(getattr(status, "stderr_path", None) or "")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
    except OSError:
        return ""
    return " | ".join(lines[-3:])[-600:]
