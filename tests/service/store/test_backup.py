"""A backup holds all that was stored, of one moment; what is none is refused, and nothing is changed by it."""

from __future__ import annotations

import io
import os
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from compute_executor.endpoint.pool.events import TaskEnded
from compute_executor.errors import InvalidRequest, NotFound, StoreDamaged, VersionMismatch
from compute_executor.local.state import BLOBS, DATABASE, RINGS
from compute_executor.protocol.frames import VALUE, Blob
from compute_executor.service.store import backup as backup_module
from compute_executor.service.store import restore as restore_module
from compute_executor.service.store.backup import MANIFEST, write_backup
from compute_executor.service.store.damage import log_of
from compute_executor.service.store.inspection import inspect
from compute_executor.service.store.restore import restore
from compute_executor.service.store.store import Store
from tests.service.store.test_damage import killed
from tests.service.storing import do, new_batch

__all__ = ["killed"]

BODY = "ab" * 16


def opened(folder: Path) -> Store:
    return Store(folder / DATABASE, durable=False)


def add(store: Store, number: int, body: str | None = None) -> None:
    """A batch, with an outcome if ``body`` names the file of one."""
    stored = do(store, lambda writer: writer.add_batch(new_batch(number)._replace(functions=[])))
    if body is not None:
        (store.path.parent / BLOBS / body).write_bytes(b"12345")
        ended = TaskEnded(stored, 0, 1, VALUE, Blob(body, 5), 1.0, 2.0)
        do(store, lambda writer: writer.add_outcomes(writer.last_seq + 1, [ended], [], 3.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    for name in ("", BLOBS, RINGS):
        (folder / name).mkdir(mode=0o700)
    with closing(opened(folder)) as store:
        add(store, 1, BODY)
        add(store, 2)
    return folder


@pytest.fixture
def file(folder: Path, tmp_path: Path) -> Path:
    write_backup(folder, tmp_path / "backup", in_use=False)
    return tmp_path / "backup"


def batches(folder: Path) -> int:
    with closing(opened(folder)) as store:
        return store.read.totals()[0]


def test_what_is_in_it_comes_back(folder: Path, file: Path, tmp_path: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "state"]
    with closing(opened(folder)) as store:
        add(store, 3, "cd" * 16)
    (folder / RINGS / "a.outbox").write_bytes(b"of a worker")
    aside = restore(file, folder)
    assert batches(folder) == 2
    assert [path.name for path in (folder / BLOBS).iterdir()] == [BODY]
    assert inspect(folder, in_use=False).problems == []
    assert aside is not None
    assert batches(aside) == 3
    assert (aside / RINGS / "a.outbox").exists()
    assert not (folder / RINGS).exists()


def test_it_can_be_restored_where_nothing_was(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert restore(file, tmp_path / "other") is None
    assert batches(tmp_path / "other") == 2
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [BLOBS, DATABASE]


def test_it_is_of_one_moment_while_a_service_writes(folder: Path, tmp_path: Path) -> None:
    """Bodies come while it is written, and go when a batch is finished."""
    stop = threading.Event()

    def write() -> None:
        with closing(opened(folder)) as store:
            for number in range(100, 1000):
                name = f"{number:032x}"
                add(store, number, name)
                if number % 2:
                    do(store, lambda writer, n=number: writer.drop_batch(n - 97, b""))  # type: ignore[misc]
                    (folder / BLOBS / f"{number - 20:032x}").unlink(missing_ok=True)
                if stop.is_set():
                    return

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for number in range(5):
            written = write_backup(folder, tmp_path / f"backup{number}", in_use=True)
            (tmp_path / f"r{number}").mkdir()
            restore(tmp_path / f"backup{number}", tmp_path / f"r{number}")
            found = inspect(tmp_path / f"r{number}", in_use=False)
            missing = [problem for problem in found.problems if problem.startswith("body")]
            assert len(missing) == min(written.missing, 10)
            assert found.counts["outcomes"] >= 1
    finally:
        stop.set()
        writing.join()


def test_a_body_that_goes_before_it_has_a_second_link_makes_another_copy(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = backup_module._copied
    with closing(opened(folder)) as store:
        add(store, 3, "cd" * 16)
        gone = folder / BLOBS / ("cd" * 16)
        content = gone.read_bytes()
        gone.unlink()

        def later(database: Path, copy: Path) -> list[str]:
            found = copied(database, copy)
            gone.write_bytes(content)
            return found

        monkeypatch.setattr(backup_module, "_copied", later)
        assert write_backup(folder, tmp_path / "b", in_use=False).missing == 0


def test_what_is_missing_in_the_store_is_counted(folder: Path, tmp_path: Path) -> None:
    (folder / BLOBS / BODY).unlink()
    assert write_backup(folder, tmp_path / "b", in_use=False).missing == 1


def test_it_replaces_nothing(folder: Path, file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(InvalidRequest, match="replaces nothing"):
        write_backup(folder, file, in_use=False)
    assert file.read_bytes() == before
    with pytest.raises(NotFound, match="no store"):
        write_backup(tmp_path, tmp_path / "x", in_use=False)


def test_one_that_fails_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup_module, "_pack", full)
    with pytest.raises(Exception, match="no space left"):
        write_backup(folder, tmp_path / "b", in_use=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]
    assert not list(folder.glob("backing-up*"))


def repacked(file: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The backup with other contents."""
    with tarfile.open(file) as archive:
        contents = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]
    change(contents)
    with tarfile.open(file, "w") as archive:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def manifest_with(**changed: object) -> Callable[[dict[str, bytes]], None]:
    def change(contents: dict[str, bytes]) -> None:
        contents[MANIFEST] = msgspec.json.encode({**msgspec.json.decode(contents[MANIFEST]), **changed})

    return change


NOT_WHOLE: dict[str, Callable[[dict[str, bytes]], object]] = {
    "no manifest": lambda contents: contents.pop(MANIFEST),
    "a manifest of other things": lambda contents: contents.update({MANIFEST: b"[]"}),
    "no database": lambda contents: contents.pop(DATABASE),
    "a body less": lambda contents: contents.pop(f"{BLOBS}/{BODY}"),
    "a body more": lambda contents: contents.update({f"{BLOBS}/{'0' * 32}": b"1"}),
    "another body": lambda contents: contents.update({f"{BLOBS}/{BODY}": b"54321"}),
    "a way out": lambda contents: contents.update({"../../evil": b"1"}),
    "an absolute name": lambda contents: contents.update({"/tmp/evil": b"1"}),
    "a name of ours": lambda contents: contents.update({"service.json": b"{}"}),
}


@pytest.mark.parametrize("name", NOT_WHOLE)
def test_what_is_no_whole_backup_changes_nothing(folder: Path, file: Path, name: str) -> None:
    repacked(file, NOT_WHOLE[name])  # type: ignore[arg-type]
    refused(folder, file, InvalidRequest)


def refused(folder: Path, file: Path, kind: type[Exception]) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(kind, match=str(file)):
        restore(file, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not list(folder.glob("*restor*"))


@pytest.mark.parametrize("size", [0, 100, 600, 50_000, -5000])
def test_one_that_was_cut_is_refused(folder: Path, file: Path, size: int) -> None:
    os.truncate(file, size if size >= 0 else file.stat().st_size + size - 10_240)
    refused(folder, file, InvalidRequest)


@pytest.mark.parametrize("changed", [{"schema": 999}, {"format": 2}])
def test_one_of_a_newer_version_is_refused(folder: Path, file: Path, changed: dict[str, int]) -> None:
    repacked(file, manifest_with(**changed))
    refused(folder, file, VersionMismatch)


def test_one_of_the_database_of_another_program_is_refused(folder: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other:
        other.execute("CREATE TABLE notes (text)")
        other.commit()
    os.replace(tmp_path / "other.sqlite", folder / DATABASE)
    (folder / DATABASE).chmod(0o600)
    with pytest.raises(StoreDamaged, match="no store of compute_executor"):
        write_backup(folder, tmp_path / "b", in_use=False)
    assert not (tmp_path / "b").exists()


def test_of_a_store_that_has_lost_a_part_there_is_none(killed: Path, tmp_path: Path) -> None:
    log_of(killed).unlink()
    with pytest.raises(StoreDamaged, match="gone or empty"):
        write_backup(killed.parent, tmp_path / "b", in_use=False)


def test_a_link_in_it_is_refused(folder: Path, file: Path) -> None:
    with tarfile.open(file, "w") as archive:
        member = tarfile.TarInfo(DATABASE)
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    refused(folder, file, InvalidRequest)


def test_one_that_is_killed_half_way_is_no_empty_store(
    folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Path, target: Path) -> None:
        if target == folder / BLOBS:
            raise KeyboardInterrupt
        os.rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            restore_module.restore(file, folder)
    with pytest.raises(StoreDamaged, match="did not come to its end"):
        opened(folder)
    restore(file, folder)
    assert batches(folder) == 2
    assert not list(folder.glob("restoring*"))


@pytest.mark.parametrize("name", ["outcomes", "accounts", "batches_by_end"])
def test_what_could_not_be_put_back_is_no_backup(folder: Path, tmp_path: Path, name: str) -> None:
    """A copy of a damaged page would be refused by `restore`, when it is too late."""
    path = folder / DATABASE
    with closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    with path.open("r+b") as database:
        database.seek((page - 1) * size)
        database.write(b"\xff" * 16)
    with pytest.raises(StoreDamaged, match="is damaged"):
        write_backup(folder, tmp_path / "backup", in_use=False)
    assert [one.name for one in tmp_path.iterdir()] == ["state"]
