"""``compute-executor endpoint``: endpoints of one's own on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from compute_executor.cli.chosen_service import ChosenService, choose
from compute_executor.cli.endpoint_registration import chosen_by
from compute_executor.cli.endpoint_start import restart, start
from compute_executor.cli.tables import show, show_json
from compute_executor.cli.wrong_input import WrongInput, failed
from compute_executor.durations import age
from compute_executor.endpoint.agent.folder import EndpointFolder, names
from compute_executor.endpoint.settings import load
from compute_executor.endpoint_summary import blocks_of
from compute_executor.errors import ComputeError, InvalidRequest, NotFound

STOP_WITHIN = 30.0
"""Seconds that an endpoint may take to end; draining, it may take as long as its tasks."""
_PAUSE = 0.05

COLUMNS = ("name", "state", "engine", "machines", "workers", "running", "open", "shared", "id")
BLOCKS = ("machine", "block", "job", "state", "reason", "workers", "held")
MACHINES = ("host", "state", "engine", "workers", "running", "held", "version", "python", "heard", "trouble")

Command = TypeVar("Command", bound=Callable[..., Any])


def as_json(command: Command) -> Command:
    """Give a command the option."""
    return click.option("--json", "as_json", is_flag=True, help="As JSON, with every field.")(command)


@click.group()
def endpoint() -> None:
    """Let this machine, or a cluster, run tasks for a service: of your own, or your local one.

    An endpoint connects outward; no port is opened. Programs name it: Executor("NAME").
    """


endpoint.add_command(start)
endpoint.add_command(restart)


def _report_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Errors of the service, or about names, end the command with their message."""
    import functools

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (InvalidRequest, NotFound) as error:
            raise WrongInput(str(error)) from None
        except ComputeError as error:
            raise failed(error) from None

    return guarded


@endpoint.command(name="list")
@click.option("--profile", help="A service of the configuration file.")
@click.option("--url", help="The address of a service; its token is in COMPUTE_EXECUTOR_TOKEN.")
@as_json
@_report_errors
def list_endpoints(profile: str | None, url: str | None, as_json: bool) -> None:
    """List the endpoints that you may use on a service, and those that you have on this machine."""
    service = choose(None, profile, url)
    found = service.ask("GET", "/v3/agents")["endpoints"] if service is not None else []
    here = {name: EndpointFolder(name).running() is not None for name in names()}
    if as_json:
        show_json([{**one, "runs_here": here.get(one["name"], False)} for one in found])
        return
    for name in sorted(set(here) - {one["name"] for one in found}):
        click.echo(f"{name}: on this machine, {_whose(name)}", err=True)
    if found:
        show(COLUMNS, map(_row, found))
    else:
        click.echo("No endpoints: start one with compute-executor endpoint start NAME.")


def _whose(name: str) -> str:
    """For which service an endpoint of this machine is, which the service that was asked does not know."""
    try:
        settings = load(EndpointFolder(name).settings)
    except InvalidRequest as error:
        return str(error)
    place = settings.url or (settings.profile and f"profile {settings.profile}")
    return f"for {place}" if place else "and not known to this service"


def _row(one: dict[str, Any]) -> list[str]:
    shared = "everybody" if one["public"] else one["group"] or ""
    machines = [machine for machine in one.get("machines", ()) if machine["connected"]]
    return [
        one["name"],
        "online" if one["online"] else "offline",
        one["engine"],
        str(len(machines)) if "machines" in one else "",
        str(one["workers"]),
        f"{one['running']:,}",
        f"{one['open']:,}",
        shared,
        one["endpoint_id"],
    ]


def _of(name: str) -> ChosenService | None:
    """Return the service that an endpoint of this machine is for; the one that is usual for commands, for any other
    name."""
    return chosen_by(load(EndpointFolder(name).settings))


@endpoint.command()
@click.argument("name")
@as_json
@_report_errors
def status(name: str, as_json: bool) -> None:
    """Show an endpoint with its machines. The exit code is 1 when none is connected."""
    service = _of(name)
    if service is None:
        raise NotFound(f"there is no endpoint {name}: nothing was ever registered with your local service")
    found = service.ask("GET", f"/v3/agents/{name}")
    if as_json:
        show_json(found)
    else:
        show(COLUMNS, [_row(found)])
        if found.get("machines"):
            click.echo()
            show(MACHINES, map(_machine, found["machines"]))
        if blocks := blocks_of(found):
            click.echo()
            show(BLOCKS, [list(map(str, block)) for block in blocks])
    if not found["online"]:
        raise click.exceptions.Exit(1)


def _machine(one: dict[str, Any]) -> list[str]:
    state = one["state"]
    word = "connected" if one["connected"] else "away"
    return [
        one["host"],
        "draining" if one["connected"] and state.get("draining") else word,
        one["engine"],
        *(str(state.get(name, "")) for name in ("workers", "running")),
        f"{one['leased']:,}",
        one["version"],
        one["python"],
        age(one["heard"]),
        one["trouble"] or str(state.get("trouble", "")),
    ]


@endpoint.command()
@click.argument("name")
@click.option("--drain", is_flag=True, help="Let what runs end first; what has not begun goes back.")
@click.option("--everywhere", is_flag=True, help="On all machines, not only on this one.")
@as_json
@_report_errors
def stop(name: str, drain: bool, everywhere: bool, as_json: bool) -> None:
    """Stop an endpoint. What runs is lost (its futures end with WorkerLost), unless --drain is given.

    One that runs on another machine is told through the service.
    """
    folder = EndpointFolder(name)
    running = folder.running()
    here, told = False, 0
    if running is not None and not everywhere:
        os.kill(running.pid, signal.SIGUSR1 if drain else signal.SIGTERM)
        _wait(folder, drain)
        here, told = True, 1
    elif running is None and not everywhere and _end_left(folder):
        here, told = True, 1
    elif (service := _of(name)) is not None:
        told = service.ask("POST", f"/v3/agents/{name}/end", {"drain": drain})["told"]
    if as_json:
        show_json({"name": name, "stopped": told, "drain": drain})
    elif told:
        click.echo(f"Stopped endpoint {name}." if here else f"Told endpoint {name} to end ({told} machines).")
    else:
        click.echo(f"Endpoint {name} does not run.")


def _end_left(folder: EndpointFolder) -> int:
    """End what the engine of an endpoint has left that was killed; how many processes that were."""
    lock = folder.lock() if folder.here.is_dir() else None
    if lock is None:
        return 0
    try:
        return folder.end_engine_left()
    finally:
        os.close(lock)


def _wait(folder: EndpointFolder, drain: bool) -> None:
    deadline = time.monotonic() + STOP_WITHIN
    while folder.running() is not None:
        if not drain and time.monotonic() > deadline:
            raise click.ClickException(
                f"endpoint {folder.name} was told to end and still runs after {STOP_WITHIN:.0f} s; see {folder.log}"
            )
        time.sleep(_PAUSE)


@endpoint.command()
@click.argument("name")
@click.option("--machine", default="", help="The host whose tasks are given up; default: all that are away.")
@as_json
@_report_errors
def forget(name: str, machine: str, as_json: bool) -> None:
    """Give up the tasks of machines that will not come back: they end with WorkerLost, or run again if they have
    retries left.

    While a machine is away, what it holds waits for it: nobody else can know whether it still runs.
    """
    service = _of(name)
    if service is None:
        raise NotFound(f"there is no endpoint {name}")
    given_up = service.ask("POST", f"/v3/agents/{name}/forget", {"machine": machine})["given_up"]
    if as_json:
        show_json({"name": name, "given_up": given_up})
    else:
        click.echo(f"{given_up:,} tasks were given up.")


@endpoint.command()
@click.argument("name")
@as_json
@_report_errors
def revoke(name: str, as_json: bool) -> None:
    """Make every token of an endpoint worthless, on all its machines: they end. Started again, each gets a new
    one."""
    service = _of(name)
    if service is None:
        raise NotFound(f"there is no endpoint {name}")
    revoked = service.ask("POST", f"/v3/agents/{name}/revoke", {})["revoked"]
    if as_json:
        show_json({"name": name, "revoked": revoked})
    else:
        click.echo(f"{revoked} tokens were revoked.")


@endpoint.command()
@click.argument("name")
@as_json
@_report_errors
def delete(name: str, as_json: bool) -> None:
    """Delete an endpoint at its service and what it has kept on this machine. It must not run here."""
    folder = EndpointFolder(name)
    if folder.running() is not None:
        raise WrongInput(f"endpoint {name} runs: stop it first with compute-executor endpoint stop {name}")
    service = _of(name)
    known = False
    if service is not None:
        try:
            found = service.ask("GET", f"/v3/agents/{name}")
            service.ask("DELETE", f"/v2/endpoints/{found['endpoint_id']}")
            known = True
        except NotFound:
            if not folder.path.is_dir():
                raise
    elif not folder.path.is_dir():
        raise NotFound(f"there is no endpoint {name}")
    folder.remove()
    if as_json:
        show_json({"name": name, "deleted": True, "was_registered": known})
    else:
        click.echo(f"Deleted endpoint {name}.")


@endpoint.command()
@click.argument("name")
@click.option(
    "--lines", default=100, show_default=True, type=click.IntRange(1), help="Of the end of the log."
)
@click.option(
    "--block", metavar="ID", help="What a block has written, named as `endpoint status` or a job id names it."
)
@click.option("--engine", is_flag=True, help="What the libraries of the engine have written.")
@as_json
@_report_errors
def logs(name: str, lines: int, block: str | None, engine: bool, as_json: bool) -> None:
    """Show the log of an endpoint on this machine, or of one of its blocks."""
    folder = EndpointFolder(name)
    if not folder.log.exists():  # that of one whose starts have all failed says why
        folder.require()
    log = folder.engine_log if engine else folder.log
    files = [log] if block is None else folder.block_logs(block)
    found = {str(path): _end_of(path, lines) for path in files}
    if as_json:
        show_json({"name": name, "files": found})
        return
    for path, text in found.items():
        if len(found) > 1:
            click.echo(f"== {path}")
        click.echo("\n".join(text) or f"{path} is empty")


def _end_of(path: Path, lines: int) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()[-lines:]
    except FileNotFoundError:
        return []


@endpoint.command()
@click.argument("name")
@_report_errors
def unit(name: str) -> None:
    """Print a systemd unit that keeps an endpoint running: for ~/.config/systemd/user/."""
    folder = EndpointFolder(name)
    folder.require()
    click.echo(
        f"""[Unit]
Description=compute-executor endpoint {name}
After=network-online.target

[Service]
ExecStart={shutil.which("compute-executor") or "compute-executor"} endpoint start {name}
Restart=on-failure
RestartSec=10
KillSignal=SIGTERM
KillMode=mixed
TimeoutStopSec=30

[Install]
WantedBy=default.target"""
    )
