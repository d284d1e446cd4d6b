"""Real accounts of this machine, and a service that runs tasks under them. For root only."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compute_executor import Client
from compute_executor.local.state import ServiceInfo, read_announcement

REPOSITORY = Path(__file__).parents[3]
PATIENCE = 30.0

_OPENED = """set -e
mkdir {hold}
mount --bind {closed} {hold}
mount -t tmpfs -o mode=755 tmpfs {top}
mkdir -p {closed}
mount --move {hold} {closed}
exec "$@"
"""
"""Shows, in a mount namespace of its own, one folder of those in a folder that is closed to others."""


def why_not() -> str:
    """Why tasks cannot be run under other accounts here; empty if they can."""
    if os.geteuid() != 0:
        return "only root can make accounts and start processes under them"
    if shutil.which("useradd") is None or shutil.which("userdel") is None:
        return "there is no useradd here"
    if _closed_above(_python()) and subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        return (
            f"accounts cannot start {_python()}, and no mount namespace can be made here in which they could"
        )
    return ""


def _python() -> Path:
    """The folder of the interpreter itself."""
    return Path(sys.base_prefix).resolve()


def _closed_above(path: Path) -> Path | None:
    """The topmost folder above that others cannot enter."""
    return next((one for one in reversed(path.parents) if not one.stat().st_mode & 0o001), None)


@contextmanager
def account(name: str) -> Iterator[str]:
    """An account of this name, with a home."""
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["userdel", "--remove", name], check=True, stderr=subprocess.DEVNULL)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every account gets to, as those of pytest are not."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="compute-executor-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder)


class AccountService:
    """`compute-executor serve --run-as`, in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.state = folder / "state"
        self._folder = folder
        self._options = options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])  # the same after a restart, so that clients find it
        self.start()

    def start(self) -> None:
        """Start it on its folder, and return when it serves."""
        command = [sys.executable, "-m", "compute_executor", "serve", "--port", self._port, "--auth", "token"]
        command += ["--durability", "process", "--state", str(self.state), *self._options]
        closed = _closed_above(_python())
        if closed is not None:
            below = closed / _python().relative_to(closed).parts[0]
            script = _OPENED.format(hold=self._folder / "hold", closed=below, top=closed)
            command = ["unshare", "-m", "sh", "-c", script, "sh", *command]
            shutil.rmtree(self._folder / "hold", ignore_errors=True)
        self.process = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while (found := read_announcement(self.state)) is None or found.pid != self.process.pid:
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self._found = found

    @property
    def info(self) -> ServiceInfo:
        """What it has announced."""
        return self._found

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.process.kill()
        self.process.wait()

    def user(self, name: str) -> str:
        """A new user; their token."""
        self._manage("user", "add", name)
        return self._manage("token", "new", name)

    def _manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "compute_executor", *command, "--state", str(self.state)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def client(self, token: str) -> Client:
        """A client of a user."""
        return Client(base_url=self.info.url, token=token)

    def pools(self) -> list[Path]:
        """The folders of the pools that run under accounts."""
        place = self.state.with_name("state.accounts")
        return list(place.iterdir())


def pool_processes(user: str) -> list[int]:
    """The processes of pools that run under an account."""
    done = subprocess.run(
        ["pgrep", "-u", user, "-f", "pool_agent"], capture_output=True, text=True, check=False
    )
    return [int(line) for line in done.stdout.split()]


def wait_until(holds: object, what: str = "") -> None:
    """Return when ``holds()`` is true."""
    assert callable(holds)
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
