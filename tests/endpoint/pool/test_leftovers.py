"""What a killed service leaves: results in files, and workers that are not dead yet."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute_executor import system
from compute_executor.endpoint.pool import leftovers
from compute_executor.endpoint.pool.result_files import ResultRingFile
from compute_executor.endpoint.worker import result_ring
from compute_executor.endpoint.worker.result_ring import ResultRing
from compute_executor.errors import NotAuthorized
from compute_executor.protocol.frames import Blob


def box_with(path: Any, *outcomes: result_ring.Outcome) -> None:
    """An outbox whose service and worker are dead."""
    ring_file = ResultRingFile(str(path))
    writer = ResultRing(ring_file.file)
    for one in outcomes:
        writer.put(one)
    del writer
    ring_file.inbox.close()
    os.close(ring_file.file)


def wait_until_gone(folder: Any) -> float:
    """How long that took."""
    began = time.monotonic()
    asyncio.run(leftovers.wait_until_gone(folder))
    return time.monotonic() - began


def test_results_are_found_as_outcomes(tmp_path: Path) -> None:
    box_with(tmp_path / "a.outbox", (1, 2, 3, 0, 0, 1.0, 2.0, b"x"), (1, 3, 1, 1, 0, 1.0, 2.0, b"y"))
    box_with(tmp_path / "b.outbox", (2, 0, 1, 0, 1, 1.0, 2.0, b"a" * 32 + b" 70000"))
    assert list(leftovers.finished(tmp_path)) == [
        (1, 2, 3, 0, b"x", 1.0, 2.0, None, 0),
        (1, 3, 1, 1, b"y", 1.0, 2.0, None, 0),
        (2, 0, 1, 0, Blob("a" * 32, 70000), 1.0, 2.0, None, 0),
    ]


def test_other_files_and_damaged_ones_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "empty.outbox").write_bytes(b"")
    (tmp_path / "long.outbox").write_bytes(bytes(result_ring.SIZE + 1))
    (tmp_path / "other").write_bytes(b"x")
    box_with(tmp_path / "c.outbox", (1, 1, 1, 0, 1, 1.0, 2.0, b"no name of a file"))
    assert list(leftovers.finished(tmp_path)) == []
    assert wait_until_gone(tmp_path) < 0.5
    leftovers.clear(tmp_path)
    assert os.listdir(tmp_path) == ["other"]


HOLD = """
import sys, time
from compute_executor.endpoint.pool.result_files import ResultRingFile
from compute_executor import system
from compute_executor.errors import NotAuthorized
import os
ring_file = ResultRingFile(sys.argv[1])
ring_file.inbox.used_by(os.getpid(), system.start_time(os.getpid()))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Any]:
    """A worker that outlives its service, as it would where the kernel does not kill it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "a.outbox")],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_worker_that_dies_is_waited_for(
    holder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "_kill", None)

    async def scenario() -> None:
        waiting = asyncio.ensure_future(leftovers.wait_until_gone(tmp_path))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        holder.kill()
        await waiting

    asyncio.run(scenario())
    assert holder.wait() == -signal.SIGKILL


def test_a_stopped_worker_is_killed(holder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "PATIENCE", 0.05)
    os.kill(holder.pid, signal.SIGSTOP)
    assert wait_until_gone(tmp_path) < 1
    assert holder.wait(20) == -signal.SIGKILL


def test_another_process_of_the_same_number_is_left_alone(
    holder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its start tells it apart. What holds the lock then is no worker, and nobody waits for it."""
    monkeypatch.setattr(leftovers, "PATIENCE", 0.05)
    started = system.start_time(holder.pid)
    monkeypatch.setattr(system, "start_time", lambda pid: started + 1 if pid == holder.pid else 0)
    assert wait_until_gone(tmp_path) < 0.05
    assert holder.poll() is None


def test_one_that_cannot_be_named_is_waited_for_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker in a container: its number is that of another world."""
    monkeypatch.setattr(leftovers, "PATIENCE", 0.03)
    monkeypatch.setattr(leftovers, "KILLED_PATIENCE", 0.03)
    (tmp_path / "a.outbox").write_bytes(bytes(100))
    with open(tmp_path / "a.outbox", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert wait_until_gone(tmp_path) >= 0.06
    assert "not gone" in caplog.text


def test_the_start_of_a_process() -> None:
    assert system.start_time(os.getpid()) == system.start_time(os.getpid()) > 0
    assert system.start_time(1 << 30) == 0
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert system.start_time(child.pid) == 0, "it is dead, though not reaped"
    child.wait()


def test_a_pipe_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.outbox")
    with pytest.raises(NotAuthorized, match=r"a\.outbox is no plain file"):
        wait_until_gone(tmp_path)
