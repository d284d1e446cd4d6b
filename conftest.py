"""What every test gets: a state folder of its own, and a check that it leaves nothing behind."""

from __future__ import annotations

import gc
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

GRACE = 20.0
"""Seconds that threads, sockets and child processes of a test may take to be gone (polled, not slept), on a machine
that has much else to do."""

LONGEST_TURN = 250
"""Milliseconds of CPU time that a turn of a service's loop may take in a test: five times what the watchdog logs:
a busy machine is slow also where it computes."""

_TURN = re.compile(r"a turn of the loop took \d+ ms, (\d+) ms of CPU")


@pytest.fixture(autouse=True)
def same_process() -> Iterator[None]:
    """What a test, or a command that it runs here, changes of the environment and the umask ends with it."""
    environ, umask = dict(os.environ), os.umask(0)
    os.umask(umask)
    yield
    os.umask(umask)
    for name in os.environ.keys() - environ.keys():
        del os.environ[name]
    os.environ.update(environ)


@pytest.fixture(autouse=True)
def state_home(
    same_process: None,  # noqa: ARG001 - ends after this one
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """A state folder for this test alone; an embedded service started in it ends soon after its last client."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("COMPUTE_EXECUTOR_HOME", str(home))
    monkeypatch.setenv("COMPUTE_EXECUTOR_IDLE", "2")
    monkeypatch.setenv("COMPUTE_EXECUTOR_CONFIG", str(home / "config.toml"))
    yield home
    assert not (long := _long_turns(home)), f"the service kept others waiting: {long}"


def _long_turns(home: Path) -> list[str]:
    """What the watchdogs of the services in a folder say of turns of their loops that were far too long."""
    logs = home.rglob("service.log")
    lines = [line for log in logs if log.is_file() for line in log.read_text(errors="replace").splitlines()]
    found = [(_TURN.search(line), line) for line in lines]
    return [line for turn, line in found if turn is not None and int(turn.group(1)) > LONGEST_TURN]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves a thread or an open file descriptor behind."""
    threads = set(threading.enumerate())
    files = _open_files()
    yield
    deadline = time.monotonic() + GRACE
    while (left := _left(threads, files)) and time.monotonic() < deadline:
        gc.collect()
        threading.Event().wait(0.02)
    assert not left, f"left behind: {left}"


def _left(threads: set[threading.Thread], files: set[str]) -> list[str]:
    new_threads = [repr(thread) for thread in threading.enumerate() if thread not in threads]
    return new_threads + sorted(_open_files() - files)


def _open_files() -> set[str]:
    """Sockets, pipes and event descriptors of this process, by what they point to (Linux; elsewhere none)."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return set()
    found = set()
    for entry in os.listdir(folder):
        try:
            target = os.readlink(folder / entry)
        except OSError:  # the descriptor of this very listing
            continue
        if target.startswith(("socket:", "pipe:")):
            found.add(target)
    return found
