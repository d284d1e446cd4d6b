"""``compute-executor endpoint start``: registers an endpoint with its service and runs it."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import click
import msgspec

from compute_executor.cli.endpoint_registration import admit, look_ahead
from compute_executor.cli.wrong_input import WrongInput, failed
from compute_executor.endpoint.agent.folder import EndpointFolder
from compute_executor.endpoint.engine_kinds import KINDS, strange
from compute_executor.endpoint.settings import EndpointSettings, StartOrder, check, load
from compute_executor.errors import ComputeError, EndpointTaken, InvalidRequest, NotFound

PATHS = ("config", "certificate", "folder")
"""Settings that name a file or a folder: kept as seen from where the command is given, for later starts are given
elsewhere."""

RESTART_WITHIN = 30.0
"""Seconds that the process before may take to end."""


@click.command()
@click.argument("name")
@click.option("--url", help="The address of the service; your token for it is in COMPUTE_EXECUTOR_TOKEN.")
@click.option(
    "--profile", help="The service, by its name in the configuration file.  [default: your local one]"
)
@click.option(
    "--certificate", type=click.Path(dir_okay=False), help="Of the service's certificate authority."
)
@click.option(
    "--engine",
    metavar="ENGINE",
    help="What finds places for the workers: process (this machine), slurm, parsl, dask, mpi, ray, or "
    "FILE.py:FUNCTION, which returns a concurrent.futures.Executor.  [default: process]",
)
@click.option(
    "--workers",
    "--workers-per-node",
    "workers",
    type=click.IntRange(0),
    help="Tasks at a time: on this machine, or on each node or slot of an engine.  [default: the CPUs there; 1 for "
    "dask, mpi and ray]",
)
@click.option(
    "--gpus",
    metavar="all|LIST",
    help="Of process, slurm and parsl: a worker for each of these devices of a machine, such as 0,1, which sees no "
    "other.",
)
@click.option(
    "--threads-per-worker",
    type=click.IntRange(1),
    help="That numpy and other libraries start in a worker; it counts as so many cores.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Of dask.")
@click.option("--config", type=click.Path(dir_okay=False), help="Of parsl: a file that defines config.")
@click.option("--ranks", type=click.IntRange(1), help="Of mpi: processes, each a place for workers.")
@click.option("--partition", help="Of Slurm.")
@click.option("--account", help="Of Slurm.")
@click.option("--nodes", type=click.IntRange(1), help="Of slurm: nodes of a block, which is a job.")
@click.option(
    "--walltime", metavar="HH:MM:SS", help="Of slurm: the time limit of a block.  [default: 01:00:00]"
)
@click.option(
    "--worker-init", metavar="COMMANDS", help="Of slurm: run before the workers: 'module load gcc'."
)
@click.option(
    "--exclusive/--shared-nodes", default=None, help="Of slurm: whether a block has its nodes alone."
)
@click.option("--min-blocks", type=click.IntRange(0), help="Blocks that are kept without work.  [default: 0]")
@click.option("--max-blocks", type=click.IntRange(1), help="Blocks at most.  [default: 1 for slurm]")
@click.option(
    "--idle", type=click.FloatRange(0, min_open=True), help="Seconds without work until a block ends."
)
@click.option(
    "--address",
    metavar="HOST",
    help="How workers of an engine reach this machine.  [default: found out]  Of ray: the address of its cluster, or "
    "auto.  [default: a Ray of this machine's own]",
)
@click.option(
    "--folder", type=click.Path(file_okay=False), help="Where tasks run.  [default: your home folder]"
)
@click.option(
    "--variable", "variables", multiple=True, metavar="NAME=VALUE", help="For the tasks; repeatable."
)
@click.option("--description", help="What others are told of the endpoint.")
@click.option("--public/--private", default=None, help="Whether everybody on the service may run tasks here.")
@click.option("--group", help="The group whose members may run tasks here, by its id.")
@click.option(
    "--allow", "allowed", multiple=True, metavar="FUNCTION", help="Run only these functions, by id."
)
@click.option("--join", is_flag=True, help="Work beside other machines of the same endpoint.")
@click.option("--replace", is_flag=True, help="Take the place of other machines; what they hold is given up.")
@click.option("--detach", is_flag=True, help="Run in the background.")
def start(name: str, *, join: bool, replace: bool, detach: bool, **chosen: Any) -> None:
    """Run tasks on this machine, for programs that name the endpoint: Executor("NAME").

    What is given here is kept in a file and holds at later starts, too. Runs in the foreground until Ctrl-C. Tasks
    run as you, whoever submits them: share an endpoint only with people who may act as you on this machine.
    """
    if join and replace:
        raise WrongInput("--join and --replace exclude each other")
    try:
        _run(_ordered(name, chosen, join=join, replace=replace), detach=detach)
    except (InvalidRequest, NotFound) as error:
        raise WrongInput(str(error)) from None
    except ComputeError as error:
        raise failed(error) from None


@click.command()
@click.argument("name")
@click.option("--drain", is_flag=True, help="Let what runs end first.")
@click.option("--detach", is_flag=True, help="Run in the background, as it does anyway if it did.")
def restart(name: str, drain: bool, detach: bool) -> None:
    """Stop an endpoint of this machine, if it runs, and start it again as it was configured."""
    try:
        folder = EndpointFolder(name)
        folder.require()
        detached = _end(folder, drain)
        _run(_ordered(name, {}, join=True), detach=detach or detached)
    except (InvalidRequest, NotFound) as error:
        raise WrongInput(str(error)) from None
    except ComputeError as error:
        raise failed(error) from None


def _end(folder: EndpointFolder, drain: bool) -> bool:
    """End the process of an endpoint, if there is one. Whether it ran in the background."""
    running = folder.running()
    if running is None:
        return False
    detached = _in_background(running.pid)
    os.kill(running.pid, signal.SIGUSR1 if drain else signal.SIGTERM)
    deadline = time.monotonic() + RESTART_WITHIN
    while folder.running() is not None:
        if not drain and time.monotonic() > deadline:
            raise EndpointTaken(
                f"process {running.pid} of endpoint {folder.name} does not end; see {folder.log}"
            )
        time.sleep(0.05)
    return detached


def _in_background(pid: int) -> bool:
    """Return whether a process leads a session of its own: `--detach` and systemd start it so, a shell does not."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def _ordered(name: str, chosen: dict[str, Any], *, join: bool = False, replace: bool = False) -> StartOrder:
    """Return what is to be run: with the settings of earlier starts, and what is chosen now. Raises WrongInput,
    ComputeError."""
    folder = EndpointFolder(name)
    if folder.running() is not None:
        from compute_executor.endpoint.agent.run import already

        raise already(folder)
    given = _given(chosen)
    settings = merged(load(folder.settings), given)
    order = StartOrder(name, settings, list(given), join, replace)
    look_ahead(order)
    return order


def _given(chosen: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given, by the names of settings."""
    given = {name: value for name, value in chosen.items() if value is not None and value != ()}
    if "allowed" in given:
        given["allowed_functions"] = list(given.pop("allowed"))
    return given


def merged(settings: EndpointSettings, given: dict[str, Any]) -> EndpointSettings:
    """Return the settings with what is given now. Raises WrongInput, InvalidRequest."""
    given = dict(given)
    if "variables" in given:
        given["variables"] = {**settings.variables, **dict(map(_pair, given["variables"]))}
    if "url" in given and "profile" in given:
        raise WrongInput("--url and --profile each name a service: give one of them")
    if "url" in given:
        given["profile"] = ""
    if given.get("profile"):
        given["url"] = ""
    if "engine" in given:
        given["engine"] = _engine(given["engine"])
    _check_engine_options(given.get("engine", settings.engine), set(given))
    for name in PATHS:
        if given.get(name):
            given[name] = os.path.abspath(os.path.expanduser(given[name]))
    changed = msgspec.structs.replace(settings, **given)
    check(changed)
    return changed


def _engine(name: str) -> str:
    """Return the engine as it is named elsewhere, too: with the absolute path of a file. Raises WrongInput."""
    path, _, function = name.rpartition(":")
    if name in KINDS or not path.endswith(".py"):
        return name
    if not os.path.isfile(path):
        raise WrongInput(f"--engine {name}: there is no file {path}")
    return f"{os.path.abspath(path)}:{function}"


def _check_engine_options(engine: str, given: set[str]) -> None:
    for name, engines in strange(engine, given).items():
        option = "--" + name.replace("_", "-")
        raise WrongInput(
            f"{option} is for {' and '.join(engines)}, and the engine of this endpoint is {engine}: leave it out, or "
            f"choose the engine with --engine"
        )


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise WrongInput(f"--variable {text}: NAME=VALUE is needed")
    return name, value


def _run(order: StartOrder, *, detach: bool) -> None:
    name = order.name
    if detach:
        from compute_executor.cli.endpoint_daemon import start_daemon

        pid, connected = start_daemon(order)
        waits = "" if connected else f", and is not connected yet: see {EndpointFolder(name).log}"
        click.echo(f"endpoint {name} runs in the background (pid {pid}){waits}")
        return
    from compute_executor.endpoint.agent.run import run_endpoint

    def say() -> None:
        click.echo(f'endpoint {name} is connected: Executor("{name}") runs here. Ctrl-C ends it')

    def say_lost(why: str) -> None:
        click.echo(f"endpoint {name} is not connected, and tries again: {why}", err=True)

    run_endpoint(order, lambda: admit(order), say, say_lost)
