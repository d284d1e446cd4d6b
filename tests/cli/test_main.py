from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from click.testing import Result

from compute_executor import __version__

Command = Callable[..., Result]


def test_version_and_help(command: Command) -> None:
    assert __version__ in command("--version").stdout
    assert "sweep" in command("-h").stdout


def test_the_package_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "compute_executor", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"compute-executor, version {__version__}"


def test_public_modules_need_no_import_of_their_own() -> None:
    program = "import compute_executor as c; print(c.errors.TaskPending, c.serialize.JSONData, c.testing.FakeService)"
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
