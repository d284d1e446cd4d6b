"""One script with one executor: what came of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from integration.patterns.rows import Row

COLUMNS = ("threads", "fork", "spawn", "loky", "ours")
RIGHT, WRONG, HANGS = "right", "wrong", "hangs"
PATIENCE = 40
"""Seconds after which a script hangs."""
_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Pool|Lost|Interrupt|Exit))\b", re.MULTILINE)


def outcome(row: Row, column: str, python: Path, home: Path) -> str:
    """`right`, `wrong`, `hangs`, the name of the error, or the exit status. ``home``: the state folder of
    services that a script starts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(Path(__file__).with_name("pool.py"), folder)
        (folder / "script.py").write_text(row.script)
        environment = {
            **os.environ,
            "COLUMN": column,
            "COMPUTE_EXECUTOR_HOME": str(home),
            "TMPDIR": name,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        try:
            done = subprocess.run(
                [str(python), "script.py", "--row"],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return HANGS
    return _judged(row, done)


def _judged(row: Row, done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == 0 and done.stdout.strip() == row.prints:
        return RIGHT
    if done.returncode == 0:
        return WRONG
    errors = _ERROR.findall(done.stderr)
    return str(errors[-1]) if errors else f"exit {done.returncode}"
