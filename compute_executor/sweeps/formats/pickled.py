"""A pickled list of records, each a mapping from column to value as it was returned, and ``error``, None or text.
Whoever loads it needs the classes of the values, and nothing of this package."""

from __future__ import annotations

from pathlib import Path

from compute_executor.sweeps.book import dump
from compute_executor.sweeps.tabulation import Tabulation


def write(path: Path, table: Tabulation) -> None:
    """Write ``table`` to ``path``; all of it is in memory for a moment."""
    path.write_bytes(dump(list(table.flat())))
