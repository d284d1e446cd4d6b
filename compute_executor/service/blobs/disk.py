"""What the blob folder takes of the disk, and how much it may. Owner: the loop thread.

Counted by name as files come and go, so that none counts twice, and measured anew now and then: clients and workers
write into the folder themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from compute_executor.errors import StorageFull
from compute_executor.protocol.frames import Blob


class BlobFile(NamedTuple):
    """A file of the folder. ``changed``: Unix time."""

    name: str
    size: int
    changed: float


class DiskUse:
    """Bytes of the files of ``folder``. ``limit``: the most; 0: half of what is free and of what they take."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._sizes: dict[str, int] = {}
        self.used: int = 0

    def look(self) -> list[BlobFile]:
        """Return every file; some microseconds each. Any thread."""
        files = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                files.append(BlobFile(entry.name, found.st_size, found.st_mtime))
        return files

    def measured(self, files: Iterable[BlobFile]) -> None:
        """Note that these are all."""
        self._sizes = {file.name: file.size for file in files}
        self.used = sum(self._sizes.values())

    def add(self, blobs: Iterable[Blob]) -> None:
        """Note that these files have come, if that was not noted before."""
        for blob in blobs:
            self.used += blob.size - self._sizes.get(blob.name, 0)
            self._sizes[blob.name] = blob.size

    def remove(self, name: str) -> None:
        """Note that a file has gone."""
        self.used -= self._sizes.pop(name, 0)

    @property
    def free(self) -> int:
        """Bytes that are free on the disk."""
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize

    @property
    def budget(self) -> int:
        """The most bytes that the files may take."""
        return self._limit or (self.used + self.free) // 2

    def is_full(self) -> bool:
        """Return whether they take as much as they may. Where there are none, the database is told of a full disk."""
        return 0 < self.used >= self.budget

    def check(self, waiting: int) -> None:
        """Raise StorageFull if there is no room for more. ``waiting``: bytes of results that nobody has taken yet."""
        if self.is_full():
            full = "" if self.free else "the disk is full: "
            raise StorageFull(
                f"{full}large arguments and results take {self.used:,} bytes of the disk, {self.budget:,} are the "
                f"limit; {waiting:,} of them are results that no program has taken yet. There is room when they are "
                "taken, or deleted (compute-executor gc --older); or set another limit (disk=BYTES), or free disk"
            )

    def view(self) -> dict[str, int]:
        """Return what `status` shows."""
        return {"used": self.used, "budget": self.budget, "free": self.free}
