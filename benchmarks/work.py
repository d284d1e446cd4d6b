"""The functions that workers run. Importable, so that every peer sends them by name alike."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def successor(number: int) -> int:
    """As good as nothing, but with an answer that can be checked."""
    return number + 1


def predecessor(number: int) -> int:
    """The same, for who wants a function that was not called yet."""
    return number - 1


def item(table: Any, position: int) -> int:
    """One number of a large table."""
    return int(table[position])


def echo(body: bytes) -> bytes:
    """There and back."""
    return body


def nap(seconds: float) -> float:
    """Sleep; returns what it was asked for."""
    time.sleep(seconds)
    return seconds


def burn(seconds: float) -> float:
    """Use so much processor time (not wall-clock time: a stolen core costs the sweep)."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return seconds


def burn_and_stamp(seconds: float) -> float:
    """Use processor time, then say when it was over (Unix time)."""
    burn(seconds)
    return time.time()


def nap_and_stamp(seconds: float) -> float:
    """Sleep, then say when it was over (Unix time)."""
    time.sleep(seconds)
    return time.time()


def hold(begun: str, release: str) -> bool:
    """Occupy a worker: make the file ``begun``, return once the file ``release`` is there (two minutes at most)."""
    Path(begun).touch()
    for _ in range(12_000):
        if Path(release).exists():
            return True
        time.sleep(0.01)
    return False
