"""Opening the service's database file: where it may lie, whether it is sound, which schema it has.

SQLite in WAL mode (sqlite.org/wal.html). One connection of one process writes and checkpoints, others only
read: SQLite before 3.51.3 can lose commits when two connections write and checkpoint at the same instant
(sqlite.org/wal.html#the_wal_reset_bug). WAL needs shared memory, so no network filesystem.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import sys
from pathlib import Path
from urllib.parse import quote

from compute_executor.errors import ServiceUnavailable, StorageFull, StoreBusy, StoreDamaged, VersionMismatch
from compute_executor.local.state import trouble
from compute_executor.service.store.sql import queries, schema

log = logging.getLogger(__name__)

SCHEMA_VERSION = 9
NETWORK_FILESYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "lustre", "gpfs", "beegfs", "ceph", "panfs"}
    | {"pvfs2", "glusterfs", "fuse.glusterfs"}
)


def open_writer(path: Path, *, durable: bool) -> sqlite3.Connection:
    """The one read-write connection, schema up to date. Raises ServiceUnavailable, VersionMismatch,
    NotAuthorized."""
    refuse_network(path)
    _create(path)
    connection = _connect(f"file:{quote(str(path))}?mode=rw")
    try:
        _prepare(connection, durable=durable)
        _check(connection, path)
        _migrate(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _unusable(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: Path) -> None:
    """Make an empty private file, unless there is one. Links are not followed."""
    if not path.exists():
        _refuse_leftovers(path)
    try:
        if path.is_symlink():
            raise OSError(errno.ELOOP, "it is a symbolic link")
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise trouble("make", path, error) from error


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    connection = _connect(f"file:{quote(str(path))}?mode=ro")
    connection.execute("PRAGMA query_only = ON")
    return connection


def translated(error: sqlite3.Error) -> ServiceUnavailable:
    """The error that callers get for a failed statement or commit."""
    text = str(error)
    if "full" in text:
        return StorageFull(
            f"the service's disk is full ({text}); nothing was stored. Free space and send again."
        )
    if "locked" in text or "busy" in text:
        return StoreBusy(f"another process keeps the service's database locked ({text}); try again.")
    return ServiceUnavailable(f"the service cannot write its database ({text}); nothing was stored.")


def _connect(uri: str) -> sqlite3.Connection:
    # The helper thread of durable commits uses the writer, too: never at the same time as the loop thread.
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0.0, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, *, durable: bool) -> None:
    connection.execute(
        "PRAGMA page_size = 2048"
    )  # of a new file. A single task's commit writes some pages each
    connection.execute("PRAGMA journal_mode = WAL")  # to 5 B-trees: with 4096 it takes 10 us longer
    connection.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # committer.py says when
    connection.execute("PRAGMA busy_timeout = 0")  # the loop must not wait for a lock: see committer.py
    if sys.platform == "darwin":
        connection.execute("PRAGMA fullfsync = 1")  # fsync(2) there does not reach the disk


def _check(connection: sqlite3.Connection, path: Path) -> None:
    (found,) = connection.execute(queries()["quick_check"]).fetchone()
    if found != "ok":
        raise _unusable(path, found)


def _unusable(path: Path, why: object) -> ServiceUnavailable:
    if isinstance(why, sqlite3.OperationalError) and "malformed" not in str(why):
        return translated(why)
    return StoreDamaged(
        f"the database {path} is damaged ({why}). Nothing was changed. Restore it from a copy (with its -wal file, "
        "if there is one), save what can be read with `sqlite3 FILE .recover`, or move it away to start empty."
    )


def _refuse_leftovers(path: Path) -> None:
    """A WAL without its database is what remains of somebody's tasks: do not start empty over it."""
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise _unusable(path, f"the file is gone, but {wal.name} is there")


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
    """The schema version: SQLite has a place for it in the file's header. 0: empty."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def refuse_network(path: Path) -> None:
    """Raise ServiceUnavailable if ``path`` lies on a network filesystem (Linux; elsewhere nothing is known)."""
    kind = filesystem(path, Path("/proc/self/mountinfo"))
    if kind in NETWORK_FILESYSTEMS:
        raise ServiceUnavailable(
            f"{path} lies on a network filesystem ({kind}), where SQLite can corrupt its data. Set "
            "COMPUTE_EXECUTOR_HOME (or --database) to a folder on a local disk."
        )


def filesystem(path: Path, mounts: Path) -> str:
    """The type of the filesystem that ``path`` lies on, by the longest mount point above it; "" if unknown."""
    if not mounts.exists():
        return ""
    place, best, kind = str(path.parent.resolve()), "", ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4].encode().decode("unicode_escape")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind
