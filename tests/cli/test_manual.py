"""The manual page: every command is in it, and man(1) reads it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest
from click.testing import Result

from compute_executor.cli import commands
from compute_executor.cli.manual import help_texts, page, roff

Command = Callable[..., Result]


def test_every_command_has_its_section(command: Command) -> None:
    done = command("manual")
    assert done.exit_code == 0
    for path, _ in help_texts(commands, "compute-executor"):
        assert f"\n.SH {roff(path.upper())}\n" in done.stdout
    assert "COMPUTE\\-EXECUTOR ENDPOINT START" in done.stdout


@pytest.mark.parametrize(
    ("line", "written"),
    [
        (".hidden", "\\&.hidden"),
        ("'quoted", "\\&'quoted"),
        ("a\\b", "a\\eb"),
        ("--help", "\\-\\-help"),
        ("", ""),
    ],
)
def test_text_stands_in_the_page_as_it_is(line: str, written: str) -> None:
    assert roff(line) == written


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
def test_man_has_nothing_to_say_against_it() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z"], input=page(commands), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
