"""Runs ordinary scripts with threads, processes, loky and ours, and says which of them are right.

    python -m integration.patterns [--only WORDS] [--columns NAMES] [--write]

`--write` keeps the records (integration/patterns/records.json), beside those of other rows with the same versions,
and writes the table in docs/coming-from.md anew.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from integration import pythons
from integration.patterns import records
from integration.patterns.rows import SECTIONS
from integration.patterns.running import COLUMNS, outcome


def main(arguments: list[str]) -> int:
    """0: all that was asked for has run."""
    parser = argparse.ArgumentParser(prog="python -m integration.patterns", description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--columns", default=",".join(COLUMNS))
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args(arguments)
    python = pythons.environment(Path(sys.executable), "patterns", "loky>=3.4")
    found = {}
    with tempfile.TemporaryDirectory() as home:
        for row in (row for section in SECTIONS for row in section.rows):
            if asked.only not in row.name or row.since > sys.version_info[:2]:
                continue
            columns = asked.columns.split(",")
            found[row.name] = {column: outcome(row, column, python, Path(home)) for column in columns}
            print(
                row.name,
                *(f"{column}: {one}" for column, one in found[row.name].items()),
                sep="\n    ",
                flush=True,
            )
    if asked.write:
        versions = _versions(python)
        before = records.load()
        rows = (before["rows"] if before["versions"] == versions else {}) | found
        names = [row.name for section in SECTIONS for row in section.rows if row.name in rows]
        records.save({"versions": versions, "rows": {name: rows[name] for name in names}})
    return 0


def _versions(python: Path) -> dict[str, str]:
    code = "import sys, loky; print(sys.version.split()[0], loky.__version__)"
    words = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    return dict(zip(("Python", "loky"), words, strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
