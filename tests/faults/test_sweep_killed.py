"""A sweep of 2,000 rows of which the sweep, the service or a worker is killed at a random moment, and resumed until
it has ended: every row is there once and right, and nothing that had ended has run twice."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROWS = 2000
PATIENCE = 120.0
TRIALS = 3
"""Kills of each kind would take minutes; they differ in their moment only."""
MODEL = """
import os, time

def square(x):
    time.sleep(0.001)
    value = x * x
    file = os.open("ended.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{x}\\n".encode())
    os.close(file)
    return value
"""


def command(*more: str) -> list[str]:
    grid = ("--grid", f"x=0..{ROWS - 1}", "--workers", "2", "--max-failures", "1000")
    return [sys.executable, "-m", "compute_executor", "sweep", "killed_model.py:square", *grid, *more]


def service(home: Path) -> int | None:
    """The process of the service."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        return int(json.loads(next(home.rglob("service.json")).read_text())["pid"])
    return None


def workers(of: int) -> list[int]:
    """The processes that the service has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == of:
                found.append(int(stat.parent.name))
    return found


def kill(whom: str, sweep: subprocess.Popen[bytes], home: Path, chance: random.Random) -> bool:
    """Kill it, if it is there."""
    pid = service(home)
    if whom == "worker":
        there = workers(pid) if pid else []
        pid = chance.choice(there) if there else None
    pid = sweep.pid if whom == "sweep" else pid
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def trial(folder: Path, environ: Mapping[str, str], seed: int) -> tuple[str, dict[str, int]]:
    """One sweep, killed once; who was killed, and what ended more than once."""
    chance = random.Random(seed)
    whom = ("sweep", "service", "worker")[seed % 3]
    (folder / "killed_model.py").write_text(MODEL)
    sweep = subprocess.Popen(
        command(), cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(chance.uniform(0.1, 4.0))
    kill(whom, sweep, Path(environ["COMPUTE_EXECUTOR_HOME"]), chance)
    code = sweep.wait(PATIENCE)
    for _ in range(5):
        if code == 0:
            break
        done = subprocess.run(
            command("--resume"), cwd=folder, env=environ, capture_output=True, timeout=PATIENCE, check=False
        )
        code = done.returncode
        assert code in (0, 1), done.stderr
    assert code == 0
    with (folder / "results.csv").open(newline="") as file:
        rows = [(int(row["x"]), int(row["result"])) for row in csv.DictReader(file)]
    assert rows == [(x, x * x) for x in range(ROWS)]
    times = Counter((folder / "ended.txt").read_text().split())
    assert len(times) == ROWS
    return whom, {x: number for x, number in times.items() if number > 1}


@pytest.mark.parametrize("seed", range(TRIALS))
def test_every_row_once_and_right(tmp_path: Path, seed: int) -> None:
    try:
        whom, twice = trial(tmp_path, os.environ, seed)
    finally:
        subprocess.run(
            [sys.executable, "-m", "compute_executor", "stop", "--force"], capture_output=True, check=False
        )
    # A kill may come between the last line of the function and the moment in which its worker has told the outcome.
    assert len(twice) <= (0 if whom == "sweep" else 2), f"{whom} was killed, and ended twice: {twice}"
