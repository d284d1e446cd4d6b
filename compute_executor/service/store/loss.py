"""Going on with a database whose log is gone or damaged, when its owner says so."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from compute_executor.errors import StoreDamaged
from compute_executor.service.store.damage import OPEN, drop_note, log_of, refuse_damage
from compute_executor.service.store.database import open_plain, store_errors
from compute_executor.service.store.sql import queries


def accept_loss(path: Path) -> Path | None:
    """Let the database at ``path``, which no service uses, be opened with what can be read of its log; where a copy
    of the log as it was is now (None: there was none)."""
    log, kept = log_of(path), None
    if log.exists():
        kept = log.with_name(f"{log.name}.damaged")
        shutil.copy2(log, kept)
    with store_errors(path):
        if _unreadable(path):
            log.unlink(missing_ok=True)
        with closing(open_plain(path)) as connection:
            connection.execute(queries()["drop_meta"], (OPEN,))
            drop_note(path)
    return kept


def _unreadable(path: Path) -> bool:
    """Return whether SQLite would take nothing from the log, or the database is refused without it."""
    try:
        refuse_damage(path)
    except StoreDamaged:
        return True
    return False
