"""One transaction for all, each operation for itself, and nothing half-written when the disk says no."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from compute_executor.errors import ServiceUnavailable, StorageFull, StoreBusy
from compute_executor.service.store import store as store_module
from compute_executor.service.store.store import Store
from tests.service.storing import do, new_batch


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


class Failing:
    """A connection whose disk fails at the ``n``-th statement from now, and works again afterwards."""

    def __init__(self, connection: sqlite3.Connection, n: int) -> None:
        self._connection = connection
        self.left = n

    def execute(self, *statement: Any) -> sqlite3.Cursor:
        self.left -= 1
        if self.left == 0:
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(*statement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def test_an_io_error_at_any_statement_promises_nothing_that_is_not_stored(store: Store) -> None:
    """What is reported as stored is; what is reported as failed can be stored later, whole."""
    fired, n = True, 0
    while fired:
        n += 1
        failing = Failing(store._connection, n)
        store._connection = store._writer._connection = failing  # type: ignore[assignment]
        rows = [new_batch(3 * n + index) for index in range(3)]
        operations = [lambda writer, row=row: writer.add_batch(row) for row in rows]
        try:
            done = store.run(operations)
        except sqlite3.OperationalError:  # of BEGIN: nothing was tried
            done = [store_module.WriteResult(None, ServiceUnavailable("nothing tried"))] * 3
        fired = failing.left <= 0
        if isinstance(store._connection, Failing):
            store._connection = store._writer._connection = failing._connection
        for row, one in zip(rows, done, strict=True):
            found = store.read.batch(row.prefix)
            assert (found is not None) == (one.error is None), f"statement {n}"
            if found is None:
                assert do(store, lambda writer, row=row: writer.add_batch(row)) is not None  # type: ignore[misc]
    assert n > 8, "BEGIN, two statements of each, COMMIT"


def test_a_database_that_cannot_be_opened_anew_is_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_writer: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def gone(*_: object, **__: object) -> None:
        raise ServiceUnavailable("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "reopen_writer", gone)
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
    monkeypatch.setattr(store_module, "LONG_WAL", 50_000)
    store._long_wal = 50_000
    for number in range(1, 20):
        do(store, lambda writer, n=number: writer.add_batch(new_batch(n)))  # type: ignore[misc]
    assert store.wal_is_long()
    store.checkpoint()
    do(store, lambda writer: writer.add_batch(new_batch(20)))
    assert not store.wal_is_long()
    assert path.with_name("store.sqlite-wal").stat().st_size < 50_000


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
