"""What the blob folder takes of the disk, and how much it may. Owner: the loop thread.

Counted as files come and go, and measured anew now and then: clients and workers write into the folder themselves.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from compute_executor.errors import StorageFull


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
        self.used: int = 0

    def measure(self) -> list[BlobFile]:
        """Look at every file; some microseconds each."""
        files = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                files.append(BlobFile(entry.name, found.st_size, found.st_mtime))
        self.used = sum(file.size for file in files)
        return files

    def add(self, size: int) -> None:
        """Note that files of so many bytes have come; negative: have gone."""
        self.used = max(0, self.used + size)

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
