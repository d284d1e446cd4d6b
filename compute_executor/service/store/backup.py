"""A backup: everything that a store has promised, in one file, made while a service runs or not.

A tar file of ``store.sqlite``, ``blobs/NAME`` ... and, at its end, ``manifest.json`` with size and SHA-256 of each:
what was cut short has none. The database is copied by SQLite's own backup API in one read transaction. Bodies never
change, they only come and go: those there are get a second link before the copy, so that none goes meanwhile, and
what the copy refers to beyond that has come since.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from compute_executor._version import __version__
from compute_executor.errors import ComputeError, InvalidRequest, NotFound
from compute_executor.local.state import BLOBS, DATABASE, trouble
from compute_executor.service.store.damage import OPEN, damaged, refuse_damage
from compute_executor.service.store.database import (
    SCHEMA_VERSION,
    check_tables,
    open_reader,
    store_errors,
)
from compute_executor.service.store.inspection import integrity
from compute_executor.service.store.sql import queries

MANIFEST = "manifest.json"
FORMAT = 1
STAGING = "backing-up"
"""Begins the name of the folder with the second links."""
TRIES = 5
"""Copies of the database until one refers to nothing that went before it got its second link."""


class FileDigest(msgspec.Struct):
    """What a file of a backup must be."""

    size: int
    sha256: str


class Manifest(msgspec.Struct):
    """What is in a backup. ``files``: by name."""

    format: int
    version: str
    schema: int
    created: float
    files: dict[str, FileDigest]


class Backup(NamedTuple):
    """What was written. ``missing``: bodies that the store refers to and has not (see ``compute-executor check``)."""

    size: int
    bodies: int
    missing: int


def write_backup(folder: Path, target: Path, *, in_use: bool) -> Backup:
    """Write the store of a state folder into a new file. ``in_use``: a service runs on it.

    Raises NotFound, InvalidRequest (the file is there), StoreDamaged (a backup would hide it), and
    what the operating system or SQLite refuse.
    """
    database = folder / DATABASE
    if not database.exists():
        raise NotFound(f"there is no store in {folder}: no file {DATABASE}")
    if target.exists() or target.is_symlink():
        raise InvalidRequest(f"{target} is there already, and a backup replaces nothing: give another name")
    if not in_use:
        refuse_damage(database)
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    try:
        with _staging(folder) as links:
            copy = part.with_suffix(".sqlite")
            try:
                missing = _consistent(database, copy, links)
                _pack(part, copy, links)
            finally:
                copy.unlink(missing_ok=True)
            bodies = len(os.listdir(links))
        size = part.stat().st_size
        os.link(part, target)
    except ComputeError:
        raise
    except OSError as error:
        raise trouble("write", target, error) from error
    finally:
        part.unlink(missing_ok=True)
    return Backup(size, bodies, missing)


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder with a second link to each body that is there now."""
    for old in folder.glob(f"{STAGING}-*"):
        shutil.rmtree(old, ignore_errors=True)  # of a backup that was killed
    links = folder / f"{STAGING}-{secrets.token_hex(4)}"
    links.mkdir(mode=0o700)
    try:
        for body in (folder / BLOBS).glob("[0-9a-f]*"):
            if "." not in body.name:  # those with a suffix are being written
                _link(body, links)
        yield links
    finally:
        shutil.rmtree(links, ignore_errors=True)


def _link(body: Path, links: Path) -> bool:
    """Return whether it is there."""
    with contextlib.suppress(FileExistsError):
        try:
            os.link(body, links / body.name, follow_symlinks=False)
        except FileNotFoundError:
            return False
    return True


def _consistent(database: Path, copy: Path, links: Path) -> int:
    """Copy the database, and link what the copy refers to; how much of that is not there."""
    missing = 0
    for _ in range(TRIES):
        copy.unlink(missing_ok=True)
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        missing = sum(not _link(database.parent / BLOBS / name, links) for name in _copied(database, copy))
        if not missing:
            break
    return missing


def _copied(database: Path, copy: Path) -> list[str]:
    """Copy it, closed in order; the names of the bodies that it refers to."""
    with (
        store_errors(database),
        closing(open_reader(database)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        check_tables(source, database)
        source.backup(target)
        wrong = integrity(target)
        if wrong:
            raise damaged(database, f"{'; '.join(wrong)[:500]}; a backup would hide it")
        target.execute("PRAGMA journal_mode = DELETE")
        target.execute(queries()["drop_meta"], (OPEN,))
        target.commit()
        return [name for (name,) in target.execute(queries()["blob_names"])]


def _pack(part: Path, copy: Path, links: Path) -> None:
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            files = {DATABASE: _add(archive, copy, DATABASE)}
            for body in sorted(links.iterdir()):
                files[f"{BLOBS}/{body.name}"] = _add(archive, body, f"{BLOBS}/{body.name}")
            manifest = msgspec.json.encode(Manifest(FORMAT, __version__, SCHEMA_VERSION, time.time(), files))
            archive.addfile(_member(MANIFEST, len(manifest)), io.BytesIO(manifest))
        file.flush()
        os.fsync(file.fileno())


def _add(archive: tarfile.TarFile, path: Path, name: str) -> FileDigest:
    size = path.stat().st_size
    with path.open("rb") as file:
        reading = Digesting(file)
        archive.addfile(_member(name, size), reading)
    return FileDigest(size, reading.digest.hexdigest())


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(time.time())
    return member


class Digesting(io.RawIOBase):
    """A file whose digest is taken while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest: hashlib._Hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """See io.RawIOBase."""
        data = self._file.read(size)
        self.digest.update(data)
        return data
