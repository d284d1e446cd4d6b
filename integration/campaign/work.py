"""What the tasks of a campaign do: leave a trace, so that it is known how often each ran, and misbehave on demand."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path


def traced(path: str, number: int) -> int:
    """Write one line, which the kernel appends whole, and return the number."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, b"%d\n" % number)
    finally:
        os.close(file)
    return number


def slow(path: str, number: int) -> int:
    """The same, and take a while."""
    traced(path, number)
    time.sleep(0.01)
    return number


def large(path: str, number: int, data: bytes) -> tuple[int, bytes]:
    """The same, with a body that travels as a file each way."""
    return traced(path, number), data


def raising(path: str, number: int) -> int:
    """End with an exception of its own."""
    raise ValueError(traced(path, number))


def printing(path: str, number: int) -> int:
    """Write to stdout."""
    print("task", number)
    return traced(path, number)


def dying(path: str, number: int) -> None:
    """Take its worker along."""
    traced(path, number)
    os.kill(os.getpid(), signal.SIGKILL)


def leaving(path: str, number: int) -> None:
    """End the interpreter."""
    traced(path, number)
    os._exit(3)


def closing(path: str, number: int) -> int:
    """Close what it can see, as daemons do."""
    traced(path, number)
    os.closerange(3, 256)
    return number


def overrunning(path: str, number: int) -> None:
    """Run longer than it may."""
    traced(path, number)
    time.sleep(3600)


def runs(path: Path) -> Counter[int]:
    """How often each task ran."""
    return Counter(int(line) for line in path.read_bytes().split()) if path.exists() else Counter()
