"""Completion scripts: what they are, and that the shells get our commands from them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import Result

Command = Callable[..., Result]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(command: Command, shell: str) -> None:
    done = command("completion", shell)
    assert done.exit_code == 0
    assert "_COMPUTE_EXECUTOR_COMPLETE" in done.stdout
    assert command("completion", "csh").exit_code == 2


def test_the_script_asks_for_commands_and_gets_them() -> None:
    asked = {
        "_COMPUTE_EXECUTOR_COMPLETE": "bash_complete",
        "COMP_WORDS": "compute-executor sta",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "compute_executor"],
        env=asked,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == ["plain,status"]
