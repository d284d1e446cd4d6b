"""Fetches an archive and unpacks it into a folder. A program of its own, so that a build can be stopped in it and
its log shows what it says: ``python fetch.py URL FOLDER``. Standard library only.

Only files and folders that stay inside are taken; an archive with anything else (links, absolute names, ``..``,
devices) is refused as a whole, as is one that is too large.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from typing import IO, Any

MOST_BYTES = 2 * 1024**3
"""Of the archive, and of what is in it."""
PATIENCE = 60.0
"""Seconds without a byte."""

Entry = tuple[str, "IO[bytes] | None"]
"""Name and content; None for a folder."""


class ArchiveRefused(Exception):
    """Says what is wrong with the archive."""


def fetch(url: str, folder: str) -> int:
    """Unpack the archive at ``url`` into the new folder; how many files. Raises Refused, OSError."""
    with tempfile.TemporaryFile() as archive:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            _copy(answer, archive, MOST_BYTES)
        archive.seek(0)
        os.mkdir(folder)
        return _unpack(_entries(archive), folder)


def _copy(source: Any, target: IO[bytes], most: int) -> int:
    size = 0
    while block := source.read(1 << 20):
        size += len(block)
        if size > most:
            raise ArchiveRefused(f"it is over the limit of {MOST_BYTES} bytes")
        target.write(block)
    return size


def _entries(archive: IO[bytes]) -> Iterator[Entry]:
    if zipfile.is_zipfile(archive):
        yield from _of_zip(archive)
        return
    archive.seek(0)
    try:
        opened = tarfile.open(fileobj=archive)  # noqa: SIM115 - closed below
    except tarfile.TarError as error:
        raise ArchiveRefused(f"it is neither a zip nor a tar archive: {error}") from None
    with opened:
        for member in opened:
            if not (member.isfile() or member.isdir()):
                raise ArchiveRefused(f"{member.name!r} is neither a file nor a folder")
            yield member.name, opened.extractfile(member)


def _of_zip(archive: IO[bytes]) -> Iterator[Entry]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            if info.is_dir():
                yield info.filename, None
                continue
            with opened.open(info) as content:
                yield info.filename, content


def _unpack(entries: Iterator[Entry], folder: str) -> int:
    room, files = MOST_BYTES, 0
    for name, content in entries:
        path = os.path.join(folder, _inside(name))
        if content is None:
            os.makedirs(path, exist_ok=True)
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            room -= _copy(content, file, room)
        files += 1
    return files


def _inside(name: str) -> str:
    clean = os.path.normpath(name)
    if os.path.isabs(name) or clean.split(os.sep)[0] == ".." or "\0" in name:
        raise ArchiveRefused(f"{name!r} would lie outside of its folder")
    return clean


def main(url: str, folder: str) -> int:
    """0 if it could be done."""
    try:
        print(f"{fetch(url, folder)} files from {url}")
    except (OSError, ArchiveRefused, zipfile.BadZipFile, tarfile.TarError, EOFError, ValueError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{url} cannot be unpacked: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
