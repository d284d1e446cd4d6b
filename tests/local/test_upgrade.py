"""An upgrade keeps what is open: the folder of an earlier version is taken over, its database migrated."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import uuid
from pathlib import Path

import msgspec

from compute_executor.local.state import DATABASE, SERVICE_LOCK, state_folder
from compute_executor.local.upgrade import earlier_folders, take_over
from compute_executor.protocol import frames
from compute_executor.service.pools.pools import NO_POOL
from compute_executor.service.store.database import SCHEMA_VERSION
from compute_executor.service.store.sql import schema
from compute_executor.service.store.store import Store
from compute_executor.service.tasks.listing import TaskFilter
from tests.service.fixture import ALICE, ServiceFixture, live, serving, take

RELEASED = 4
"""The schema of version 0.1.0."""


def released(folder: Path) -> None:
    """A folder as version 0.1.0 left it: a batch of two, of which one has failed, and a finished one."""
    folder.mkdir(mode=0o700, parents=True)
    (folder / DATABASE).touch(mode=0o600)
    connection = sqlite3.connect(folder / DATABASE)
    for step in range(1, RELEASED + 1):
        connection.executescript(schema(step))
    connection.execute(f"PRAGMA user_version = {RELEASED}")
    connection.execute("PRAGMA journal_mode = WAL")
    function, group = uuid.uuid4().bytes, b"g" * 16
    options = msgspec.msgpack.encode(frames.Options())
    tasks = msgspec.msgpack.encode([(0, b"a"), (0, b"b")])
    connection.execute(
        "INSERT INTO functions VALUES (?, 'alice', ?, '', 'f', '', '{}', 0, NULL, NULL, ?, NULL, 4, 1.0, 0)",
        (function, b"d" * 32, b"code"),
    )
    connection.execute("INSERT INTO groups (id, owner, floor, created) VALUES (?, 'alice', 0, 1.0)", (group,))
    for number, finished, kept in ((1, None, tasks), (2, 9.0, None)):
        prefix = bytes([number]) * 6 + b"\x80" + b"p" + b"\x80" + b"ppp"
        connection.execute(
            "INSERT INTO batches (number, prefix, owner, task_group, endpoint, pool, functions, tasks, count,"
            " options, created, finished) VALUES (?, ?, 'alice', ?, ?, ?, ?, ?, 2, ?, 1.0, ?)",
            (number, prefix, group, b"e" * 16, NO_POOL, function, kept, options, finished),
        )
    reason = msgspec.msgpack.encode(frames.Reason("died"))
    for row in ((1, 1, 0, frames.TIMEOUT), (2, 2, 0, frames.LOST), (3, 2, 1, frames.VALUE)):
        connection.execute(
            "INSERT INTO outcomes VALUES (?, ?, ?, ?, 1, 1.0, 2.0, ?, NULL, ?)", (*row, reason, len(reason))
        )
    connection.commit()
    connection.close()


def test_the_newest_earlier_folder_is_taken_over(state_home: Path) -> None:
    released(state_home / "v0.0.9-3")
    os.utime(state_home / "v0.0.9-3" / DATABASE, (1, 1))
    released(state_home / "v0.1.0-4")
    (state_home / "v0.0.1-1").mkdir()
    assert [place.name for place in earlier_folders()] == ["v0.1.0-4", "v0.0.9-3"]
    assert take_over(state_folder()) == state_home / "v0.1.0-4"
    assert (state_folder() / DATABASE).exists()
    assert take_over(state_folder()) is None


def test_a_folder_of_this_version_stays(state_home: Path) -> None:
    state_folder().mkdir()
    released(state_home / "v0.1.0-4")
    assert take_over(state_folder()) is None


def test_where_a_service_of_that_version_runs_nothing_is_moved(state_home: Path) -> None:
    released(state_home / "v0.1.0-4")
    lock = os.open(state_home / "v0.1.0-4" / SERVICE_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert take_over(state_folder()) is None
    os.close(lock)
    assert take_over(state_folder()) is not None


@live
async def test_what_was_open_runs_and_what_had_ended_is_counted(tmp_path: Path) -> None:
    released(tmp_path / "old")
    fixture = ServiceFixture(tmp_path / "old")
    async with serving(fixture) as service:
        (group,) = await service.listing.groups(ALICE, everybody=False, limit=5)
        counts = {name: group[name] for name in ("queued", "succeeded", "failed", "lost")}
        assert counts == {"queued": 1, "succeeded": 1, "failed": 1, "lost": 1}
        (waiting,) = take(fixture)
        assert waiting.body == b"b"
        found, _ = await service.listing.tasks(ALICE, TaskFilter())
        assert [task["state"] for task in found] == ["succeeded", "lost", "running", "failed"] or [
            task["state"] for task in found
        ] == ["succeeded", "lost", "queued", "failed"]


def test_the_schema_is_the_newest_afterwards(tmp_path: Path) -> None:
    released(tmp_path / "old")
    Store(tmp_path / "old" / DATABASE, durable=False).close()
    connection = sqlite3.connect(tmp_path / "old" / DATABASE)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    connection.close()
