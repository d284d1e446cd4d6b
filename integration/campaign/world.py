"""Where a round of the campaign happens: a state folder on a small disk of its own, a wire, the processes in it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from compute_executor.errors import ComputeError
from compute_executor.local.locks import is_held
from compute_executor.local.state import DATABASE, FOLDER, RINGS, SERVICE_LOCK, ServiceInfo, read_announcement
from integration.campaign.proxy import Wire
from integration.campaign.shim import Shim

DISK = "size=96m"
ROOT = Path(__file__).parents[2]
IDLE = "3"
"""Seconds after which the service of a round ends by itself."""


class World:
    """One round's surroundings. Needs root for a disk of its own; without, faults of the disk are left out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "disk"
        self.home.mkdir(parents=True)
        self.own_disk = (
            not os.geteuid()
            and not subprocess.run(
                ["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", self.home], check=False
            ).returncode
        )
        self.state = self.home / FOLDER
        self.shim = Shim(folder)
        self.wire = Wire(self._target)
        self.clients: list[subprocess.Popen[bytes]] = []

    def _target(self) -> tuple[str, int] | None:
        announced = self.service()
        if announced is None:
            return None
        host, _, port = announced.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def environment(self) -> dict[str, str]:
        """Of the programs, which their service and workers inherit."""
        return {
            **os.environ,
            **self.shim.environment(),
            "COMPUTE_EXECUTOR_HOME": str(self.home),
            "COMPUTE_EXECUTOR_IDLE": IDLE,
            "PYTHONPATH": str(ROOT),
        }

    def start_client(self, *arguments: object) -> subprocess.Popen[bytes]:
        """A program of client.py."""
        command = [sys.executable, "-m", "integration.campaign.client", str(self.folder), str(self.wire.port)]
        with (self.folder / "errors").open("ab") as errors:
            client = subprocess.Popen(
                [*command, *map(str, arguments)],
                env=self.environment(),
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        self.clients.append(client)
        return client

    # -- who is there -------------------------------------------------------------------------------------

    def service(self) -> ServiceInfo | None:
        """The service, if it lives."""
        with contextlib.suppress(ComputeError, OSError):
            found = read_announcement(self.state)
            if found is not None and is_held(self.state / SERVICE_LOCK):
                return found
        return None

    def workers(self) -> list[int]:
        """Children of the service, those that start included."""
        found = self.service()
        return children(found.pid) if found else []

    def left_behind(self) -> list[int]:
        """Processes that have this round's state folder in their environment, besides clients."""
        mark = f"COMPUTE_EXECUTOR_HOME={self.home}".encode()
        own = {client.pid for client in self.clients if client.poll() is None}
        return [pid for pid, environ in _environments() if mark in environ.split(b"\0") and pid not in own]

    def rings(self) -> int:
        """Files of workers that nobody has removed."""
        folder = self.state / RINGS
        return len(list(folder.iterdir())) if folder.is_dir() else 0

    def database(self) -> Path:
        """The store."""
        return self.state / DATABASE

    # -- its end ------------------------------------------------------------------------------------------

    def restart(self) -> bool:
        """Start a service that was killed after all programs had ended once more, so that it can end in order.
        Whether one runs."""
        if self.service() is not None:
            return True
        command = [sys.executable, "-c", "from compute_executor import Client; Client().version_check()"]
        with (self.folder / "errors").open("ab") as errors:
            started = subprocess.run(
                command, env=self.environment(), cwd=self.folder, check=False, timeout=60, stderr=errors
            )
        return not started.returncode

    def settle(self, patience: float) -> bool:
        """Wait until the service has ended by itself, as it does when it is idle. Whether it has."""
        deadline = time.monotonic() + patience
        while self.left_behind() and time.monotonic() < deadline:
            time.sleep(0.1)
        return not self.left_behind()

    def close(self) -> None:
        """Leave nothing."""
        for client in self.clients:
            if client.poll() is None:
                client.kill()
            client.wait()
        self.wire.close()
        for pid in self.left_behind():
            signalled(pid, signal.SIGKILL)
        self.settle(10)
        if self.own_disk:
            subprocess.run(["umount", "--lazy", self.home], check=True)


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def signalled(pid: int, number: int) -> bool:
    """Send a signal; False if there is no such process."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
        return True
    return False


def until(holds: Callable[[], object], patience: float) -> bool:
    """Wait until ``holds()``; whether it came to that."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _environments() -> Iterator[tuple[int, bytes]]:
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (path / "stat").read_bytes().rpartition(b") ")[2][:1]
            if state not in b"ZX":
                yield int(path.name), (path / "environ").read_bytes()
