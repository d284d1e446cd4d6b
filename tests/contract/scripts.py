"""Runs small programs that use an Executor in processes of their own, and looks for what they leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

from tests.contract.work import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
PRELUDE = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from compute_executor import Executor
def done(path, value="done"):
    import pathlib, time
    time.sleep(0.2)
    pathlib.Path(path).write_text(value)
    return value
"""
"""`done` leaves a file a little later, so that a program which does not wait for its tasks is found out. SIGINT is as
in a terminal: what a shell without job control starts in the background would inherit that it is ignored."""


class Ended(NamedTuple):
    """How a program ended."""

    code: int
    out: str
    err: str


class Program:
    """A Python script with a state folder of its own. Its tasks may leave files in ``folder``."""

    def __init__(self, folder: Path, text: str, *flags: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.script = folder / "program.py"
        self.script.write_text(PRELUDE + textwrap.dedent(text))
        self.environ = {
            **os.environ,
            "COMPUTE_EXECUTOR_HOME": str(self.home),
            "COMPUTE_EXECUTOR_IDLE": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONFAULTHANDLER": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, *flags, str(self.script)],
            cwd=folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, timeout: float = 30) -> Ended:
        """Wait for the program. Fails if it takes longer than ``timeout`` seconds."""
        try:
            out, err = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler says where it hangs
            _, err = self.process.communicate()
            raise AssertionError(f"the program did not end in {timeout} s:\n{err}") from None
        return Ended(self.process.returncode, out, err)

    def kill(self, number: int) -> None:
        """Send it a signal once it has said that it is ready (a line on its output)."""
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said == "ready\n", f"instead of being ready: {said}{self.process.communicate()[1]}"
        self.process.send_signal(number)

    def close(self) -> None:
        """End it whatever it does."""
        self.process.kill()
        with self.process:
            pass  # closes its pipes and waits for it

    def relatives(self) -> list[int]:
        """Processes that carry its state folder in their environment: service and workers."""
        mark = f"COMPUTE_EXECUTOR_HOME={self.home}".encode()
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and int(entry.name) != self.process.pid and mark in _environ(entry)
        ]

    def leaves_nothing(self) -> None:
        """Wait until service and workers are gone; fail if they stay."""
        wait_until(lambda: not self.relatives())


def _environ(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""
