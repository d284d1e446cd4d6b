"""Opening: private, checked, migrated; refused with advice where it cannot be trusted."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from compute_executor.errors import (
    NotAuthorized,
    ServiceUnavailable,
    StoreBusy,
    StoreDamaged,
    VersionMismatch,
)
from compute_executor.local.filesystems import filesystem
from compute_executor.service.store.database import SCHEMA_VERSION
from compute_executor.service.store.store import Store, WriteResult
from tests.service.storing import do, new_batch

# -- opening ------------------------------------------------------------------------------------------------


def test_the_file_is_private(store: Store, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert store.run([]) == []


def test_what_was_stored_is_there_after_a_restart(path: Path) -> None:
    for number in (1, 2):
        store = Store(path, durable=True)
        assert store.run([lambda writer, n=number: writer.add_batch(new_batch(n))]) == [  # type: ignore[misc]
            WriteResult(number, None)
        ]
        store.close()


def test_a_newer_schema_is_left_alone(store: Store, path: Path) -> None:
    store._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(VersionMismatch, match="update compute_executor"):
        Store(path, durable=False)


def test_a_locked_file_at_the_start_is_not_called_damaged(store: Store, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    store.close()
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBusy):
        Store(path, durable=False)
    other.close()


@pytest.mark.parametrize("damage", ["garbage", "flipped page", "flipped index", "truncated"])
def test_a_damaged_file_is_refused_with_advice(path: Path, damage: str) -> None:
    store = Store(path, durable=False)
    for number in range(1, 200):
        do(store, lambda writer, n=number: writer.add_batch(new_batch(n)))  # type: ignore[misc]
    store.close()
    content = path.read_bytes()
    damaged = {
        "garbage": b"no database at all" * 300,
        "flipped page": content[:8192] + bytes(4096) + content[12288:],
        "flipped index": content[: len(content) - 4096] + bytes(4096),
        "truncated": content[: len(content) // 2],
    }[damage]
    path.write_bytes(damaged)
    with pytest.raises(StoreDamaged, match="Restore it"):
        Store(path, durable=False)
    assert path.read_bytes() == damaged, "nothing was changed"


def test_a_wal_without_its_database_is_not_written_over(path: Path) -> None:
    path.with_name("store.sqlite-wal").write_bytes(b"somebody's tasks")
    with pytest.raises(StoreDamaged, match="-wal is there"):
        Store(path, durable=False)


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotAuthorized, match="symbolic link"):
        Store(path, durable=False)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="nowhere/store"):
        Store(tmp_path / "nowhere" / "store", durable=False)


# -- where it lies ------------------------------------------------------------------------------------------

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw shared:2 - nfs4 server:/home rw
31 30 0:41 / /home/local\\040disk rw - xfs /dev/sdb rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/var/x", "ext4"), ("/home/me/x", "nfs4"), ("/home/local disk/x", "xfs"), ("/homely/x", "ext4")],
)
def test_the_filesystem_is_that_of_the_longest_mount_point(tmp_path: Path, path: str, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert filesystem(Path(path), mounts) == kind


def test_without_a_list_of_mounts_nothing_is_known(tmp_path: Path) -> None:
    assert filesystem(tmp_path, tmp_path / "none") == ""


def test_a_network_filesystem_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute_executor.service.store.database.network_filesystem", lambda _: "lustre")
    with pytest.raises(ServiceUnavailable, match="COMPUTE_EXECUTOR_HOME"):
        Store(path, durable=False)
