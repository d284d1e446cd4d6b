from __future__ import annotations

import socket
import sys
import types
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from compute_executor.cli import dashboard


def run(*options: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command for a service that nobody asks."""
    done = CliRunner().invoke(dashboard.dashboard, ["--url", "http://127.0.0.1:1", *options])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(autouse=True)
def page(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the page, whose library takes seconds to load: Ctrl-C comes as soon as it is open."""

    def served(_service: object, _listener: socket.socket, opened: Callable[[str], None]) -> None:
        opened("http://127.0.0.1:5/open?key=k")
        raise KeyboardInterrupt

    module = types.ModuleType("compute_executor.dashboard.server")
    vars(module).update(HOST="127.0.0.1", serve=served)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("COMPUTE_EXECUTOR_TOKEN", "token")


def test_ctrl_c_is_how_it_ends() -> None:
    code, out, err = run("--no-browser")
    assert (code, err) == (0, "")
    assert out.startswith("http://127.0.0.1:5/open?key=k\n(works once")


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run("--port", str(taken.getsockname()[1]))
    assert code == 1
    assert "cannot be used: Address already in use" in err
    assert err.endswith("choose another\n")
    assert len(err.splitlines()) == 1
