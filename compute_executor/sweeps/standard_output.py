"""``--out -``: the table as csv on the standard output, when the sweep has ended."""

from __future__ import annotations

import sys
from pathlib import Path

from compute_executor.sweeps.formats.text import TextLayout
from compute_executor.sweeps.tabulation import Tabulation


def is_stdout(path: Path) -> bool:
    """Return whether it stands for the standard output."""
    return str(path) == "-"


def write_to_stdout(table: Tabulation) -> None:
    """Write the table there. Raises OSError: a pipe that nobody reads any more."""
    layout = TextLayout(Path("results.csv"), table.names)
    layout.widened(table.results())
    out = sys.stdout.buffer
    out.write(layout.header())
    out.writelines(map(layout.line, table.records()))
    out.flush()
