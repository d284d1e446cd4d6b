"""One transaction for all, each operation for itself, and nothing half-written when the disk says no."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compute_executor.endpoint.events import Ended
from compute_executor.errors import NotAuthorized, ServiceUnavailable, VersionMismatch
from compute_executor.protocol.frames import Blob, Options, Result
from compute_executor.service import store as store_module
from compute_executor.service.database import SCHEMA_VERSION, StorageFull, StoreBusy, StoreDamaged, filesystem
from compute_executor.service.functions import Description, Sharing, new_function
from compute_executor.service.rows import FinishedBatch, GroupRow, KnownSubmit, NewBatch, PoolRow
from compute_executor.service.store import Done, Operation, Store

GROUP, POOL, FUNCTION = b"g" * 16, b"p" * 16, b"f" * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, durable=False)
    yield store
    store.close()


def new_batch(number: int = 1, count: int = 2, group: bytes = GROUP, **changed: Any) -> NewBatch:
    return NewBatch(
        **{
            "prefix": number.to_bytes(12, "big"),
            "owner": "alice",
            "group": group,
            "endpoint": b"",
            "pool": POOL,
            "functions": [FUNCTION, b"h" * 16],
            "tasks": b"tasks",
            "size": count,
            "options": Options(retries=3),
            "created": 10.0,
            "blobs": [],
            "key": None,
            **changed,
        }
    )


def ended(batch: int, position: int, body: bytes | Blob = b"value") -> Ended:
    return Ended(batch, position, 1, 0, body, 1.0, 2.0)


def do(store: Store, operation: Operation) -> Any:
    done = store.run([operation])[0]
    assert done.error is None
    return done.result


# -- what is written is read --------------------------------------------------------------------------------


def test_batches(store: Store) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch(blobs=["a" * 32], key=("key", b"digest"))))
    head = store.read.batch(new_batch().prefix)
    assert head is not None
    assert (head.number, head.owner, head.group, head.size, head.finished) == (
        number,
        "alice",
        GROUP,
        2,
        False,
    )
    (row,) = store.read.open_batches()
    assert (row.number, row.functions, row.options) == (number, [FUNCTION, b"h" * 16], Options(retries=3))
    assert store.read.batch_tasks(number) == b"tasks"
    assert store.read.known_submit("alice", "key") == KnownSubmit(b"digest", row.prefix, GROUP, b"")
    assert store.read.known_submit("bob", "key") is None
    assert store.read.group_batches(GROUP) == [(row.prefix, 2)]
    assert store.read.group(GROUP) == GroupRow("alice", 0, 0)
    assert store.read.blob_in_use("a" * 32)


def test_a_prefix_is_stored_once(store: Store) -> None:
    assert do(store, lambda writer: writer.add_batch(new_batch())) == 1
    assert do(store, lambda writer: writer.add_batch(new_batch(count=5))) is None
    assert store.read.batch(new_batch().prefix).size == 2  # type: ignore[union-attr]


def test_outcomes_are_numbered_in_order_and_the_first_one_stays(store: Store) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch(count=200)))
    first, _ = do(
        store, lambda writer: writer.add_outcomes([ended(number, at) for at in range(130)], [], 5.0)
    )
    again, _ = do(
        store, lambda writer: writer.add_outcomes([ended(number, 7, b"other"), ended(number, 150)], [], 5.0)
    )
    assert (first, again) == (1, 131)
    prefix = new_batch().prefix
    assert store.read.outcome(number, prefix, 7) == Result(8, prefix, 7, 0, b"value", 1.0, 2.0)
    assert store.read.outcome(number, prefix, 151) is None
    assert [result.seq for result in store.read.outcomes(GROUP, 128, 999)] == [129, 130, 132]
    assert sorted(store.read.ended_positions(number)) == [*range(130), 150]


def test_bodies_in_blobs(store: Store) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch(blobs=["a" * 32, "b" * 32])))
    other = do(store, lambda writer: writer.add_batch(new_batch(2, blobs=["b" * 32])))
    body = Blob("c" * 32, 70_000)
    finished = [FinishedBatch(number, True, True)]
    _, unused = do(store, lambda writer: writer.add_outcomes([ended(number, 0, body)], finished, 5.0))
    assert unused == ["a" * 32], "the other batch needs b, the outcome needs c"
    outcome = store.read.outcome(number, new_batch().prefix, 0)
    assert outcome is not None
    assert outcome.body == body
    _, unused = do(store, lambda writer: writer.add_outcomes([], [FinishedBatch(other, True, False)], 5.0))
    assert unused == ["b" * 32]


def test_a_finished_batch_keeps_no_arguments(store: Store) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch()))
    do(store, lambda writer: writer.next_attempts([(number, 0, 2), (number, 0, 3), (number, 1, 2)]))
    assert sorted(store.read.attempts_due()) == [(number, 0, 3), (number, 1, 2)]
    do(
        store,
        lambda writer: writer.add_outcomes([ended(number, 0)], [FinishedBatch(number, False, True)], 5.0),
    )
    assert list(store.read.open_batches()) == []
    assert list(store.read.attempts_due()) == []
    head = store.read.batch(new_batch().prefix)
    assert head is not None
    assert head.finished


def test_numbers_never_come_again(store: Store, path: Path) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch()))
    do(
        store,
        lambda writer: writer.add_outcomes([ended(number, 0)], [FinishedBatch(number, False, False)], 5.0),
    )
    assert do(store, lambda writer: writer.drop_outcomes(number, 10)) == 1
    do(store, lambda writer: writer.drop_batch(number, new_batch().prefix))
    store.close()
    second = Store(path, durable=False)
    try:
        again = do(second, lambda writer: writer.add_batch(new_batch()))
        first, _ = do(second, lambda writer: writer.add_outcomes([ended(again, 0)], [], 5.0))
    finally:
        second.close()
    assert (again, first) == (2, 2)


def test_functions(store: Store) -> None:
    def add(owner: str, public: bool = False, code: bytes | Blob = b"code") -> bytes:
        row = new_function(owner, b"d" * 32, Description("f", "text", {"a": [1]}), Sharing(public), 4)
        return bytes(do(store, lambda writer: writer.add_function(row, code)))

    first = add("alice")
    assert add("alice") == first
    assert len({first, add("alice", public=True), add("bob")}) == 3
    row = store.read.function(first)
    assert row is not None
    assert (row.owner, row.name, row.description, row.metadata, row.public) == (
        "alice",
        "f",
        "text",
        {"a": [1]},
        False,
    )
    assert store.read.function_code(first) == b"code"
    assert store.read.function_by_digest("alice", b"x" * 32) is None
    do(store, lambda writer: writer.delete_function(first))
    assert store.read.function(first) is None
    assert add("alice") == first
    assert store.read.function(first) == row
    large = add("carol", code=Blob("e" * 32, 9))
    assert store.read.function_code(large) == Blob("e" * 32, 9)
    assert store.read.blob_in_use("e" * 32)


def test_pools_belong_to_who_made_them(store: Store) -> None:
    do(store, lambda writer: writer.add_pool(POOL, "alice", b"spec", 1.0))
    do(store, lambda writer: writer.add_pool(POOL, "bob", b"his", 1.0))
    assert store.read.pools() == [PoolRow(POOL, "alice", b"spec")]
    do(store, lambda writer: writer.drop_pool(POOL))
    assert store.read.pools() == []


def test_what_expires(store: Store) -> None:
    number = do(store, lambda writer: writer.add_batch(new_batch()))
    do(
        store,
        lambda writer: writer.add_outcomes([ended(number, 0)], [FinishedBatch(number, False, False)], 50.0),
    )
    assert store.read.expired_batch(60.0, 40.0) is None
    assert store.read.expired_batch(60.0, 55.0) == (number, new_batch().prefix)
    do(store, lambda writer: writer.acknowledge([(GROUP, 1)]))
    assert store.read.expired_batch(60.0, 40.0) == (number, new_batch().prefix)
    assert store.read.expired_batch(50.0, 40.0) is None


# -- trouble ------------------------------------------------------------------------------------------------


def fail(_writer: object) -> None:
    raise ValueError("mine alone")


def test_one_failing_operation_fails_alone(store: Store) -> None:
    done = store.run(
        [lambda writer: writer.add_batch(new_batch(1)), fail, lambda writer: writer.add_batch(new_batch(2))]
    )
    assert [one.result for one in done] == [1, None, 2]
    assert [type(one.error) for one in done] == [type(None), ValueError, type(None)]
    assert len(list(store.read.open_batches())) == 2


def test_a_lone_failing_operation_leaves_nothing(store: Store) -> None:
    def half(writer: Any) -> None:
        writer.add_batch(new_batch())
        raise sqlite3.OperationalError("database or disk is full")

    (done,) = store.run([half])
    assert isinstance(done.error, StorageFull)
    assert done.error.http_status == 507
    assert list(store.read.open_batches()) == []


def test_a_full_disk_is_said_and_got_over(store: Store) -> None:
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    large = new_batch(tasks=bytes(100_000))
    done = store.run([lambda writer: writer.add_batch(large), lambda writer: writer.add_batch(new_batch(2))])
    assert isinstance(done[0].error, StorageFull)
    assert done[1].error is None, "what fits is stored"
    store._connection.execute("PRAGMA max_page_count = 100000")
    assert do(store, lambda writer: writer.add_batch(large)) is not None


def test_after_an_io_error_the_file_is_opened_anew(store: Store) -> None:
    before = store._connection

    def broken(_writer: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    (done,) = store.run([broken])
    assert isinstance(done.error, ServiceUnavailable)
    assert store._connection is not before
    assert do(store, lambda writer: writer.add_batch(new_batch())) == 1


def test_a_database_that_cannot_be_opened_anew_is_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_writer: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def gone(*_: object, **__: object) -> None:
        raise ServiceUnavailable("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "open_writer", gone)
        for _ in range(2):
            with pytest.raises(ServiceUnavailable, match="gone"):
                store.run([broken])
        store.checkpoint()
    (done,) = store.run([lambda writer: writer.add_batch(new_batch())])
    assert isinstance(done.error, ServiceUnavailable), "the first try finds the connection closed"
    assert do(store, lambda writer: writer.add_batch(new_batch())) == 1


def test_an_empty_wal_is_not_long(store: Store, path: Path) -> None:
    store._wal = str(path) + "-none"
    assert not store.wal_is_long()


def test_a_foreign_lock_is_reported_as_such(store: Store, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreBusy):
        store.run([fail])
    other.execute("ROLLBACK")
    other.close()
    assert do(store, lambda writer: writer.add_batch(new_batch())) == 1


def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(sqlite3.OperationalError):
        store._reading.execute("DELETE FROM batches")


def test_the_wal_is_emptied_when_long(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "LONG_WAL", 100)
    store._long_wal = 100
    do(store, lambda writer: writer.add_batch(new_batch()))
    assert store.wal_is_long()
    store.checkpoint()
    assert not store.wal_is_long()
    assert path.with_name("store.sqlite-wal").stat().st_size == 0


def test_a_wal_that_somebody_reads_is_tried_again_later(store: Store, path: Path) -> None:
    do(store, lambda writer: writer.add_batch(new_batch()))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM batches").fetchall()
    do(store, lambda writer: writer.add_batch(new_batch(2)))
    store._long_wal = 100
    store.checkpoint()
    assert not store.wal_is_long()
    reader.close()


# -- opening ------------------------------------------------------------------------------------------------


def test_the_file_is_private(store: Store, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert store.run([]) == []


def test_what_was_stored_is_there_after_a_restart(path: Path) -> None:
    for number in (1, 2):
        store = Store(path, durable=True)
        assert store.run([lambda writer, n=number: writer.add_batch(new_batch(n))]) == [Done(number, None)]  # type: ignore[misc]
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
    monkeypatch.setattr("compute_executor.service.database.filesystem", lambda *_: "lustre")
    with pytest.raises(ServiceUnavailable, match="COMPUTE_EXECUTOR_HOME"):
        Store(path, durable=False)
