"""Pages of the documentation as a reader uses them: their commands and programs, with what stands for the reader's
machines replaced by what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.endpoint.agent.running import environment

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
PATIENCE = 120.0

_BLOCK = re.compile(r"^```(console|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| (.+?) \| `(.+?)`", re.MULTILINE)


class Page:
    """A page. ``instead``: what to put in the place of each of these texts."""

    def __init__(self, name: str, instead: Mapping[str, str] | None = None) -> None:
        text = (GUIDES / name).read_text(encoding="utf-8")
        for shown, real in (instead or {}).items():
            assert shown in text, f"{name} does not say {shown}"
            text = text.replace(shown, real)
        self.text = text
        blocks = _BLOCK.findall(text)
        self.programs = [body for kind, body in blocks if kind == "text"]
        self._consoles = [body for kind, body in blocks if kind == "console"]

    def commands(self, of: str) -> list[list[str]]:
        """The words behind ``of`` of its commands that begin so, such as `compute-executor endpoint`."""
        lines = [line for console in self._consoles for line in console.splitlines()]
        begun = [line.partition("#")[0] for line in lines if line.startswith(f"$ {of} ")]
        return [shlex.split(line.removeprefix(f"$ {of} ")) for line in begun]

    def answer_to(self, start: str) -> str:
        """The line that it shows below the command that begins so."""
        lines = [line for console in self._consoles for line in console.splitlines()]
        (at,) = [number for number, line in enumerate(lines) if line.startswith(f"$ {start}")]
        return lines[at + 1]

    def rows(self, first: str) -> dict[str, str]:
        """Of its table whose head begins with ``first``: the commands by what is left of them."""
        (table,) = [one for one in self.text.split("\n\n") if one.startswith(f"| {first} |")]
        return dict(_ROW.findall(table))


def run_program(text: str, folder: Path, **changes: str) -> str:
    """What a program prints. It must end well, and without a word to stderr."""
    (folder / "program.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
