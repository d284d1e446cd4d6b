"""File locks (flock). They are held by an open descriptor, so a process that dies, however it dies, releases them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compute_executor.backoff import Backoff
from compute_executor.errors import ServiceUnavailable
from compute_executor.local.state import (
    SERVICE_LOCK,
    ServiceInfo,
    check_folder,
    open_private,
    read_announcement,
)
from compute_executor.system import is_locked

try:
    import fcntl
except ImportError:  # see `system`
    fcntl = None  # type: ignore[assignment]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.02
"""Seconds between two tries. flock has no time limit of its own, and an alarm belongs to the main thread."""


def try_lock(path: Path) -> int | None:
    """Take the lock; its descriptor, or None if another process has it. Close the descriptor to release it."""
    descriptor = open_private(path, os.O_RDWR | os.O_CREAT)
    if fcntl is None:  # no POSIX system: files are replaced whole, so that nobody reads half of one
        return descriptor
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def wait_lock(path: Path, deadline: float) -> int | None:
    """Take the lock as soon as it is free; None if it is not before ``deadline`` (time.monotonic)."""
    backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
    while (descriptor := try_lock(path)) is None and time.monotonic() < deadline:
        time.sleep(backoff.failed())
    return descriptor


def is_held(path: Path) -> bool:
    """Return whether some process has the lock. It is asked by taking a shared one for an instant."""
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return is_locked(descriptor)
    finally:
        os.close(descriptor)


def living(folder: Path) -> ServiceInfo | None:
    """Return what the service of a state folder has announced, if its process lives. Raises NotAuthorized if the
    folder's files are not ours alone."""
    announced = read_announcement(folder)
    if announced is None or not is_held(folder / SERVICE_LOCK):
        return None
    check_folder(folder)
    return announced


@contextmanager
def locked(path: Path, deadline: float) -> Iterator[None]:
    """Hold the lock inside the ``with``. Raises ServiceUnavailable if it is not free before ``deadline``."""
    descriptor = wait_lock(path, deadline)
    if descriptor is None:
        raise ServiceUnavailable(
            f"another process has been starting the service for long: it holds {path}. See who: fuser -v {path}"
        )
    try:
        yield
    finally:
        os.close(descriptor)
