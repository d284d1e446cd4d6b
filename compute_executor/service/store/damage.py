"""Whether the files of a store are what a service left: looked at before SQLite is let near them. Changes nothing.

SQLite takes a file of 0 bytes for a new database, and a database without its write-ahead log for a whole one. Both
would quietly lose what was accepted. So while a service has the store open, the row `OPEN` of ``meta`` has two
values: in the database file, where every checkpoint leaves it, that the log is `NEEDED`; in the log, committed next,
that what has been read is `WHOLE`. The file alone, if it says that the log is needed, has lost a part. A service that
ends in order takes the row out; another program that opens the file and closes it copies the log into it, and so
leaves the second value there.

A service that is killed between the two leaves the first one in the log, too, and such a program then a file alone
that says that the log is needed, though nothing is missing. So a note lies beside the file from before the first to
after the second, and nothing else is committed as long as it does (`database.checkpoint`).

What a log has lost is found afterwards (`log_lost`), by comparing what lies in it with what SQLite took from it.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import sys
from contextlib import closing
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from compute_executor import system
from compute_executor.errors import StoreDamaged
from compute_executor.local.state import BLOBS, RINGS, check_file, trouble

OPEN = "open"
"""A key in ``meta``. Its value: `NEEDED` or `WHOLE`, and the boot of the machine in which the store was opened."""
NEEDED, WHOLE = "needed", "whole"
RESTORING = "restoring"
"""Begins the name of the folder in which a backup is unpacked."""

_MAGIC = b"SQLite format 3\0"
_LOG_MAGIC = (0x377F0682, 0x377F0683)
"""Of a log (sqlite.org/fileformat2.html#the_write_ahead_log): checksums of little- or big-endian words."""
_LOG_HEADER, _FRAME_HEADER = 32, 24
_WORD = 0xFFFFFFFF

REMEDY = (
    "Nothing was changed. Restore it from a backup (compute-executor restore FILE) or a copy (with its -wal file, if "
    "there is one), save what can be read with `sqlite3 FILE .recover`, or move it away to start empty."
)


def log_of(path: Path) -> Path:
    """Return the write-ahead log of the database ``path``."""
    return path.with_name(f"{path.name}-wal")


def note_of(path: Path) -> Path:
    """Return the file that is beside the database ``path`` while nothing but `OPEN` is committed."""
    return path.with_name(f"{path.name}-opening")


def needed_now() -> str:
    """Return the first value of `OPEN`, since this boot of the machine."""
    return f"{NEEDED} {system.boot()}"


def put_note(path: Path) -> None:
    """Note that nothing but `OPEN` is committed from now on. Raises ServiceUnavailable."""
    note = note_of(path)
    try:
        file = os.open(note, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        with open(file, "w", encoding="ascii") as text:
            text.write(needed_now())
    except OSError as error:
        raise trouble("write", note, error) from error


def drop_note(path: Path) -> None:
    """Let everything be committed again. Raises ServiceUnavailable."""
    note = note_of(path)
    try:
        note.unlink(missing_ok=True)
    except OSError as error:
        raise trouble("remove", note, error) from error


def nothing_followed(path: Path) -> bool:
    """Return whether the log held nothing but `OPEN`. After a loss of power it is not known whether the note is an
    old one: then it counts for nothing."""
    note = note_of(path)
    return note.exists() and _beginning(note, len(needed_now()) + 1) == needed_now().encode()


def damaged(path: Path, why: object) -> StoreDamaged:
    """Return the error for a database that is not as it should be."""
    return StoreDamaged(f"the database {path} is damaged ({why}). {REMEDY}")


def refuse_leftovers(path: Path) -> None:
    """Raise StoreDamaged if there is no database where there must have been one: something lies beside it."""
    folder = path.parent
    if log_of(path).exists() and log_of(path).stat().st_size:
        raise damaged(path, f"the file is gone, but {log_of(path).name} is there")
    for name in (BLOBS, RINGS):
        place = folder / name
        if place.is_dir() and any(place.iterdir()):
            raise damaged(path, f"the file is gone, but there is something in {place}")
    if any(folder.glob(f"{RESTORING}-*")):
        raise damaged(path, f"the file is gone: restoring a backup into {folder} did not come to its end")


def refuse_damage(path: Path) -> None:
    """Raise NotAuthorized or StoreDamaged unless these are the files of a store, ours alone, and none is missing."""
    for file in (path, log_of(path), path.with_name(f"{path.name}-shm"), note_of(path)):
        if file.exists() or file.is_symlink():
            check_file(file, file.lstat())
    size = path.stat().st_size
    if size < len(_MAGIC):
        raise damaged(path, f"it has {size} bytes")
    if _beginning(path, len(_MAGIC)) != _MAGIC:
        raise damaged(path, "it is no SQLite database")
    log = log_of(path)
    if not log.exists() or log.stat().st_size < _LOG_HEADER:
        _refuse_without_log(path)
    else:
        _refuse_false_log(path, log)


def _refuse_without_log(path: Path) -> None:
    """Refuse the database alone: it must have been closed in order."""
    uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        opened = opened_in(connection) or ""
        if opened.startswith(NEEDED) and not (opened == needed_now() and nothing_followed(path)):
            raise damaged(
                path,
                f"the service before was killed, and its write-ahead log {log_of(path).name} is gone or empty: what "
                "was accepted last is missing. To go on without it: compute-executor check --accept-loss",
            )


def opened_in(connection: sqlite3.Connection) -> str | None:
    """Return the value of `OPEN`; None if the store was closed in order."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return None
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (OPEN,)).fetchone()
    return None if found is None else str(found[0])


def _refuse_false_log(path: Path, log: Path) -> None:
    """Refuse a log: a log whose beginning is wrong is taken by SQLite for an empty one."""
    header = _beginning(log, _LOG_HEADER)
    magic, *_, first, second = struct.unpack(">8I", header)
    order = ">" if magic & 1 else "<"
    if magic not in _LOG_MAGIC or _checksum(struct.unpack(f"{order}6I", header[:24])) != (first, second):
        raise damaged(path, f"the beginning of its write-ahead log {log.name} is not what SQLite wrote")


def _beginning(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _checksum(words: tuple[int, ...], first: int = 0, second: int = 0) -> tuple[int, int]:
    """Return the checksum of these words behind others, as section 4.2 of sqlite.org/fileformat2.html has it."""
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _WORD
        second = (second + odd + first) & _WORD
    return first, second


def last_commit_behind_damage(path: Path, taken: int) -> int | None:
    """Return the number of the last frame that ends a commit behind one that cannot be read, in the log of ``path``,
    of which SQLite has taken so many. None: there is none, all that was committed can be read.

    Frames are written one after the other, each as a header and a page, over those of the round before. So a write
    that has failed, as on a full disk, or a process that was killed meanwhile, leaves one that is not whole, which
    may say of itself that it ends a commit, and behind it none of this round.
    """
    log = log_of(path)
    if not log.exists():
        return None
    with log.open("rb") as file:
        header = file.read(_LOG_HEADER)
        if len(header) < _LOG_HEADER:
            return None
        frames = _Frames(file, header)
        number = taken + 1
        while frames.is_whole(number):
            number += 1
        return frames.last_commit_behind(number)


class _Frames:
    """The frames of a log, by number from 1. A frame is of this round if it bears the salts of the log."""

    def __init__(self, file: BinaryIO, header: bytes) -> None:
        magic, _, page_size = struct.unpack(">3I", header[:12])
        self._file = file
        self._size = _FRAME_HEADER + page_size
        self._salts = header[16:24]
        self._of_beginning = header[24:32]
        self._words = (">" if magic & 1 else "<") + f"{(8 + page_size) // 4}I"

    def is_whole(self, number: int) -> bool:
        """Return whether a frame is of this round and follows the one before."""
        frame = self._read(number, self._size)
        if len(frame) < self._size or frame[8:16] != self._salts:
            return False
        before = self._of_beginning if number == 1 else self._read(number - 1, _FRAME_HEADER)[16:24]
        words = struct.unpack(self._words, frame[:8] + frame[_FRAME_HEADER:])
        return struct.pack(">2I", *_checksum(words, *struct.unpack(">2I", before))) == frame[16:24]

    def last_commit_behind(self, number: int) -> int | None:
        """Return the last frame of this round behind this one that ends a commit."""
        found = None
        while len(header := self._read(number := number + 1, _FRAME_HEADER)) == _FRAME_HEADER:
            if header[8:16] == self._salts and header[4:8] != bytes(4):
                found = number
        return found

    def _read(self, number: int, size: int) -> bytes:
        self._file.seek(_LOG_HEADER + (number - 1) * self._size)
        return self._file.read(size)


def log_lost(path: Path) -> StoreDamaged | None:
    """Return the error for a log of which SQLite could not take all that had been committed. Asked when the database
    was read just now, and this process has it open no more: reading SQLite's files by another way gives up its
    locks."""
    found = _frames_taken(path)
    frames = last_commit_behind_damage(path, found)
    if frames is None:
        return None
    return damaged(
        path,
        f"its write-ahead log {log_of(path).name} is damaged in the middle: {found} of {frames} pages that were "
        "committed can be read. To go on without the others: compute-executor check --accept-loss",
    )


def _frames_taken(path: Path) -> int:
    """Return how many frames of the log SQLite uses: mxFrame of its index (sqlite.org/walformat.html, section
    2.1)."""
    index = path.with_name(f"{path.name}-shm")
    header = _beginning(index, 20) if index.exists() else b""
    return int.from_bytes(header[16:20], sys.byteorder)
