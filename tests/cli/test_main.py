from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import click
import pytest
from click.testing import Result

from compute_executor import __version__
from compute_executor.cli import commands

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


@pytest.mark.parametrize("name", ["groups", "status", "tasks", "task", "logs", "cancel", "sweep"])
def test_a_command_imports_only_what_it_needs_to_begin(name: str) -> None:
    heavy = "{'msgspec', 'websockets', 'uvicorn', 'rich', 'numpy', 'pandas', 'compute_executor.cli.serve'}"
    program = f"import sys, compute_executor.cli.{name}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_command_has_a_help_text(command: Command) -> None:
    names = commands.list_commands(click.Context(commands))
    assert len(names) > 25
    for name in names:
        assert name in command("--help").stdout
        assert command(name, "--help").exit_code == 0


def test_a_word_that_is_no_command_is_told(command: Command) -> None:
    assert "No such command 'swep'. Did you mean sweep?" in command("swep").stderr
    assert "No such command 'xyzzy'." in command("xyzzy").stderr
    assert "No such option" in command("--xyzzy").stderr
