"""The files of bodies in a folder whose owner may delete them at any moment."""

from __future__ import annotations

import contextlib
from pathlib import Path


def sizes_in(folder: Path) -> list[int]:
    """The sizes of the files that there are, in order."""
    sizes = []
    for path in folder.iterdir() if folder.exists() else ():
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sorted(sizes)
