"""Tasks and looks at processes that several tests use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

POOL = b"pool of the test"


def nothing() -> None:
    """The shortest task."""


def wait_for(path: Any) -> Any:
    """Run until a file is there."""
    import os
    import time

    while not os.path.exists(path):
        time.sleep(0.001)
    return os.getpid()


def gone(pids: list[int]) -> None:
    """Wait until none of the processes exists but as a zombie."""
    deadline = time.monotonic() + 2
    while left := [pid for pid in pids if _state(pid) not in ("", "Z")]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.01)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""
