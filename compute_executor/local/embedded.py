"""Finds this user's local service, or starts it. Runs in the client's process, so it imports next to nothing.

    find_or_start()
      1. read service.json; does a process hold service.lock, and does it answer as that instance?  -> done (< 1 ms)
      2. take start.lock; look again: whoever held the lock before may have started one
      3. start ``python -m compute_executor.service``, and wait on a pipe until it says that it serves, or why not

However many processes do this at once, the lock lets one start and the others find. A process that was killed
while it started a service leaves no lock behind, and the service it started is found by its service.lock.

The service is a daemon: a session of its own (Ctrl-C in the caller's terminal does not reach it), no descriptor
of the caller's, the state folder as its working directory, and no parent to reap it (``service.__main__`` forks).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from compute_executor import system
from compute_executor.errors import FolderTaken, ServiceUnavailable, from_document
from compute_executor.local.locks import is_held, living, locked
from compute_executor.local.state import (
    LOG,
    PLACE,
    SERVICE_LOCK,
    START_LOCK,
    ServiceInfo,
    open_private,
    prepare_folder,
    read_announcement,
    state_folder,
)
from compute_executor.local.upgrade import take_over
from compute_executor.surroundings import tight_limits, too_tight

START_PATIENCE = 30.0
"""Seconds that a start may take in all, waiting for others who start one included."""

ANSWER_PATIENCE = 5.0
"""Seconds that a running service may take to answer before it counts as stuck."""

_PAUSE = 0.01
_LOG_END = 4000
"""Characters of the log that an error shows."""

_KEPT_PYTHON_VARIABLES = frozenset({"PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"})
_NEEDED_PACKAGES = (
    "compute_executor",
    "uvicorn",
    "starlette",
    "msgspec",
    "uvloop",
    "httptools",
    "websockets",
)


class ServiceAddress(NamedTuple):
    """Where the service listens, what opens it, and which run of it this is."""

    url: str
    token: str
    instance: str

    def __repr__(self) -> str:
        return f"ServiceAddress(url={self.url!r}, instance={self.instance!r}, token=...)"


def find_or_start(*, held: bool = False) -> ServiceAddress:
    """Return the address of this user's service, which answers at this moment; started if there was none.

    It may end by itself when nobody uses it (``$COMPUTE_EXECUTOR_IDLE`` seconds): a client that is refused a
    connection later asks here again. ``held``: one that is started here runs no stored task before a client comes
    to run some. Raises ServiceUnavailable or NotAuthorized with the path at fault and what to do.
    """
    if not system.has_local_service():
        raise ServiceUnavailable(system.NO_LOCAL_SERVICE)
    return find() or _start(state_folder(), held)


def find() -> ServiceAddress | None:
    """Return the address of this user's service if one is running and answers. Raises NotAuthorized if its files are
    not ours alone."""
    announced = living(state_folder())
    if announced is None:
        return None
    if not _answers(announced):
        if announced.network and (here := system.network()) and here != announced.network:
            raise ServiceUnavailable(
                f"the service of {state_folder()} runs in another network ({announced.network}; here it is {here}), "
                "as on the host of this container: it cannot be reached from here, and a folder has one service. Set "
                f"{PLACE} to another folder here, or let the container share the host's network"
            )
        return None
    return ServiceAddress(announced.url, announced.token, announced.instance)


# -- is it there? -------------------------------------------------------------------------------------------


def _answers(announced: ServiceInfo) -> bool:
    """Return whether the service at this address is the announced one. Only asked while its process holds its lock,
    so the token is not shown to a stranger who got the port later."""
    host, _, port = announced.url.removeprefix("http://").rpartition(":")
    request = (
        f"GET /v2/version HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {announced.token}\r\n"
        "Connection: close\r\n\r\n"
    )
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_PATIENCE) as connection:
            connection.sendall(request.encode("ascii"))
            answer = _read_all(connection)
    except (OSError, ValueError):
        return False
    return answer.startswith(b"HTTP/1.1 200 ") and announced.instance.encode() in answer


def _read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(64 * 1024):
        parts.append(part)
    return b"".join(parts)


# -- start it -----------------------------------------------------------------------------------------------


def _start(folder: Path, held: bool) -> ServiceAddress:
    deadline = time.monotonic() + START_PATIENCE
    take_over(folder)
    prepare_folder(folder)
    with locked(folder / START_LOCK, deadline):
        while True:
            address = find()
            if address is not None:
                return address
            if not is_held(folder / SERVICE_LOCK):
                _spawn(folder, deadline, held)
            elif time.monotonic() > deadline:
                raise _held(folder)
            else:  # one is starting (its starter was killed) or ending
                time.sleep(_PAUSE)


def _held(folder: Path) -> ServiceUnavailable:
    announced = read_announcement(folder)
    who = f"process {announced.pid}" if announced else "a process"
    return ServiceUnavailable(
        f"{who} holds {folder / SERVICE_LOCK} but does not answer. See what it does in {folder / LOG}; end it "
        f"(kill {announced.pid if announced else 'its pid'}) and try again: nothing that it accepted is lost"
    )


def _spawn(folder: Path, deadline: float, held: bool) -> None:
    """Start a service and wait until it serves. Raises what it says is wrong, or the end of its log."""
    if not sys.executable or getattr(sys, "frozen", False):
        raise ServiceUnavailable(
            f"sys.executable ({sys.executable!r}) is no Python interpreter, so no service can be started from this "
            "program. Start one beforehand: python -m compute_executor.service --embedded"
        )
    if missing := too_tight():
        raise ServiceUnavailable(
            f"no service can be started from this program, as it would have its limits: {missing}. Raise them, or "
            "start one where they are higher: python -m compute_executor.service --embedded"
        )
    log = open_private(folder / LOG, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    ready, report = os.pipe()
    try:
        log_start = os.fstat(log).st_size
        message = _run_service(folder, log, (ready, report), deadline, held)
        if not message:
            raise ServiceUnavailable(
                f"the service died while starting{tight_limits()}. The end of {folder / LOG}:\n"
                f"{_log_end(log, log_start)}"
            )
        _raise_reported(message)
    finally:
        os.close(log)
        os.close(ready)


def _run_service(folder: Path, log: int, pipe: tuple[int, int], deadline: float, held: bool) -> bytes:
    """Return the service's report on its start: JSON, or nothing if it died. Closes the writing end of ``pipe``."""
    import subprocess  # 10 ms, and only who starts a service needs it

    ready, report = pipe
    command = [sys.executable, "-m", "compute_executor.service", "--state", str(folder), "--embedded"]
    if held:
        command.append("--held")
    try:
        process = subprocess.Popen(
            [*command, "--ready", str(report)],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(report,),
            start_new_session=True,
        )
    except OSError as error:
        raise ServiceUnavailable(
            f"cannot start the service with {sys.executable}: {error}{tight_limits()}"
        ) from error
    finally:
        os.close(report)
    import websockets.client  # noqa: F401 - 30 ms, which whoever speaks to the service needs next, while it starts

    with process:  # it forks the service and ends at once
        message = _read_report(ready, deadline)
        if message is None:
            _kill_group(process.pid)
            raise ServiceUnavailable(
                f"the service was not up within {START_PATIENCE:.0f} s and was killed. See {folder / LOG}"
            )
    return message


def _read_report(ready: int, deadline: float) -> bytes | None:
    """Return all that comes through the pipe until its other end is closed; None if that is not before
    ``deadline``."""
    poller = select.poll()
    poller.register(ready, select.POLLIN)
    message = b""
    while poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
        part = os.read(ready, 64 * 1024)
        if not part:
            return message
        message += part
    return None


def _kill_group(leader: int) -> None:
    import signal

    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)  # the service stayed in the session that was made for it


def _raise_reported(message: bytes) -> None:
    """Raise the error that the service reports, unless it is that another one was quicker: that one will be found."""
    report: dict[str, Any] = json.loads(message)
    if "error" not in report:
        return
    error = from_document(report["error"])
    if isinstance(error, FolderTaken):
        return
    if isinstance(error, ServiceUnavailable):
        raise type(error)(f"{error.message}{tight_limits()}")
    raise error


def _log_end(log: int, start: int) -> str:
    size = os.fstat(log).st_size
    end = os.pread(log, _LOG_END, max(start, size - _LOG_END))
    return end.decode(errors="backslashreplace").strip() or "(nothing was written)"


def _environment() -> dict[str, str]:
    """Return the caller's environment without what steers its own interpreter, and with the way to our packages."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") or name in _KEPT_PYTHON_VARIABLES
    }
    environment["PYTHONPATH"] = os.pathsep.join(_search_path())
    environment["PYTHONSAFEPATH"] = (
        "1"  # from 3.11 on; before, the state folder comes first, which is ours alone
    )
    environment["PYTHONUTF8"] = "1"  # one way to write paths, whatever the locale of the first program is
    return environment


def _search_path() -> list[str]:
    """Return where this process finds what the service imports, beyond what its interpreter finds by itself."""
    import site
    from importlib.util import find_spec

    own = {os.path.realpath(folder) for folder in (*site.getsitepackages(), site.getusersitepackages())}
    specs = [find_spec(name) for name in _NEEDED_PACKAGES]
    found = [
        os.path.dirname(os.path.dirname(spec.origin)) for spec in specs if spec is not None and spec.origin
    ]
    return [
        folder for folder in dict.fromkeys(map(os.path.abspath, found)) if os.path.realpath(folder) not in own
    ]
