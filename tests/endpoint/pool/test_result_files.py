"""Outboxes as files: how long they stay, and when their room is used again."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from compute_executor import system
from compute_executor.endpoint.pool.result_files import ResultRingFile, ResultRingFiles
from compute_executor.endpoint.worker import result_ring
from compute_executor.endpoint.worker.result_ring import ResultRing
from tests.endpoint.conftest import Lab, Script
from tests.endpoint.tasks import POOL, nothing


def result(position: int, size: int = 10) -> result_ring.Outcome:
    return (1, position, 1, 0, 0, 1.0, 2.0, bytes(size))


def files(folder: Any) -> Any:
    return [name for name in os.listdir(folder) if name.endswith(".outbox")]


def test_a_box_goes_with_its_worker_if_all_is_stored(tmp_path: Path) -> None:
    ring_files = ResultRingFiles(str(tmp_path))
    ring_files.give_back(ring_files.take())
    assert files(tmp_path) == []


def test_a_box_stays_while_something_is_not_stored_and_goes_to_the_next_worker(tmp_path: Path) -> None:
    ring_files = ResultRingFiles(str(tmp_path))
    ring_file = ring_files.take()
    ResultRing(ring_file.file).put(result(1))
    assert len(ring_file.inbox.read(ring_file.inbox.written())) == 1
    ring_file.reported(1)
    ring_file.stored(0)
    ring_files.give_back(ring_file)
    assert len(files(tmp_path)) == 1
    assert ring_files.take() is ring_file
    ring_file.stored(1)
    ring_files.give_back(ring_file)
    assert files(tmp_path) == []


def test_room_is_used_again_when_outcomes_are_stored_in_their_order(tmp_path: Path) -> None:
    ring_file = ResultRingFile(str(tmp_path / "a.outbox"))
    writer = ResultRing(ring_file.file)
    for count in range(1, 14):
        assert writer.put(result(count, result_ring.CAPACITY // 13 - 100))
        ring_file.inbox.read(writer.tail)
        ring_file.reported(10 * count)  # other workers report as well
    assert not writer.put(result(14, result_ring.CAPACITY // 13 - 100))
    assert not ring_file.has_room()
    ring_file.stored(79)
    assert ring_file.has_room()
    assert not ring_file.settled()
    assert [one[1] for one in result_ring.intact((tmp_path / "a.outbox").read_bytes())] == list(range(8, 14))
    ring_file.stored(130)
    assert ring_file.settled()
    ring_file.remove()


def test_the_next_worker_of_a_box_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    ring_file = ResultRingFile(str(tmp_path / "a.outbox"))
    for position in (1, 2):
        ResultRing(ring_file.file).put(result(position))
        assert [one[1] for one in ring_file.inbox.read(ring_file.inbox.written())] == [position]
    ring_file.remove()


def test_a_full_disk_is_an_error_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(system, "allocate", full)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="no space left"):
        ResultRingFiles(str(tmp_path)).take()
    assert files(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_pool_on_a_full_disk_is_broken_by_name(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(script: Script) -> None:
        await script.until(lambda: script.troubles)
        assert "no space left" in script.troubles[0]

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(system, "allocate", full)
    lab(scenario)


def test_the_room_is_there_from_the_start(tmp_path: Path) -> None:
    ring_file = ResultRingFile(str(tmp_path / "a.outbox"))
    found = os.fstat(ring_file.file)
    assert (found.st_size, found.st_mode & 0o777) == (result_ring.SIZE, 0o600)
    assert found.st_blocks * 512 >= result_ring.SIZE
    ring_file.remove()


# -- with real workers --


def locked(path: Any) -> bool:
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def test_results_stay_until_they_are_stored(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        folder = script.folder / "rings"
        script.progress = lambda: (len(script.ends), 0)  # nothing is stored
        for _ in range(3):
            await script.run(nothing)
        (name,) = files(folder)
        assert locked(folder / name)
        assert [one[1] for one in result_ring.intact((folder / name).read_bytes())] == [1, 2, 3]
        assert result_ring.user((folder / name).read_bytes())[0] == script.pids()[0]
        del script.progress
        await script.run(nothing)
        script.engine.close_pool(POOL)
        await script.engine.close()
        assert files(folder) == []

    lab(scenario)


def test_a_box_goes_with_a_worker_that_idled_while_its_results_were_stored(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        stored = 0
        script.progress = lambda: (len(script.ends), stored)
        await script.run(nothing)
        (name,) = files(script.folder / "rings")
        stored = 1
        (pid,) = script.pids()
        os.kill(pid, signal.SIGKILL)
        while pid in script.pids():
            await asyncio.sleep(0.005)
        assert name not in files(script.folder / "rings")

    lab(scenario)


def test_a_worker_waits_for_room_until_results_are_stored(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        stored = 0
        script.progress = lambda: (len(script.ends), stored)
        positions = [script.submit(bytes, 60_000) for _ in range(300)]
        script.wake()
        most = result_ring.CAPACITY // 60_000
        await script.until(lambda: len(script.ends) >= most)
        assert len(script.ends) <= most, "what is not stored would be overwritten"
        stored = 300
        await script.until(lambda: len(script.ends) == 300)
        assert all(script.outcome(position) == bytes(60_000) for position in positions)

    lab(scenario)


def test_more_results_than_the_outbox_holds(lab: Lab) -> None:
    async def scenario(script: Script) -> None:
        await script.run(bytes, 1)
        positions = [script.submit(bytes, 60_000) for _ in range(200)]
        script.wake()
        await script.until(lambda: len(script.ends) == 201)
        assert all(script.outcome(position) == bytes(60_000) for position in positions)

    lab(scenario)
