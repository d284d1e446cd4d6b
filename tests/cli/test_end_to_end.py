"""The commands as a user meets them: a process of its own, the real service, a real terminal."""

from __future__ import annotations

import csv
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = [sys.executable, "-m", "compute_executor"]
PATIENCE = 60.0
MODEL = """
import time

def square(x):
    return x * x

def fails(x):
    raise KeyError(x)

def waits(x):
    if x > 5:
        time.sleep(300)
    return x

def dies(x):
    if x == 3:
        import os
        os._exit(9)
    return x
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a model in it; the service that a test starts is stopped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    (tmp_path / "model.py").write_text(MODEL)
    yield tmp_path
    run("stop", "--force")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def read(name: str = "results.csv") -> list[dict[str, str]]:
    with Path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Terminal:
    """A command on a terminal of its own. ``shown``: all that it has written so far."""

    def __init__(self, *arguments: str) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [*PROGRAM, *arguments])
        self.shown = ""

    def until(self, pattern: str) -> None:
        """Read until ``pattern`` has been written."""
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.shown):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.shown!r}"
            assert self._read(), f"ended without {pattern!r}: {self.shown!r}"

    def press(self, key: bytes) -> None:
        os.write(self._terminal, key)

    def exit_code(self) -> int:
        """Read to the end, and wait for it."""
        while self._read():
            pass
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        try:
            ready, _, _ = select.select([self._terminal], [], [], PATIENCE)
            assert ready, f"silent: {self.shown!r}"
            text = os.read(self._terminal, 65536)
        except OSError:  # EIO: the other end is closed
            return False
        self.shown += text.decode(errors="replace")
        return bool(text)


def test_a_sweep_then_status_then_stop(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "60")  # it is to be there however slow this machine is
    done = run("sweep", "model.py:square", "--grid", "x=1:300:300", "--max-workers", "2")
    told = re.sub(r".* rows, .* failed\n", "", done.stderr)  # a line each 5 s, where the machine is busy
    assert (done.returncode, told) == (0, "")
    assert [row["result"] for row in read()] == [str(x * x) for x in range(1, 301)]
    status = run("status")
    assert status.returncode == 0
    assert re.search(r"service +http://127\.0\.0\.1:\d+, version .*, pid \d+, up 0:00:", status.stdout)
    assert "0 queued" in status.stdout
    assert run("stop").stdout.startswith("Stopped (pid ")
    assert run("status").returncode == 1


def test_a_worker_that_dies_costs_its_row_only(here: Path) -> None:
    done = run("sweep", "model.py:dies", "--grid", "x=1:20:20")
    assert done.returncode == 1
    failed = [row for row in read() if row["error"]]
    assert [row["x"] for row in failed] == ["3"]
    assert failed[0]["error"].startswith("WorkerLost: ")


def test_exceptions_are_told(here: Path) -> None:
    done = run("sweep", "model.py:fails", "--grid", "x=7")
    assert (done.returncode, read()) == (1, [{"x": "7", "error": "KeyError: 7"}])


def test_on_a_terminal_there_is_a_bar_and_ctrl_c_keeps_what_is_done(here: Path) -> None:
    sweep = ("sweep", "model.py:waits", "--grid", "x=1:50:50", "--max-workers", "2")
    terminal = Terminal(*sweep)
    terminal.until(r"5/50 rows, .*/s, .* left, 0 failed")
    terminal.press(b"\x03")
    pressed = time.monotonic()
    assert terminal.exit_code() == 130
    assert time.monotonic() - pressed < 10
    assert "interrupted. 5 of 50 rows are in results.csv" in terminal.shown
    assert f"compute-executor {' '.join(sweep)} --resume" in " ".join(terminal.shown.split())
    assert sorted(row["x"] for row in read()) == ["1", "2", "3", "4", "5"]


def test_resume_after_a_kill(here: Path) -> None:
    sweep = ("sweep", "model.py:waits", "--max-workers", "2")
    terminal = Terminal(*sweep, "--grid", "x=1:50:50")
    terminal.until(r"5/50 rows")
    os.kill(terminal.pid, signal.SIGKILL)
    assert terminal.exit_code() == -signal.SIGKILL
    done = run(*sweep, "--grid", "x=0:5:6", "--resume")
    assert done.returncode == 0
    assert "of programs that have ended is still open" in done.stderr  # that of the killed one
    assert "6 rows (5 were there before)" in done.stdout
    assert [row["x"] for row in read()] == ["0", "1", "2", "3", "4", "5"]


def test_termination_by_a_batch_system_is_an_interrupt_too(here: Path) -> None:
    terminal = Terminal("sweep", "model.py:waits", "--grid", "x=1:50:50")
    terminal.until(r"5/50 rows")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.exit_code() == 128 + signal.SIGTERM
    assert "5 of 50 rows are in results.csv" in terminal.shown
