"""Systems without file locks, resource limits and Unix sockets, as Windows: a program from which these are hidden.
It has not been run on Windows itself."""

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
