"""The store: one SQLite file. Everything the service has promised is in here, and nothing else is.

    Store.run([operation, ...])   one transaction for all; each operation gets the Writer
    Store.read                    the Reader: committed data, over a connection that cannot write

An operation that fails takes no other with it: the transaction is undone and each is tried alone. A failed
commit is an error for all of them, and nothing of them is kept. After an I/O error the connection is dropped and
opened anew, so that what SQLite believes comes from the file again; a failed fsync is never followed by a
second try on the same pages (the kernel may have dropped them: wiki.postgresql.org/wiki/Fsync_Errors).
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from compute_executor.errors import ServiceUnavailable, StoreBusy
from compute_executor.service.store.database import (
    checkpoint,
    close_writer,
    open_reader,
    open_writer,
    reopen_writer,
    translated,
)
from compute_executor.service.store.reader import Reader
from compute_executor.service.store.writer import Writer

log: logging.Logger = logging.getLogger(__name__)

LONG_WAL = 16 * 1024**2
"""Bytes of WAL after which it is copied into the database. SQLite's own default, 4 MB, syncs four times as often,
which shows in bulk."""

Operation = Callable[[Writer], Any]


class WriteResult(NamedTuple):
    """What became of an operation: its result, or the error because of which nothing of it is stored."""

    result: Any
    error: Exception | None


class Store:
    """Opens, checks and migrates at construction. Raises ServiceUnavailable or VersionMismatch."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self.path = path
        self._wal = f"{path}-wal"
        self._long_wal = LONG_WAL
        self._log_is_false = False
        self.durable = durable  # commits survive a power loss (synchronous=FULL), not only a killed process
        self._connection = open_writer(path, durable=durable)
        self._reading = open_reader(path)
        self._writer = Writer(self._connection)
        self.read: Reader = Reader(self._reading)

    def run(self, operations: Sequence[Operation]) -> list[WriteResult]:
        """Run all in one transaction; returns after the commit. Raises StoreBusy if the file is locked."""
        try:
            self._begin()
            done = [WriteResult(operation(self._writer), None) for operation in operations]
            self._connection.execute("COMMIT")
            return done
        except StoreBusy:
            raise
        except Exception as error:  # of one operation, or of the commit: nobody's promise is kept by it
            self._log_is_false = self._log_is_false or isinstance(error, sqlite3.Error)
            self._undo(error)
            if len(operations) == 1:
                return [WriteResult(None, self._translated(error))]
        return [self.run([operation])[0] for operation in operations]

    def _renew_log(self) -> None:
        """Begin the log anew before anything is written, if a commit or a checkpoint has failed: the log may say that
        it is needed, or have all pages of a commit, and those that nothing is written over would look at a next start
        like commits that were damaged (`damage`)."""
        if self._log_is_false:
            if not checkpoint(self._connection, self.path):
                raise StoreBusy(
                    "somebody reads the service's database, which must be tidied up first; try again."
                )
            self._log_is_false = False

    def _begin(self) -> None:
        try:
            self._renew_log()
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            busy = translated(error, self.path)
            if isinstance(busy, StoreBusy):
                raise busy from error
            raise

    def _undo(self, error: Exception) -> None:
        """Back to what is in the file."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if not isinstance(error, sqlite3.Error) or not _of_the_disk(error):
                return
        except sqlite3.Error as second:
            log.warning("rollback failed: %s", second)
        self._reopen()

    def _reopen(self) -> None:
        log.error("the database is opened anew after an I/O error")
        seq = self._writer.last_seq
        self._connection.close()
        self._connection = reopen_writer(self.path, durable=self.durable)
        self._writer = Writer(self._connection)
        self._writer.last_seq = max(seq, self._writer.last_seq)

    def wal_is_long(self) -> bool:
        """Return whether it is time for a checkpoint."""
        return self._wal_size() > self._long_wal

    def _wal_size(self) -> int:
        try:
            return os.stat(self._wal).st_size
        except OSError:  # it was never written
            return 0

    def checkpoint(self) -> None:
        """Copy the WAL into the database; takes tens of milliseconds. It begins anew then, and is cut. While somebody
        reads, it cannot: then it is tried again when it is twice as long."""
        begun_anew = False
        try:
            begun_anew = checkpoint(self._connection, self.path)
            self._log_is_false = self._log_is_false and not begun_anew
        except (sqlite3.Error, ServiceUnavailable) as error:
            log.warning("checkpoint: %s", error)  # what is in the WAL is as safe there
            self._log_is_false = True  # it may say that it is needed, and nothing may follow that
        self._long_wal = LONG_WAL if begun_anew else max(LONG_WAL, 2 * self._wal_size())

    def close(self) -> None:
        """Give back the files. What is committed stays."""
        self._reading.close()
        close_writer(self._connection, self.path)

    def _translated(self, error: Exception) -> Exception:
        return translated(error, self.path) if isinstance(error, sqlite3.Error) else error


def _of_the_disk(error: sqlite3.Error) -> bool:
    """Return whether SQLite could not read or write: it calls a page that cannot be read an I/O error, or
    malformed."""
    return "I/O" in str(error) or "malformed" in str(error)
