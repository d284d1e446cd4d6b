"""A folder for the book of a sweep that has no table: it goes with the last object that uses it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


class ScratchFolder:
    """A temporary folder. ``path``: where it is."""

    def __init__(self) -> None:
        self.path: Path = Path(tempfile.mkdtemp(prefix="compute-executor-sweep-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
