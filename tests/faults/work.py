"""Tasks that leave a trace: how often each ran is read from a file, whatever became of their results."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path


def traced(path: str, name: int) -> int:
    """Write one line, which the kernel appends whole, and return the name."""
    with open(path, "ab", buffering=0) as file:
        file.write(b"%d\n" % name)
    return name


def traced_slowly(path: str, name: int) -> int:
    """The same, and take a while afterwards, so that a kill finds some of them running."""
    traced(path, name)
    time.sleep(0.02)
    return name


def kill_own_worker(path: str, name: int) -> None:
    """A task that its worker does not survive."""
    traced(path, name)
    os.kill(os.getpid(), signal.SIGKILL)


def runs(path: Path) -> Counter[int]:
    """How often each task ran."""
    return Counter(int(line) for line in path.read_text().split()) if path.exists() else Counter()
