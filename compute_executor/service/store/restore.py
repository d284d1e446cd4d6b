"""A backup put in the place of what a state folder holds. No service may run on it.

Everything is unpacked beside and checked first: names, sizes, digests, the database. Then what was there goes into a
folder of its own, ``before-restore-TIME``, and the new takes its place, the database last. A restore that is killed
in between leaves a folder ``restoring-...``, over which no service starts (`damage.refuse_leftovers`).
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
import tarfile
import time
from contextlib import closing
from pathlib import Path
from typing import IO

import msgspec

from compute_executor.endpoint.worker.blobs import sync_folder
from compute_executor.errors import ComputeError, InvalidRequest, StoreDamaged, VersionMismatch
from compute_executor.local.state import BLOBS, DATABASE, RINGS, trouble
from compute_executor.service.store.backup import FORMAT, MANIFEST, Digesting, FileDigest, Manifest
from compute_executor.service.store.damage import RESTORING, log_of
from compute_executor.service.store.database import SCHEMA_VERSION, check_tables, store_errors
from compute_executor.service.store.sql import queries

BEFORE = "before-restore"
_NAMES = re.compile(rf"{re.escape(DATABASE)}|{BLOBS}/[0-9a-f]{{32}}|{re.escape(MANIFEST)}")
_LARGEST_MANIFEST = 1024**3
"""Bytes: of some ten million bodies."""


def restore(source: Path, folder: Path) -> Path | None:
    """Put what is in the backup into the state folder, whose lock the caller holds; where that is now which was there
    (None: nothing was).

    Raises InvalidRequest if the file is no whole backup, VersionMismatch, StoreDamaged, and what the operating system
    refuses; then nothing has been changed.
    """
    unpacked = folder / f"{RESTORING}-{secrets.token_hex(4)}"
    try:
        _prepare(source, unpacked)
        aside = _exchange(folder, unpacked)
        for old in folder.glob(f"{RESTORING}-*"):
            shutil.rmtree(old)  # this one, and those of restores that were killed
        sync_folder(folder)
        return aside
    except ComputeError:
        raise
    except OSError as error:
        raise trouble("restore", folder, error) from error


def _prepare(source: Path, unpacked: Path) -> None:
    """Unpack and check."""
    unpacked.mkdir(mode=0o700)
    (unpacked / BLOBS).mkdir(mode=0o700)
    try:
        _unpack(source, unpacked)
        _check_database(unpacked / DATABASE, source)
    except BaseException:
        shutil.rmtree(unpacked)
        raise


def _unpack(source: Path, folder: Path) -> None:
    found: dict[str, FileDigest] = {}
    manifest: Manifest | None = None
    try:
        with tarfile.open(source, "r:") as archive:
            for member in archive:
                _check_member(member, source)
                file = archive.extractfile(member)
                assert file is not None  # a plain file, as was checked
                if member.name == MANIFEST:
                    manifest = msgspec.json.decode(file.read(_LARGEST_MANIFEST), type=Manifest)
                else:
                    found[member.name] = _written(file, folder / member.name)
    except (tarfile.TarError, EOFError, msgspec.MsgspecError, FileExistsError) as error:
        raise _no_backup(source, error) from error
    if manifest is None:
        raise _no_backup(source, "its end is missing")
    _compare(manifest, found, source)


def _check_member(member: tarfile.TarInfo, source: Path) -> None:
    if not member.isreg() or not _NAMES.fullmatch(member.name):
        raise _no_backup(source, f"{member.name[:100]!r} does not belong into one")


def _written(file: IO[bytes], path: Path) -> FileDigest:
    reading = Digesting(file)
    with os.fdopen(
        os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600), "wb"
    ) as target:
        shutil.copyfileobj(reading, target)
        target.flush()
        os.fsync(target.fileno())
    return FileDigest(path.stat().st_size, reading.digest.hexdigest())


def _compare(manifest: Manifest, found: dict[str, FileDigest], source: Path) -> None:
    if manifest.format != FORMAT or manifest.schema > SCHEMA_VERSION:
        raise VersionMismatch(
            f"{source} was written by compute_executor {manifest.version} (schema {manifest.schema}); this one knows "
            f"up to {SCHEMA_VERSION}: update compute_executor"
        )
    if DATABASE not in found:
        raise _no_backup(source, f"there is no {DATABASE} in it")
    for name, digest in manifest.files.items():
        if found.get(name) != digest:
            raise _no_backup(source, f"{name} is not what was written")
    if found.keys() != manifest.files.keys():
        raise _no_backup(source, "it holds more than was written")


def _check_database(path: Path, source: Path) -> None:
    with (
        store_errors(path),
        closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection,
    ):
        check_tables(connection, path)
        wrong = [text for (text,) in connection.execute(queries()["integrity_check"]) if text != "ok"]
    if wrong:
        raise StoreDamaged(
            f"the database in {source} is damaged ({wrong[0]}). Nothing was changed. Take another backup"
        )


def _exchange(folder: Path, unpacked: Path) -> Path | None:
    """Old out, new in. The database goes first and comes last: between the two no service starts."""
    there = [
        folder / DATABASE,
        log_of(folder / DATABASE),
        folder / f"{DATABASE}-shm",
        folder / BLOBS,
        folder / RINGS,
    ]
    old = [path for path in there if path.exists()]
    aside = folder / f"{BEFORE}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    if old:
        aside.mkdir(mode=0o700)
    for path in old:
        path.rename(aside / path.name)
    (unpacked / BLOBS).rename(folder / BLOBS)
    (unpacked / DATABASE).rename(folder / DATABASE)
    return aside if old else None


def _no_backup(source: Path, why: object) -> InvalidRequest:
    return InvalidRequest(f"{source} is no whole backup of compute_executor ({why}). Nothing was changed")
