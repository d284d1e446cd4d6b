"""Endpoints as processes of their own, for the tests of this room and of tests/faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
PATIENCE = 60.0


def command(*arguments: str) -> list[str]:
    """The command line program of this checkout."""
    return [sys.executable, "-m", "compute_executor", "endpoint", *arguments]


def environment(**changes: str) -> dict[str, str]:
    """This process's, in which modules of the tests are found."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **changes}


def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        command(*arguments),
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


class RunningEndpoint:
    """One in the foreground, in a process of its own. What it writes goes into files, which outlive a test."""

    def __init__(self, name: str, *options: str, **changes: str) -> None:
        self.name = name
        with (
            tempfile.NamedTemporaryFile(delete=False) as out,
            tempfile.NamedTemporaryFile(delete=False) as err,
        ):
            self._out, self._err = Path(out.name), Path(err.name)
            self._process = subprocess.Popen(
                command("start", name, *options), env=environment(**changes), stdout=out, stderr=err
            )
        try:
            self.said = self._first_line()
        except AssertionError:
            self.kill()
            raise

    def _first_line(self) -> str:
        """What it says first; nothing if it ends without a word."""
        deadline = time.monotonic() + PATIENCE
        while not (text := self._out.read_text()) and self._process.poll() is None:
            assert time.monotonic() < deadline, self._err.read_text()
            time.sleep(0.02)
        return text.partition("\n")[0]

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, and gone when this returns."""
        self._process.kill()
        self._process.wait()

    def send(self, number: int) -> None:
        """A signal, such as SIGSTOP."""
        os.kill(self._process.pid, number)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and what it wrote to stderr, after this signal."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """The same when it ends by itself."""
        self._process.wait(timeout=PATIENCE)
        return self._process.returncode, self._err.read_text()


@contextmanager
def running(name: str = "ws", *options: str, **changes: str) -> Iterator[RunningEndpoint]:
    """One that is connected, with two workers, and ended afterwards."""
    endpoint = RunningEndpoint(name, "--workers", "2", *options, **changes)
    try:
        assert "is connected" in endpoint.said, endpoint.end()
        yield endpoint
    finally:
        endpoint.end()
