"""docs/sharing.md: its commands and code blocks run, in order, on a service in this machine's loopback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from compute_executor.cli import commands
from compute_executor.local.state import read_announcement

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "sharing.md"
SERVE = "from compute_executor.cli import main; main()"


@pytest.mark.slow
def test_the_blocks_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, page = tmp_path / "state", PAGE.read_text()
    printed: dict[str, str] = {}
    for line in re.findall(r"^\$ compute-executor (.*)$", page, re.MULTILINE):
        done = CliRunner().invoke(commands, [*line.split(), "--state", str(folder)])
        assert done.exit_code == 0, done.stderr
        printed[line] = done.stdout.strip()
    assert len(printed) == 9
    serve = [
        "serve",
        "--auth",
        "token",
        "--trust-all-users",
        "--port",
        "0",
        "--durability",
        "process",
        "--state",
        str(folder),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", SERVE, *serve], env=environment) as process:
        try:
            while (found := read_announcement(folder)) is None:
                assert process.poll() is None
            names: dict[str, Any] = {
                "__name__": "__main__",
                "url": found.url,
                "ann_token": printed["token new ann --expires 30d"],
                "bob_token": printed["token new bob"],
                "lab": printed["group add lab"],
            }
            for block in re.findall(r"```py\n(.*?)```", page, re.DOTALL):
                exec(compile(block, str(PAGE), "exec"), names)
            names["ann"].close()
            names["bob"].close()
        finally:
            process.terminate()
    assert "there is no function" in capsys.readouterr().out
