"""Opening the service's database file: where it may lie, whether it is sound, which schema it has.

SQLite in WAL mode (sqlite.org/wal.html). One connection of one process writes and checkpoints, others only
read: SQLite before 3.51.3 can lose commits when two connections write and checkpoint at the same instant
(sqlite.org/wal.html#the_wal_reset_bug). WAL needs shared memory, so no network filesystem.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import quote

from compute_executor import system
from compute_executor.errors import ServiceUnavailable, StorageFull, StoreBusy, VersionMismatch
from compute_executor.local.filesystems import network_filesystem
from compute_executor.local.state import trouble
from compute_executor.service.store.damage import (
    OPEN,
    WHOLE,
    damaged,
    drop_note,
    log_lost,
    needed_now,
    nothing_followed,
    opened_in,
    put_note,
    refuse_damage,
    refuse_leftovers,
)
from compute_executor.service.store.sql import queries, schema

log: logging.Logger = logging.getLogger(__name__)

SCHEMA_VERSION = 11
LITTLE = 64 * 1024
"""Bytes of a disk below which it counts as full: the step in which SQLite's shared memory grows is 32 KiB."""


def open_writer(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Return the one read-write connection, schema up to date; a new store where there is none. Raises
    ServiceUnavailable (StoreDamaged, StorageFull, StoreBusy), VersionMismatch, NotAuthorized."""
    refuse_network(path)
    if not path.exists() and not path.is_symlink():
        _create(path)
    with store_errors(path):
        refuse_damage(path)
        # A reader: closing a writer would copy into the database what is damaged.
        with closing(open_reader(path)) as looking:
            _check(looking, path)
            last = opened_in(looking)
        check_log(path, last)
        with closing(
            open_reader(path)
        ) as reading:  # so that the log stays if it fails: see `_close_with_log`
            opened_in(reading)
            return reopen_writer(path, durable=durable)


def reopen_writer(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Return the same where this process has the file open already: reading it by another way would give up SQLite's
    locks (sqlite.org/howtocorrupt.html, section 2.2)."""
    connection = open_plain(path)
    try:
        with store_errors(path):
            _prepare(connection, durable=durable)
            _migrate(connection, path)
            if not checkpoint(connection, path):
                _say_whole(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def close_writer(connection: sqlite3.Connection, path: Path) -> None:
    """Close it in order: what it has written is in the database, which says so."""
    try:
        connection.execute(queries()["drop_meta"], (OPEN,))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        drop_note(path)
    except (sqlite3.Error, ServiceUnavailable) as error:
        log.warning("the database is closed with what is in its log: %s", error)  # it is as safe there
        _close_with_log(connection, path)
    connection.close()


def _close_with_log(connection: sqlite3.Connection, path: Path) -> None:
    """Close it, and leave the log: the last connection that can write removes it, and the database may say that it is
    needed."""
    with contextlib.suppress(sqlite3.Error), closing(open_reader(path)) as reading:
        reading.execute(
            queries()["last_seq"]
        ).fetchone()  # it is not before it has read that it has the file open
        connection.close()


def checkpoint(connection: sqlite3.Connection, path: Path) -> bool:
    """Copy the log into the database, and have it say that there will be more in the log (`damage`). Whether the log
    begins anew with the next commit: not while somebody reads it. If this fails, it must be done before anything is
    committed."""
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    # Whatever is lost with the power, the second value is not.
    connection.execute("PRAGMA synchronous = FULL")
    try:
        # First of all: after a commit that failed, the log may end with what looks committed (`Store.run`).
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        if busy:
            return False
        put_note(path)
        connection.execute(queries()["set_meta"], (OPEN, needed_now()))
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        _say_whole(connection, path)
        return True
    finally:
        connection.execute(f"PRAGMA synchronous = {synchronous:d}")


def _say_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Have the log say that whoever reads it has everything."""
    connection.execute(queries()["set_meta"], (OPEN, _whole_now()))
    drop_note(path)


def _whole_now() -> str:
    return f"{WHOLE} {system.boot()}"


def _create(path: Path) -> None:
    """Make an empty store, private and whole: under another name first, so that an empty file is never one."""
    refuse_leftovers(path)
    temporary = path.with_name(f"{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise trouble("make", path, error) from error
    with store_errors(path), closing(_connect(f"file:{quote(str(temporary))}?mode=rw")) as connection:
        connection.execute(
            "PRAGMA page_size = 2048"
        )  # a single task's commit writes some pages each to 5 B-trees:
        connection.execute("PRAGMA journal_mode = MEMORY")  # with 4096 it takes 10 us longer
        _migrate(connection, path)
    temporary.rename(path)


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says into errors with the path and what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise translated(error, path) from error
        raise damaged(path, error) from error


def open_plain(path: Path) -> sqlite3.Connection:
    """Return a connection that can write, to a database that is nobody's at the moment. Nothing is checked."""
    return _connect(f"file:{quote(str(path))}?mode=rw")


def open_reader(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write."""
    connection = _connect(f"file:{quote(str(path))}?mode=ro")
    connection.execute("PRAGMA query_only = ON")
    return connection


def translated(error: sqlite3.Error, path: Path) -> ServiceUnavailable:
    """Return the error that callers get for a failed statement or commit. On a full disk SQLite speaks of an I/O
    error where its shared memory cannot grow, or a quota is used up."""
    text = str(error)
    if "full" in text or ("I/O" in text and _no_room(path)):
        return StorageFull(
            f"the service's disk is full ({text}); nothing was stored. Free space and send again."
        )
    if "locked" in text or "busy" in text:
        return StoreBusy(f"another process keeps the service's database locked ({text}); try again.")
    return ServiceUnavailable(f"the service cannot write its database ({text}); nothing was stored.")


def _no_room(path: Path) -> bool:
    try:
        place = os.statvfs(path.parent)
    except OSError:
        return False
    return place.f_bavail * place.f_frsize < LITTLE


def _connect(uri: str) -> sqlite3.Connection:
    # The helper thread of durable commits uses the writer, too: never at the same time as the loop thread.
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0.0, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, *, durable: bool) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA journal_size_limit = 0")  # a log that begins anew is cut to what is in it
    connection.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # committer.py says when
    connection.execute("PRAGMA busy_timeout = 0")  # the loop must not wait for a lock: see committer.py
    if sys.platform == "darwin":
        connection.execute("PRAGMA fullfsync = 1")  # fsync(2) there does not reach the disk


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (found,) = connection.execute(queries()["quick_check"]).fetchone()
    if found != "ok":
        raise damaged(path, found)
    check_tables(connection, path)


def check_log(path: Path, opened: str | None) -> None:
    """Raise StoreDamaged if the log has lost what was committed. ``opened``: see `damage.opened_in`."""
    lost = log_lost(path)
    if lost and (opened == _whole_now() or (opened == needed_now() and not nothing_followed(path))):
        raise lost
    if lost:
        # The machine was switched off meanwhile: a log may end anywhere then, but not before what was synced.
        log.warning("%s: a loss of power has taken the end of its log", path)


def check_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a database of somebody else's."""
    version = min(_version(connection), SCHEMA_VERSION)
    missing = _tables_of(version) - tables(connection)
    if missing or not version:
        raise damaged(path, f"it is no store of compute_executor: no table {', '.join(sorted(missing))}")


@cache
def _tables_of(version: int) -> frozenset[str]:
    """Return the names of the tables of a schema."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for step in range(1, max(version, 1) + 1):
            connection.executescript(schema(step))
        return tables(connection)


def tables(connection: sqlite3.Connection) -> frozenset[str]:
    """Return the names of the tables that are there."""
    return frozenset(
        name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection)
    if version > SCHEMA_VERSION:
        raise VersionMismatch(
            f"{path} has schema {version}, this version of compute_executor knows up to {SCHEMA_VERSION}: "
            "update compute_executor, or use another state folder (COMPUTE_EXECUTOR_HOME)."
        )
    for step in range(version + 1, SCHEMA_VERSION + 1):
        log.info("database %s: schema %d -> %d", path, step - 1, step)
        connection.executescript(f"BEGIN IMMEDIATE; {schema(step)}; PRAGMA user_version = {step}; COMMIT;")


def _version(connection: sqlite3.Connection) -> int:
    """Return the schema version: SQLite has a place for it in the file's header. 0: empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def refuse_network(path: Path) -> None:
    """Raise ServiceUnavailable if ``path`` lies on a network filesystem (Linux; elsewhere nothing is known)."""
    if kind := network_filesystem(path):
        raise ServiceUnavailable(
            f"{path} lies on a network filesystem ({kind}), where SQLite can corrupt its data. Set "
            "COMPUTE_EXECUTOR_HOME (or --database) to a folder on a local disk."
        )
