"""Taking over the state folder of an earlier version, with the open tasks in it.

Versions up to 0.1 had a folder for each version and schema (``v0.1.0-4``), so that an upgrade left open tasks behind.
The folder has one name now. The first start of this version moves the newest of the old ones there, unless a service
of that version still runs in it; the database is then migrated when it is opened.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from compute_executor.errors import ComputeError
from compute_executor.local.locks import is_held
from compute_executor.local.state import DATABASE, SERVICE_LOCK, START_LOCK, home


def earlier_folders() -> list[Path]:
    """Return the folders of earlier versions that hold a database, the one written last first."""
    found = [place for place in home().glob("v*-*") if (place / DATABASE).is_file()]
    return sorted(found, key=lambda place: (place / DATABASE).stat().st_mtime, reverse=True)


def take_over(folder: Path) -> Path | None:
    """Move the newest earlier folder to ``folder``, if there is none yet; the folder that was moved.

    Several programs may do this at once: a rename succeeds for one of them.
    """
    if folder.exists():
        return None
    for earlier in earlier_folders():
        if _in_use(earlier):
            return None  # its service has the open tasks, and ends when they are done
        with contextlib.suppress(OSError):  # another program was quicker
            os.rename(earlier, folder)
            return earlier
    return None


def _in_use(folder: Path) -> bool:
    try:
        return is_held(folder / SERVICE_LOCK) or is_held(folder / START_LOCK)
    except ComputeError:  # a file of another user's in it: not ours to move
        return True
