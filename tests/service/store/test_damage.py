"""What has happened to the files of a store is found before anything is written, and said with the way out."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from compute_executor import system
from compute_executor.errors import ComputeError, NotAuthorized, StoreBusy, StoreDamaged
from compute_executor.service.store import database
from compute_executor.service.store.damage import log_of
from compute_executor.service.store.store import Store
from tests.service.storing import do, new_batch


def fill(store: Store, first: int, count: int) -> None:
    for number in range(first, first + count):
        do(store, lambda writer, n=number: writer.add_batch(new_batch(n)))  # type: ignore[misc]


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A store as a service that was killed leaves it: the last batches are in its log only."""
    used, left = tmp_path / "used", tmp_path / "left"
    used.mkdir()
    store = Store(used / "store.sqlite", durable=False)
    fill(store, 1, 20)
    shutil.copytree(used, left)
    store.close()
    return left / "store.sqlite"


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    """A store that was closed in order."""
    (tmp_path / "ended").mkdir()
    store = Store(tmp_path / "ended" / "store.sqlite", durable=False)
    fill(store, 1, 20)
    store.close()
    return tmp_path / "ended" / "store.sqlite"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def count(path: Path) -> int:
    store = Store(path, durable=False)
    try:
        return int(store.read.rows("count_tasks")[0][0])
    finally:
        store.close()


def test_what_is_whole_is_opened(killed: Path, ended: Path) -> None:
    assert frames(log_of(killed).read_bytes())
    assert [count(killed), count(killed), count(ended)] == [20, 20, 20]
    assert not log_of(ended).exists()


PAGE, FRAME = 2048, 24 + 2048


def frames(log: bytes) -> list[bytes]:
    return [log[at : at + FRAME] for at in range(32, len(log), FRAME)]


@pytest.mark.parametrize("written", [1, 24, 25, 400, FRAME - 1])
def test_a_write_that_failed_in_the_last_page_of_a_commit_was_no_commit(killed: Path, written: int) -> None:
    log = log_of(killed)
    last = frames(log.read_bytes())[-1]
    assert last[4:8] != bytes(4), "the page that ends a commit"
    with log.open("ab") as file:
        file.write(last[:written])
    assert count(killed) == 20


@pytest.mark.parametrize("rest", [0, 1, 5])
def test_a_process_killed_between_the_header_of_a_page_and_the_page_has_damaged_nothing(
    killed: Path, rest: int
) -> None:
    """The log was longer in the round before, whose frames lie behind the new one, and in it."""
    log = log_of(killed)
    last = frames(log.read_bytes())[-1]
    old = last[:8] + b"another " + last[16:]
    with log.open("ab") as file:
        file.write(last[:24] + bytes(PAGE) + old * rest)
    assert count(killed) == 20


@pytest.mark.parametrize("number", [1, 2, -2])
def test_a_page_that_others_have_changed_is_damage_if_anything_follows(killed: Path, number: int) -> None:
    log = log_of(killed)
    whole = log.read_bytes()
    total = len(frames(whole))
    at = number if number > 0 else total + 1 + number
    flipped(log, 32 + (at - 1) * FRAME + 24 + 5)
    with pytest.raises(StoreDamaged, match=rf"in the middle: \d+ of {total} pages"):
        Store(killed, durable=False)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no log": (lambda path: log_of(path).unlink(), "is gone or empty.*--accept-loss"),
    "an empty log": (lambda path: emptied(log_of(path)), "is gone or empty"),
    "a log without its beginning": (
        lambda path: flipped(log_of(path), 0),
        "beginning of its write-ahead log",
    ),
    "a log with another beginning": (
        lambda path: flipped(log_of(path), 17),
        "beginning of its write-ahead log",
    ),
    "a log damaged in the middle": (lambda path: flipped(log_of(path), 32 + 24 + 2072 + 5), "in the middle"),
    "the log of others": (lambda path: log_of(path).write_bytes(b"a" * 5000), "beginning of its"),
    "0 bytes": (emptied, "it has 0 bytes"),
    "a few bytes": (lambda path: path.write_bytes(b"SQLite"), "it has 6 bytes"),
    "text": (lambda path: path.write_bytes(b"somebody's notes " * 100), "no SQLite database"),
    "no database": (lambda path: path.unlink(), "the file is gone"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_nothing_is_written(killed: Path, name: str) -> None:
    damage, says = DAMAGE[name]
    damage(killed)
    before = contents(killed.parent)
    for _ in range(2):
        with pytest.raises(StoreDamaged, match=says) as caught:
            Store(killed, durable=True)
        assert str(killed) in str(caught.value)
        assert "compute-executor restore" in str(caught.value)
    after = contents(killed.parent)
    after.pop("store.sqlite-shm", None)  # an index that SQLite makes anew from the log
    before.pop("store.sqlite-shm", None)
    assert after == before


@pytest.mark.parametrize("name", ["0 bytes", "a few bytes", "text"])
def test_so_it_is_in_a_store_that_was_closed(ended: Path, name: str) -> None:
    DAMAGE[name][0](ended)
    with pytest.raises(StoreDamaged, match=DAMAGE[name][1]):
        Store(ended, durable=False)
    assert [path.name for path in ended.parent.iterdir()] == ["store.sqlite"]


@pytest.mark.parametrize("folder", ["blobs", "rings"])
def test_a_store_whose_database_is_gone_does_not_begin_anew(ended: Path, folder: str) -> None:
    ended.unlink()
    (ended.parent / folder).mkdir()
    (ended.parent / folder / "a").write_bytes(b"somebody's")
    with pytest.raises(StoreDamaged, match=f"something in {ended.parent / folder}"):
        Store(ended, durable=False)
    assert not ended.exists()


def test_a_restore_that_was_broken_off_is_no_empty_store(tmp_path: Path) -> None:
    (tmp_path / "restoring-1").mkdir()
    with pytest.raises(StoreDamaged, match="did not come to its end"):
        Store(tmp_path / "store.sqlite", durable=False)


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_what_is_no_plain_private_file_of_ours_is_refused(
    killed: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = killed.with_name(killed.name + suffix)
    path.chmod(0o644)
    with pytest.raises(NotAuthorized, match=f"chmod 600 {path}"):
        Store(killed, durable=False)
    path.chmod(0o600)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 12345)
        with pytest.raises(NotAuthorized, match="belongs to user"):
            Store(killed, durable=False)
    path.rename(f"{path}.away")
    os.mkfifo(path, 0o600)
    with pytest.raises(NotAuthorized, match="no plain file"):
        Store(killed, durable=False)
    path.unlink()
    path.symlink_to(f"{path}.away")
    with pytest.raises(NotAuthorized, match="symbolic link"):
        Store(killed, durable=False)


@pytest.mark.parametrize("content", ["", "CREATE TABLE notes (text); PRAGMA user_version = 6"])
def test_the_database_of_another_program_is_not_taken(tmp_path: Path, content: str) -> None:
    path = tmp_path / "store.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(content or "CREATE TABLE notes (text)")
    connection.close()
    path.chmod(0o600)
    with pytest.raises(StoreDamaged, match="no store of compute_executor"):
        Store(path, durable=False)
    with sqlite3.connect(path) as connection:
        assert [row[0] for row in connection.execute("SELECT name FROM sqlite_master")] == ["notes"]
    connection.close()


def test_after_a_loss_of_power_a_log_may_end_anywhere(
    killed: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As far as it was not synced: durability is of the log of `machine`."""
    DAMAGE["a log damaged in the middle"][0](killed)
    monkeypatch.setattr(system, "boot", lambda: "another")
    with caplog.at_level(logging.WARNING):
        assert count(killed) < 20
    assert "loss of power" in caplog.text


def test_a_store_that_could_not_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(database, "_migrate", full)
        with pytest.raises(ComputeError, match="disk is full"):
            Store(tmp_path / "store.sqlite", durable=False)
    assert not (tmp_path / "store.sqlite").exists()
    assert count(tmp_path / "store.sqlite") == 0


def test_a_log_that_is_in_use_is_never_empty(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = Store(path, durable=False)
    for number in (1, 101, 201):
        assert log_of(path).stat().st_size > 32
        fill(store, number, 50)
        length = log_of(path).stat().st_size
        store.checkpoint()
        assert 32 < log_of(path).stat().st_size < length
        alone = tmp_path / "alone.sqlite"
        alone.touch(mode=0o600)
        shutil.copyfile(path, alone)
        with pytest.raises(StoreDamaged, match=r"log alone\.sqlite-wal is gone"):
            Store(alone, durable=False)
    store.close()
    assert count(path) == 150


def test_another_program_may_look_into_what_a_kill_has_left(killed: Path) -> None:
    """It copies the log into the database and removes it: nothing is missing."""
    with closing(sqlite3.connect(killed)) as connection:
        assert connection.execute("SELECT count(*) FROM batches").fetchone() == (20,)
    assert not log_of(killed).exists()
    assert count(killed) == 20


def test_a_commit_that_failed_leaves_nothing_that_looks_damaged(tmp_path: Path) -> None:
    """All its pages may be in the log, when its sync fails: shorter commits do not write over all of them."""
    path = tmp_path / "store.sqlite"
    store = Store(path, durable=False)
    fill(store, 1, 3)
    round_of_log = log_of(path).read_bytes()[16:24]

    def fails(_writer: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    (failed,) = store.run([fails])
    assert failed.error is not None
    fill(store, 4, 1)
    assert log_of(path).read_bytes()[16:24] != round_of_log, "the log has begun anew"
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM batches").fetchall()
        store.run([fails])
        with pytest.raises(StoreBusy, match="somebody reads"):
            fill(store, 5, 1)
    fill(store, 5, 1)
    store.close()
    assert count(path) == 5


@pytest.mark.parametrize("which", ["killed", "ended"])
def test_a_start_that_fails_half_way_is_no_damage(
    which: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full when the database said that its log is needed, and the log could not say more."""
    path: Path = request.getfixturevalue(which)
    calls: list[int] = []

    def full() -> str:
        calls.append(1)
        if len(calls) > 1:
            raise sqlite3.OperationalError("database or disk is full")
        return "boot"

    with monkeypatch.context() as patch:
        patch.setattr(system, "boot", full)
        for _ in range(3):
            with pytest.raises(ComputeError, match="full"):
                Store(path, durable=False)
            calls.clear()
    assert count(path) == 20


def test_an_end_on_a_full_disk_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "store.sqlite", durable=False)
    fill(store, 1, 3)

    def full() -> str:
        if getattr(full, "called", False):
            raise sqlite3.OperationalError("database or disk is full")
        full.called = True  # type: ignore[attr-defined]
        return "boot"

    with monkeypatch.context() as patch:
        patch.setattr(system, "boot", full)
        store.checkpoint()  # as far as that the log is needed
        store._connection.execute("PRAGMA query_only = ON")
        store.close()
    assert count(tmp_path / "store.sqlite") == 3
