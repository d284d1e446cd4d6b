from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compute_executor.errors import ServiceUnavailable
from compute_executor.local.locks import is_held, locked, try_lock, wait_lock

HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
)


def held_by_another(path: Path) -> subprocess.Popen[bytes]:
    os.close(os.open(path, os.O_CREAT, 0o600))
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    return other


def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    first = try_lock(path)
    assert first is not None
    assert is_held(path)
    assert try_lock(path) is None
    assert wait_lock(path, time.monotonic() + 0.01) is None
    os.close(first)
    assert not is_held(path)
    second = try_lock(path)
    assert second is not None
    os.close(second)


def test_asking_does_not_take_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch(mode=0o600)
    assert not is_held(path)
    assert not is_held(path)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with held_by_another(tmp_path / "lock") as other:
        assert is_held(tmp_path / "lock")
        other.kill()
        other.wait()
        with locked(tmp_path / "lock", time.monotonic() + 5):
            assert is_held(tmp_path / "lock")
    assert not is_held(tmp_path / "lock")


def test_waiting_has_an_end_with_a_name(tmp_path: Path) -> None:
    with held_by_another(tmp_path / "lock") as other:
        with (
            pytest.raises(ServiceUnavailable, match=str(tmp_path / "lock")),
            locked(tmp_path / "lock", time.monotonic()),
        ):
            pass
        other.kill()
