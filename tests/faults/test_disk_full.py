"""A full disk under the service: named errors, nothing half-written, and on it goes when there is room again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest

from compute_executor import Executor
from compute_executor.errors import ServiceUnavailable
from compute_executor.local.state import read_announcement, state_folder
from compute_executor.settings import ExecutorSettings

MEGABYTE = 1024 * 1024
PATIENCE = 60.0


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder on a disk of 20 MB, which takes root to make."""
    if os.geteuid():
        pytest.skip("making a small disk (mount -t tmpfs) takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", folder], check=True)
    monkeypatch.setenv("COMPUTE_EXECUTOR_HOME", str(folder))
    yield folder
    announced = read_announcement(state_folder())
    if announced is not None:  # one with a result for which there is no room would wait for room for ever
        with contextlib.suppress(ProcessLookupError):
            os.kill(announced.pid, signal.SIGKILL)
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """A file over all that is free."""
    path = folder / "ballast"
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(MEGABYTE // 16))
        except OSError:
            pass
    return path


def test_what_found_a_full_disk_runs_when_there_is_room_again(small_disk: Path) -> None:
    with Executor(max_workers=1) as executor:
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8
        ballast = fill(small_disk)
        futures = [executor.submit(len, bytes(60_000)) for _ in range(20)]
        _, waiting = wait(futures, timeout=1)
        assert waiting, "a full disk cannot take a megabyte of arguments"
        ballast.unlink()
        assert [future.result(PATIENCE) for future in futures] == [60_000] * 20


def test_a_disk_that_stays_full_has_a_name(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ExecutorSettings._field_defaults, "grace", 1.0)
    monkeypatch.setattr(
        ExecutorSettings.__new__, "__defaults__", tuple(ExecutorSettings._field_defaults.values())
    )
    with Executor(max_workers=1) as executor:
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8
        fill(small_disk)
        futures = [executor.submit(len, bytes(60_000)) for _ in range(20)]
        errors = [error for future in futures if (error := future.exception(PATIENCE)) is not None]
        assert errors
        assert all(isinstance(error, ServiceUnavailable) for error in errors)
        assert all("disk is full" in str(error) for error in errors)


def test_a_large_argument_that_finds_no_room_fails_alone(small_disk: Path) -> None:
    with Executor(max_workers=1) as executor:
        large = executor.submit(len, bytes(20 * MEGABYTE))
        error = large.exception(PATIENCE)
        assert isinstance(error, ServiceUnavailable)
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8


def test_a_result_that_finds_no_room_fails_alone(small_disk: Path) -> None:
    with Executor(max_workers=1) as executor:
        error = executor.submit(bytes, 20 * MEGABYTE).exception(PATIENCE)
        assert error is not None
        assert "space" in str(error) or "room" in str(error)
        assert executor.submit(pow, 2, 3).result(PATIENCE) == 8
