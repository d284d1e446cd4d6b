"""How a worker process is started: here, in a virtual environment, or in a container.

Whatever starts it, it runs start.py with five descriptors. In an environment it must not see the packages of our own
interpreter: it finds our modules in a folder that holds this package and nothing else, and the two that unpickle
functions (cloudpickle, dill) in another, where it looks last.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from compute_executor.endpoint.environments import runtimes
from compute_executor.endpoint.environments.environment import Environment
from compute_executor.endpoint.environments.runtimes import Mount
from compute_executor.endpoint.pool.fd_server import NAME, FdServer
from compute_executor.endpoint.worker.messages import PICKLING_LIBRARIES
from compute_executor.protocol.frames import PoolSpec
from compute_executor.surroundings import local_text

PACKAGE = Path(__file__).parents[2]
START = str(PACKAGE / "endpoint" / "worker" / "start.py")
INIT = "endpoint/worker/container_init.py"
"""The first process of a container, below the package."""

LINKS = "links"
"""The folder beside the environments with a link to this package."""
INSIDE = "/compute-executor"
"""Where a container sees this package, and what workers need for pickling."""


_OF_ONE_PYTHON = ("-S", "-P", "-I", "-E", "-s")
"""Options that say where an interpreter finds its packages, or that not every Python knows: not for another one."""


class StartedProcess(NamedTuple):
    """A process, and what is to be called when it is not to start any more, or has ended."""

    popen: subprocess.Popen[bytes]
    close: Callable[[], None]


Way = tuple[list[str], str, dict[str, str]]
"""Command, working folder, environment variables."""


class Launch(Protocol):
    """A way to start workers. ``contained``: the process that is started is not the worker, but ends as it ends."""

    contained: bool
    support: list[str]
    """The folders where workers find what they need for pickling."""
    way: Way | None
    """What a process that was started before must have been started with to be the same; None: there is none."""

    def start(self, files: list[int], output: tuple[int, int], begun_log: str) -> StartedProcess:
        """Start one with these descriptors, and ``output`` as its stdout and stderr. Raises OSError."""
        ...


def launch(spec: PoolSpec, environment: Environment | None, blob_folder: str) -> Launch:
    """Return the way to start the workers of a pool."""
    cwd = local_text(spec.cwd)
    options = [local_text(option) for option in spec.interpreter]
    if environment is None:
        return LocalLaunch([local_text(spec.python), *options, START], cwd, spec.variables())
    if environment.image:
        return ContainerLaunch(environment, blob_folder)
    folder = _linked(Path(environment.python).parents[4])
    start = os.path.join(folder, PACKAGE.name, "endpoint", "worker", "start.py")
    options = [option for option in options if not option.startswith(_OF_ONE_PYTHON)]
    return LocalLaunch([environment.python, *options, start], cwd, environment.environ(spec))


class LocalLaunch:
    """A child of ours, which inherits the descriptors."""

    contained = False

    def __init__(self, command: list[str], cwd: str, environ: dict[str, str]) -> None:
        self.way: Way | None = (command, cwd, environ)
        self._command = command
        self._cwd = cwd
        self._environ = environ
        self.support: list[str] = sorted({os.path.dirname(package) for package in _pickling()})

    def start(self, files: list[int], output: tuple[int, int], begun_log: str) -> StartedProcess:  # noqa: ARG002 - it sees all files
        """See Launch."""
        with _folder(self._cwd) as cwd:
            popen = subprocess.Popen(
                [*self._command, *map(str, files)],
                pass_fds=files,
                stdin=subprocess.DEVNULL,
                stdout=output[0],
                stderr=output[1],
                cwd=cwd,
                env=self._environ,
                start_new_session=True,
            )
        return StartedProcess(popen, lambda: None)


@contextlib.contextmanager
def _folder(cwd: str) -> Iterator[str]:
    """The working folder to start in. Where the caller's was removed, one that is removed once the process is in it:
    it has none either."""
    if cwd:
        yield cwd
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder


class ContainerLaunch:
    """A container, which gets the descriptors through a socket and sees of this machine what it needs: its begun log,
    the blobs, our package. Working folder and environment variables are the image's own."""

    contained = True
    way: Way | None = None  # the runtime's program needs the begun log when it starts

    def __init__(self, environment: Environment, blob_folder: str) -> None:
        self._environment = environment
        self._mounts = [
            Mount(blob_folder, blob_folder, writable=True),
            Mount(str(PACKAGE), f"{INSIDE}/{PACKAGE.name}"),
            *(Mount(package, f"{INSIDE}/support/{os.path.basename(package)}") for package in _pickling()),
        ]
        self.support: list[str] = [f"{INSIDE}/support"]

    def start(self, files: list[int], output: tuple[int, int], begun_log: str) -> StartedProcess:
        """See Launch."""
        fd_server = FdServer([*files, *output])
        mounts = [
            *self._mounts,
            Mount(begun_log, begun_log, writable=True),
            Mount(fd_server.folder, fd_server.folder),
        ]
        environment = self._environment
        command = runtimes.command(environment.runtime, environment.image, environment.python, mounts)
        try:
            popen = subprocess.Popen(
                [
                    *command,
                    f"{INSIDE}/{PACKAGE.name}/{INIT}",
                    os.path.join(fd_server.folder, NAME),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output[0],
                stderr=output[1],
                start_new_session=True,
            )
        except BaseException:
            fd_server.close()
            raise
        return StartedProcess(popen, fd_server.close)


def _pickling() -> list[str]:
    """Return the folders of the packages that workers need for pickling."""
    specs = [importlib.util.find_spec(name) for name in sorted(PICKLING_LIBRARIES)]
    return [folder for spec in specs if spec for folder in spec.submodule_search_locations or ()]


def _linked(environments: Path) -> str:
    """Return a folder with a link to this package, and nothing else. It is made anew if this package is elsewhere
    now."""
    folder = environments / LINKS
    folder.mkdir(exist_ok=True)
    link = folder / PACKAGE.name
    with contextlib.suppress(OSError):
        if link.resolve() == PACKAGE.resolve():
            return str(folder)
        link.unlink()
    link.symlink_to(PACKAGE)
    return str(folder)
