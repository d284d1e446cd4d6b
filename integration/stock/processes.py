"""Processes that peers have started, also those that they have detached.

A Globus Compute endpoint that is killed leaves its block behind, a shell and its workers that are nobody's children
any more; and what its processes call themselves takes the place of their environment. So this process becomes the
one to which orphans go (Linux: a subreaper), and each peer has a mark in its environment, for those that keep it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Set
from pathlib import Path

MARK = "COMPUTE_EXECUTOR_TEST_PEER"
"""Environment variable that names the folder of a peer."""
_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on what is left by any process below this one becomes a child of this one."""
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def below(pid: int) -> list[int]:
    """All living processes below one."""
    found: list[int] = []
    for child in _children(pid):
        found += [child, *below(child)]
    return [one for one in found if _alive(one)]


def of_peer(folder: Path, main: int | None, others: Set[int] = frozenset()) -> list[int]:
    """All living processes of a peer: its main one, those below it, and orphans that may be its. ``others``: the main
    processes of its neighbours, which may have lost their mark as orphans may."""
    tops = [main] if main is not None else []
    children = [one for one in _children(os.getpid()) if one != main and one not in others]
    tops += [one for one in children if _mark(one) in ("", str(folder))]
    return [one for top in tops for one in (top, *below(top)) if _alive(one)]


def kill(find: Callable[[], list[int]], patience: float = 10.0) -> None:
    """SIGKILL to all that ``find`` finds, until it finds nothing."""
    deadline = time.monotonic() + patience
    while found := find():
        assert time.monotonic() < deadline, f"still there after SIGKILL: {[words(one) for one in found]}"
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def left(patience: float = 5.0) -> list[int]:
    """What is still there below this process after so many seconds."""
    deadline = time.monotonic() + patience
    while (found := below(os.getpid())) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def words(pid: int) -> str:
    """What a process is, for a message."""
    return f"{pid} {_read(pid, 'cmdline').replace(chr(0), ' ')[:150]}"


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        threads = os.listdir(f"/proc/{pid}/task")
        return [int(child) for one in threads for child in _read(pid, f"task/{one}/children").split()]
    return []


def _alive(pid: int) -> bool:
    """Whether it is there and no zombie."""
    state = _read(pid, "stat").rpartition(")")[2].split()
    return bool(state) and state[0] != "Z"


def _mark(pid: int) -> str:
    values = _read(pid, "environ").split("\0")
    return next((one.partition("=")[2] for one in values if one.startswith(MARK + "=")), "")


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
