"""Systems without file locks, resource limits and Unix sockets, as Windows, and without what only Linux has, as
macOS: programs from which these are hidden, and from the service and workers that such a program starts. They have
not been run on Windows and macOS themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute_executor.local.state import ServiceInfo, read_announcement

pytestmark = pytest.mark.slow

HIDDEN = """
import importlib.abc, socket, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in ("fcntl", "resource", "pwd", "grp", "termios"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules.pop(name, None)
del socket.AF_UNIX

def pair(*_):  # what Python does on Windows
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        return one, server.accept()[0]

socket.socketpair = pair
"""


def run(program: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN + program],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServiceInfo]:
    """A service elsewhere, so to speak."""
    state = tmp_path / "served"
    serve = ["serve", "--port", "0", "--state", str(state), "--durability", "process"]
    with subprocess.Popen(
        [sys.executable, "-m", "compute_executor", *serve], stdout=subprocess.DEVNULL
    ) as process:
        try:
            while (found := read_announcement(state)) is None:
                assert process.poll() is None
            yield found
        finally:
            process.terminate()


def test_the_local_service_is_refused_in_one_line() -> None:
    said = run(
        """
from compute_executor import Executor
with Executor(1) as executor:
    error = executor.submit(abs, -1).exception()
print(type(error).__name__, error)
"""
    )
    assert said.startswith("ServiceUnavailable the local service needs a POSIX system")
    assert "WSL" in said
    assert said.count("\n") == 1


def test_a_service_elsewhere_can_be_used(served: ServiceInfo) -> None:
    said = run(
        f"""
from compute_executor import Client, Executor
client = Client(base_url={served.url!r}, token={served.token!r})
with client, Executor(1, client=client) as executor:
    print(executor.submit(pow, 2, 10).result(60), list(executor.map(abs, [-1, -2])))
    function = client.register_function(abs)
    task = client.run(-5, function_id=function, endpoint_id="c0de0000-0000-8000-8000-00000000c0de")
    executor_of_it = Executor(task_group_id=executor.task_group_id, client=client)
    print(sorted(future.result(60) for future in executor_of_it.reload_tasks()))
    executor_of_it.shutdown()
"""
    )
    assert said == "1024 [1, 2]\n[1, 2, 1024]\n"


ONLY_LINUX = """
import builtins, ctypes, fcntl, io, os, signal, socket

def hidden(function):
    def guarded(path, *args, **kwargs):
        name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if name.startswith(("/proc", "/sys")):
            raise FileNotFoundError(2, "No such file or directory", name)
        return function(path, *args, **kwargs)

    return guarded

for module, names in (
    (builtins, ("open",)),
    (io, ("open",)),
    (os, ("open", "listdir", "scandir", "readlink", "stat", "lstat", "access")),
):
    for name in names:
        setattr(module, name, hidden(getattr(module, name)))
for module, names in (
    (os, ("pidfd_open", "posix_fallocate", "sched_getaffinity", "sched_setaffinity", "memfd_create", "pipe2")),
    (fcntl, ("F_SETSIG",)),
    (signal, ("pidfd_send_signal", "sigtimedwait")),
    (socket, ("SOCK_SEQPACKET", "SO_PEERCRED")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

class CDLL(ctypes.CDLL):
    def __getattr__(self, name):
        if name in ("prctl", "fallocate"):
            raise AttributeError(name)
        return super().__getattr__(name)

ctypes.CDLL = CDLL

def note():
    with open(os.path.join(os.environ["SEEN"], str(os.getpid())), "w"):
        pass

note()
os.register_at_fork(after_in_child=note)
"""

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from compute_executor import Executor
from compute_executor.local import embedded
from compute_executor.local.state import read_announcement

of_service = embedded._environment()  # it does not get the program's search path
of_service["PYTHONPATH"] += os.pathsep + os.environ["PYTHONPATH"]
embedded._environment = lambda: of_service

def die():
    os.kill(os.getpid(), signal.SIGKILL)

with Executor(2) as executor:
    print(list(executor.map(pow, range(5), [2] * 5)), len(executor.submit(bytes, 1_000_000).result()))
    print(type(executor.submit(die).exception()).__name__)
    print(type(executor.options(timeout=0.2).submit(time.sleep, 300).exception()).__name__)
    workers = {executor.submit(os.getpid).result()}
    slow = executor.options(retries=1).submit(time.sleep, 0.5)
    service = read_announcement(Path(os.environ["COMPUTE_EXECUTOR_HOME"]) / "state").pid
    os.kill(service, signal.SIGKILL)
    print(slow.result(), executor.submit(abs, -1).result())
print({str(one) for one in (service, os.getpid(), *workers)} <= set(os.listdir(os.environ["SEEN"])))
"""


def test_the_local_service_does_without_what_linux_alone_has(tmp_path: Path) -> None:
    """Death of a worker and of the service included: they are noticed by other means."""
    seen = tmp_path / "seen"
    seen.mkdir()
    (tmp_path / "sitecustomize.py").write_text(ONLY_LINUX)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "SEEN": str(seen)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.splitlines() == [
        "[0, 1, 4, 9, 16] 1000000",
        "WorkerLost",
        "TaskTimeout",
        "None 1",
        "True",
    ], done.stderr


def test_a_user_without_a_home_gets_a_place_and_one_warning(tmp_path: Path) -> None:
    """As in a container with a user id of its own: HOME leads nowhere."""
    program = "from compute_executor.local.state import home; print(home()); home()"
    (tmp_path / "file").touch()
    environ = {**os.environ, "HOME": str(tmp_path / "file" / "home"), "TMPDIR": str(tmp_path)}
    for name in ("COMPUTE_EXECUTOR_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        environ.pop(name, None)
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for more, place in (
        ({}, tmp_path / f"compute-executor-{os.getuid()}"),
        ({"XDG_RUNTIME_DIR": str(runtime)}, runtime / "compute-executor"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**environ, **more},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"{place}\n"
        assert done.stderr.count("UserWarning") == 1
        assert f"kept in {place}, on this machine alone" in done.stderr
